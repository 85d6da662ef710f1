"""A file that is whole or absent, also if the process is killed or the power goes."""

import os
import uuid
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file beside its place, and rename it.

    Args:
        path: its place, in a folder that exists; several processes may write the same there at once.
        text: all of it.

    Raises:
        OSError: the disk is full or read-only; what was there stays.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "settings.json"
        >>> write_whole(path, "{}")
        >>> path.read_text(), len(list(path.parent.iterdir()))
        ('{}', 1)
    """
    partial = path.with_suffix(f".partial-{uuid.uuid4().hex}")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # on the disk before its name is
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
