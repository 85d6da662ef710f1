"""What pyarrow raises on a damaged file: errors of its own, and Python's from the layers below it."""

from pyarrow.lib import ArrowException

__all__ = ["ARROW_ERRORS"]

ARROW_ERRORS = (ArrowException, ValueError, OSError)
