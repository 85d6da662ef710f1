"""Loss stage: two views of N texts, embedded, become one scalar and its diagnostics."""

from llmagentos.loss._config import DEFAULT_TEMPERATURE, LossConfig
from llmagentos.loss._diagnostics import alignment, dimension_deviation, effective_rank, uniformity
from llmagentos.loss._ntxent import NTXentLoss, gathered, ntxent

__all__ = [
    "DEFAULT_TEMPERATURE",
    "LossConfig",
    "NTXentLoss",
    "alignment",
    "dimension_deviation",
    "effective_rank",
    "gathered",
    "ntxent",
    "uniformity",
]
