"""Turns a full disk into one sentence, and leaves nothing half-written behind."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llmagentos.errors import OutputError

__all__ = ["disk_errors", "readable_bytes"]

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
                f"the disk (or the quota) was full after {room} for {out}; free some room or choose another "
                "--out; what was half-written has been removed"
            ) from error
        if isinstance(error, OSError) and error.errno in _REFUSED:
            raise OutputError(
                f"{out} cannot be written ({error.strerror}); choose a folder that you may write to"
            ) from error
        raise


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
