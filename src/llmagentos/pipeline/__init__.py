"""The whole line: unlabelled text in, a measured embedding model out. Read `_train.py` first."""

from llmagentos.pipeline._progress import OnProgress, Update
from llmagentos.pipeline._screen import progress_bars
from llmagentos.pipeline._train import TrainedModel, demo, train

__all__ = ["OnProgress", "TrainedModel", "Update", "demo", "progress_bars", "train"]
