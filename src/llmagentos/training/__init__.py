"""Stage 6, training: views, an encoder and the loss in; a checkpoint, exact to resume, out."""

from llmagentos.training._budget import Budget
from llmagentos.training._checkpoint import (
    RunState,
    difference,
    latest_checkpoint,
    load_weights,
    plain,
    read_state,
)
from llmagentos.training._config import ResolvedTrainingConfig, TrainingConfig
from llmagentos.training._interpolation import interpolate
from llmagentos.training._monitor import Metrics, read_metrics
from llmagentos.training._order import batch_at
from llmagentos.training._precision import autocast_to
from llmagentos.training._ranks import Ranks, joined_ranks
from llmagentos.training._run import check_settings, prepare_encoder
from llmagentos.training._train import PairSource, TrainingResult, train_encoder

__all__ = [
    "Budget",
    "Metrics",
    "PairSource",
    "Ranks",
    "ResolvedTrainingConfig",
    "RunState",
    "TrainingConfig",
    "TrainingResult",
    "autocast_to",
    "batch_at",
    "check_settings",
    "difference",
    "interpolate",
    "joined_ranks",
    "latest_checkpoint",
    "load_weights",
    "plain",
    "prepare_encoder",
    "read_metrics",
    "read_state",
    "train_encoder",
]
