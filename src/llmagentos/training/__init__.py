"""Stage 6, training: views, an encoder and the loss in; a checkpoint, exact to resume, out."""

from llmagentos.training._checkpoint import RunState, difference, latest_checkpoint, plain, read_state
from llmagentos.training._config import ResolvedTrainingConfig, TrainingConfig
from llmagentos.training._monitor import Metrics, read_metrics
from llmagentos.training._order import batch_at
from llmagentos.training._train import (
    Budget,
    TrainingResult,
    autocast_to,
    train_encoder,
)

__all__ = [
    "Budget",
    "Metrics",
    "ResolvedTrainingConfig",
    "RunState",
    "TrainingConfig",
    "TrainingResult",
    "autocast_to",
    "batch_at",
    "difference",
    "latest_checkpoint",
    "plain",
    "read_metrics",
    "read_state",
    "train_encoder",
]
