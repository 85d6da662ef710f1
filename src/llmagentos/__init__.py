"""LLMAgentOS: unlabelled text in, a measured embedding model out.

from llmagentos import EmbeddingModel, evaluate, load_task, train

train(["docs/"], "model", minutes=5)
model = EmbeddingModel.load("model")
vectors = model.encode(["how do I rotate a log file?"])
print(evaluate(model, [load_task("my-task/")]).headline)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmagentos.config import Config
    from llmagentos.corpus import Corpus, Document, build_corpus
    from llmagentos.errors import LLMAgentOSError
    from llmagentos.evaluation import evaluate, load_task
    from llmagentos.loss import NTXentLoss
    from llmagentos.model import EmbeddingModel
    from llmagentos.pipeline import train
    from llmagentos.views import Views

__version__ = "0.1.0"

__all__ = [
    "Config",
    "Corpus",
    "Document",
    "EmbeddingModel",
    "LLMAgentOSError",
    "NTXentLoss",
    "Views",
    "build_corpus",
    "evaluate",
    "load_task",
    "train",
]

# Imported on first use: `import llmagentos` and `llmagentos --help` must not wait for torch.
_HOMES = {
    "Config": "config",
    "Corpus": "corpus",
    "Document": "corpus",
    "EmbeddingModel": "model",
    "LLMAgentOSError": "errors",
    "NTXentLoss": "loss",
    "Views": "views",
    "build_corpus": "corpus",
    "evaluate": "evaluation",
    "load_task": "evaluation",
    "train": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
