"""Output that is whole or absent: a full disk is one sentence, and nothing half-written stays."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llmagentos.errors import OutputError

__all__ = ["disk_errors", "readable_bytes", "write_whole"]

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_REFUSED = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EBUSY),
    *(errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY),  # a file where a folder is due, or reverse
}


@contextmanager
def disk_errors(out: Path, partial: Path, needed: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Remove `partial` if anything fails inside, also an interrupt; explain what the disk refused.

    Folders above `partial` that were made inside go with it.

    Args:
        out: where the result is to be.
        partial: file or folder that is written first.
        needed: says how much room the whole needs, in a clause that begins with ";".

    Raises:
        OutputError: the disk is full, a quota is reached, or the place cannot be written.
    """
    made: list[Path] = []
    try:
        made = [folder for folder in partial.parents if not folder.exists()]
        yield
    except BaseException as error:
        full = isinstance(error, OSError) and error.errno in _FULL
        room = f"{readable_bytes(_size(partial))}{needed()}" if full else ""
        _remove(partial)
        for folder in made:
            with suppress(OSError):  # others may have put something there
                folder.rmdir()
        if full:
            raise OutputError(
                f"the disk (or the quota) was full after {room} for {out}; free some space or choose another "
                "place; what was half-written has been removed"
            ) from error
        if isinstance(error, OSError) and error.errno in _REFUSED:
            raise OutputError(
                f"{out} cannot be written ({error.strerror}); choose a folder that you may write to"
            ) from error
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file beside its place, and rename it: also if the process is killed it is whole or absent.

    Args:
        path: its place, also in a new folder; several processes may write the same there at once.
        content: all of it. What of a string is not Unicode, as in the path of a file, is escaped.

    Raises:
        OutputError: the disk is full, or the place cannot be written; what was there stays.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "settings.json"
        >>> write_whole(path, "{}")
        >>> path.read_text(), len(list(path.parent.iterdir()))
        ('{}', 1)
    """
    partial = path.with_name(f".partial-{uuid.uuid4().hex}")  # of its own, as long as the name may be
    try:
        with disk_errors(path, partial):
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                whole = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
                file.write(whole)
                file.flush()
                os.fsync(file.fileno())  # on the disk before its name is
            partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); choose another place"
        ) from error


def readable_bytes(num_bytes: float) -> str:
    """A number of bytes for people.

    Examples:
        >>> readable_bytes(1_234_567)
        '1.2 MB'
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "bytes" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(path: Path) -> None:
    with suppress(OSError):  # not there, or not even its folder
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
