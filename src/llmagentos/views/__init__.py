"""Views stage: a token store in, two augmented views of each text out."""

from llmagentos.views._edits import Edit, Explanation, Piece, Step, explain
from llmagentos.views._random import text_keys
from llmagentos.views._recipe import Preset, Recipe, ViewsConfig
from llmagentos.views._related import learn_related_words
from llmagentos.views._render import coloured
from llmagentos.views._replacement import read_dictionary, write_dictionary
from llmagentos.views._views import ViewBatch, Views

__all__ = [
    "Edit",
    "Explanation",
    "Piece",
    "Preset",
    "Recipe",
    "Step",
    "ViewBatch",
    "Views",
    "ViewsConfig",
    "coloured",
    "explain",
    "learn_related_words",
    "read_dictionary",
    "text_keys",
    "write_dictionary",
]
