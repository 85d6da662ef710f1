"""What pyarrow raises on a damaged file; an OSError with an errno means the disk, not the file."""

from pyarrow.lib import ArrowException

__all__ = ["ARROW_ERRORS"]

ARROW_ERRORS = (ArrowException, ValueError, OSError)
