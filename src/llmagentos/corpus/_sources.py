"""Finds the files that hold text and streams their bytes, decompressed, line by line.

Memory is bounded whatever the files hold: compressed data is expanded a little at a time and a line
longer than the limit is dropped while it streams past, never collected.
"""

import difflib
import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import zstandard

from llmagentos.corpus._document import Skipped
from llmagentos.corpus._zstd import read_zstd
from llmagentos.errors import InputError

__all__ = ["FORMATS", "LINE_LIMIT_BYTES", "Source", "find_sources", "printable", "read_chunks", "read_lines"]

FORMATS = (".txt", ".md", ".rst", ".jsonl", ".csv", ".parquet")
_COMPRESSIONS = (".gz", ".zst")
LINE_LIMIT_BYTES = 16 << 20
_CHUNK_BYTES = 256 << 10


@dataclass(slots=True)
class Source:
    """One file, or standard input, that holds text.

    Args:
        path: the file; None for standard input.
        name: how ids and the manifest call it: relative to the input that was given.
        format: one of `FORMATS`, or "-" for standard input.
        compression: "", ".gz" or ".zst".
        named: given directly and not found in a folder, so that a mismatch is an error.
        num_bytes: size of the file as it is on disk; 0 for standard input.
        bytes_read: how much of that has been read so far.
    """

    path: Path | None
    name: str
    format: str
    compression: str
    named: bool
    num_bytes: int = 0
    bytes_read: int = field(default=0, compare=False)


def find_sources(given: str | Path) -> Iterator[Source | Skipped]:
    """The files of one input in sorted order, and what was passed over with the reason.

    Folders are searched recursively; names that begin with a dot are passed over; a folder that links
    back to one of its parents, or is linked to twice, is visited once.

    Raises:
        InputError: the path does not exist or may not be read, or is one file of a form that cannot be
            read.
    """
    if str(given) == "-":
        yield Source(None, "stdin", "-", "", named=True)
        return
    path = Path(os.path.expanduser(given))  # unlike pathlib's, it takes "~notes.txt" for a name
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise InputError(f"there is no file or folder {path}{_nearest_hint(path)}") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check the path, and that you may read it"
        ) from error
    if is_folder:
        yield from _walk(path, Path(path.resolve().name), set())
        return
    source = _source_of(path, printable(path.name), named=True)
    if isinstance(source, Skipped):
        raise InputError(
            f"{path} is not a form of text that can be read ({', '.join(FORMATS)}, also with .gz or .zst "
            f"except .parquet); plain text in another file can be piped: llmagentos train - < {path.name}"
        )
    yield source


def _walk(folder: Path, name: Path, visited: set[tuple[int, int]]) -> Iterator[Source | Skipped]:
    try:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        # Visited once, not once a path: folders that link to each other have factorially many paths.
        if identity in visited:
            yield Skipped(reason="link to a folder already read", location=printable(name.as_posix()))
            return
        visited.add(identity)
        entries = sorted(os.listdir(folder))
    except OSError:
        yield Skipped(reason="folder cannot be read", location=printable(name.as_posix()))
        return
    for entry in entries:
        if entry.startswith("."):
            continue
        path = folder / entry
        # os.path, because before Python 3.12 pathlib raises where the folder may not be entered.
        if os.path.isdir(path):
            yield from _walk(path, name / entry, visited)
        else:
            yield _source_of(path, printable((name / entry).as_posix()), named=False)


def _source_of(path: Path, name: str, *, named: bool) -> Source | Skipped:
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    compression = suffixes.pop() if suffixes and suffixes[-1] in _COMPRESSIONS else ""
    form = suffixes[-1] if suffixes else ""
    try:
        status = path.stat()
    except OSError:
        return Skipped(reason="file cannot be read", location=name)
    if form not in FORMATS or (form == ".parquet" and compression):
        return Skipped(
            reason=f"file type not read: {printable(form + compression) if form else 'no suffix'}",
            location=name,
        )
    # A pipe that was named has somebody who writes to it; one that lies in a folder may wait for ever.
    if not named and not stat.S_ISREG(status.st_mode):
        return Skipped(reason="no regular file", location=name)
    return Source(path, name, form, compression, named, status.st_size)


def printable(name: str) -> str:
    """A path with what is no UTF-8 replaced: file names are bytes, ids and the manifest are text."""
    return os.fsencode(name).decode("utf-8", "replace")


def _nearest_hint(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist either, so check the spelling of the whole path"
    try:
        # what a run has begun to write is no text, and often has the name of its input in its own
        others = [name for name in os.listdir(path.parent) if not name.endswith(".partial")]
        near = difflib.get_close_matches(path.name, others, n=1)
    except OSError:
        near = []
    return f"; did you mean {path.parent / near[0]}?" if near else "; check the spelling of the path"


class _CountedFile(io.RawIOBase):
    """A source's bytes as they are on disk, counted, for progress on compressed files."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._file: BinaryIO = sys.stdin.buffer if source.path is None else source.path.open("rb")

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._source.bytes_read += len(data)
        return data

    def close(self) -> None:
        """Close the file; standard input belongs to the caller."""
        if not self.closed and self._source.path is not None:
            self._file.close()
        super().close()


def read_chunks(source: Source) -> Iterator[bytes | Skipped]:
    """The bytes of a source, decompressed, in pieces; a damaged or unreadable rest is one `Skipped`."""
    try:
        with _CountedFile(source) as file:
            if source.compression == ".gz":
                with gzip.GzipFile(fileobj=file) as expanded:
                    while chunk := expanded.read(_CHUNK_BYTES):
                        yield chunk
            elif source.compression == ".zst":
                yield from read_zstd(file)
            else:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError):
        yield Skipped(reason="damaged compressed file (the rest of it)", location=source.name)
    except OSError as error:
        yield Skipped(reason=f"file cannot be read ({error.strerror or error})", location=source.name)


def read_lines(
    chunks: Iterator[bytes | Skipped], name: str, limit: int | None = None
) -> Iterator[tuple[int, bytes] | Skipped]:
    r"""Lines with their number from 1, without the line end; a line over `limit` is one `Skipped`.

    Examples:
        >>> list(read_lines(iter([b"a\nb", b"c\n"]), "x"))
        [(1, b'a'), (2, b'bc')]
    """
    limit = LINE_LIMIT_BYTES if limit is None else limit
    number = 1
    tail: list[bytes] = []
    tail_bytes = 0
    for chunk in chunks:
        if isinstance(chunk, Skipped):
            # What came before the damage is still good, except for the line that it cut.
            tail, tail_bytes = [], 0
            yield chunk
            continue
        first, newline, rest = chunk.partition(b"\n")
        tail_bytes += len(first)
        if tail_bytes <= limit:
            tail.append(first)
        else:
            tail.clear()
        if not newline:
            continue
        yield _line(number, tail, tail_bytes, limit, name)
        number += 1
        lines = rest.split(b"\n")
        last = lines.pop()
        for line in lines:
            yield _line(number, [line], len(line), limit, name)
            number += 1
        tail, tail_bytes = ([last], len(last)) if len(last) <= limit else ([], len(last))
    if tail_bytes:
        yield _line(number, tail, tail_bytes, limit, name)


def _line(
    number: int, parts: list[bytes], num_bytes: int, limit: int, name: str
) -> tuple[int, bytes] | Skipped:
    if num_bytes > limit:
        return Skipped(reason=f"line longer than {_size(limit)}", location=f"{name}:{number}")
    return number, b"".join(parts)


def _size(num_bytes: int) -> str:
    return f"{num_bytes >> 20} MiB" if num_bytes >= 1 << 20 else f"{num_bytes} bytes"
