"""The whole line: unlabelled text in, a measured embedding model out. Read `_train.py` first."""

from llmagentos.pipeline._heldout import heldout_task
from llmagentos.pipeline._probe import Trial
from llmagentos.pipeline._progress import OnProgress, Update
from llmagentos.pipeline._ray import train_on_ray
from llmagentos.pipeline._related_words import related_to, related_words
from llmagentos.pipeline._screen import progress_bars
from llmagentos.pipeline._show_views import ShownText, ShownViews, show_views
from llmagentos.pipeline._summary import counted, print_summary
from llmagentos.pipeline._train import demo, train
from llmagentos.pipeline._trained import TrainedModel
from llmagentos.pipeline._views_page import write_views_page

__all__ = [
    "OnProgress",
    "ShownText",
    "ShownViews",
    "TrainedModel",
    "Trial",
    "Update",
    "counted",
    "demo",
    "heldout_task",
    "print_summary",
    "progress_bars",
    "related_to",
    "related_words",
    "show_views",
    "train",
    "train_on_ray",
    "write_views_page",
]
