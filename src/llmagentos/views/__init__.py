"""Views stage: a token store in, two augmented views of each text out; or plain strings in and out.

from llmagentos.views import Views

views = Views(["The first text.", "The second text."])
pairs = views.strings(epoch=0)  # [(first view, second view), ...]
"""

from llmagentos.views._edits import Edit, Explanation, Piece, Step
from llmagentos.views._links import Amount, Chain, OneOf, Operation, SomeOf
from llmagentos.views._pairs import PairedViews
from llmagentos.views._permutation import permuted
from llmagentos.views._random import text_keys
from llmagentos.views._recipe import Preset, Recipe, ViewsConfig, described
from llmagentos.views._related import learn_related_words
from llmagentos.views._render import coloured, marked
from llmagentos.views._replacement import read_dictionary, write_dictionary
from llmagentos.views._spelling import Spelling
from llmagentos.views._transform import ViewTransform
from llmagentos.views._views import ViewBatch, Views

__all__ = [
    "Amount",
    "Chain",
    "Edit",
    "Explanation",
    "OneOf",
    "Operation",
    "PairedViews",
    "Piece",
    "Preset",
    "Recipe",
    "SomeOf",
    "Spelling",
    "Step",
    "ViewBatch",
    "ViewTransform",
    "Views",
    "ViewsConfig",
    "coloured",
    "described",
    "learn_related_words",
    "marked",
    "permuted",
    "read_dictionary",
    "text_keys",
    "write_dictionary",
]
