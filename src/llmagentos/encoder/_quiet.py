"""Keep transformers' progress bars and load reports off the user's screen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import ERROR
from typing import cast

from transformers.utils import logging


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' bars and warnings inside the block and restore them after it.

    What matters in a load report, missing or foreign weights, is checked and raised by the caller.
    """
    # Both are untyped in transformers.
    disable_bars = cast(Callable[[], None], logging.disable_progress_bar)
    enable_bars = cast(Callable[[], None], logging.enable_progress_bar)
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(ERROR)
    disable_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            enable_bars()
