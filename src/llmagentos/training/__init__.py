"""Stage 6, training: views, an encoder and the loss in; a checkpoint, exact to resume, out."""

from llmagentos.training._checkpoint import RunState, latest_checkpoint, read_state
from llmagentos.training._config import TrainingConfig
from llmagentos.training._monitor import Metrics, read_metrics
from llmagentos.training._train import Budget, TrainingResult, encode_pairs, train_encoder

__all__ = [
    "Budget",
    "Metrics",
    "RunState",
    "TrainingConfig",
    "TrainingResult",
    "encode_pairs",
    "latest_checkpoint",
    "read_metrics",
    "read_state",
    "train_encoder",
]
