"""Reads zstandard with bounded memory, and notices where a file was cut off."""

from collections.abc import Iterator
from typing import Protocol

import zstandard

__all__ = ["read_zstd"]

_CHUNK_BYTES = 256 << 10
# zstd can expand a run of one byte 30,000-fold; half a KiB at a time bounds the worst case to 16 MB.
_COMPRESSED_STEP_BYTES = 512
# `zstd --long=31` needs a window of 2 GiB; the library refuses above 128 MiB unless told.
_WINDOW_BYTES = 1 << 31


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_zstd(file: _Readable) -> Iterator[bytes]:
    """The expanded bytes of a file of one or more zstandard frames, in pieces.

    Raises:
        EOFError: the file ends inside a frame.
        zstandard.ZstdError: it is damaged or is no zstandard.

    Examples:
        >>> import io
        >>> frame = zstandard.compress(b"text")
        >>> b"".join(read_zstd(io.BytesIO(frame + frame)))
        b'texttext'
    """
    # The library's own stream reader ends a truncated frame silently, so frames are followed by hand.
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    frame = decompressor.decompressobj()
    started = False
    pieces: list[bytes] = []
    collected = 0
    while step := file.read(_COMPRESSED_STEP_BYTES):
        while step:
            piece = frame.decompress(step)
            started, step = True, b""
            collected += len(piece)
            pieces.append(piece)
            if frame.eof:
                step = frame.unused_data
                frame, started = decompressor.decompressobj(), False
        if collected >= _CHUNK_BYTES:
            yield b"".join(pieces)
            pieces, collected = [], 0
    if pieces:
        yield b"".join(pieces)
    if started:
        raise EOFError("the compressed data ends early")
