"""A folder for what is needed only for a moment, and one sentence where there is no room for it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmagentos.errors import OutputError


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for as long as it is needed; no --out can help where it cannot be had."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    except (OSError, OutputError) as error:
        raise OutputError(
            f"the folder for temporary files is full or cannot be written ({error.__cause__ or error}); free "
            "some room there, or set TMPDIR to another folder"
        ) from error
