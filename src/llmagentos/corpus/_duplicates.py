"""Finds exact duplicates among billions of texts with bounded memory.

The 128-bit hashes wait in memory while they are few, and go to one file per leading byte when they are
many; equal hashes share a file, so that each file is solved alone, by sorting.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["DuplicateFinder"]

_NUM_PARTITIONS = 256
_RECORD = np.dtype([("high", ">u8"), ("low", ">u8"), ("index", "<u8")])
# 4 million records are 96 MB, and as much again while they are sorted.
_RECORDS_IN_MEMORY = 4 << 20


class DuplicateFinder:
    """Collects the hashes of texts 0, 1, 2, ... and says which of them appeared before.

    Args:
        folder: where the hashes go when they are too many for memory; must exist.
        records_in_memory: from how many on.

    Examples:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     finder = DuplicateFinder(pathlib.Path(folder))
        ...     for text in ("a", "b", "a"):
        ...         finder.add(text.encode().ljust(16))
        ...     finder.first_occurrences().tolist()
        [True, True, False]
    """

    def __init__(self, folder: Path, *, records_in_memory: int = _RECORDS_IN_MEMORY) -> None:
        self._folder = folder
        self._limit = records_in_memory
        self._hashes = bytearray()
        self._num_texts = 0
        self._spilled = 0

    def add(self, digest: bytes) -> None:
        """Take the 16-byte hash of the next text."""
        self._hashes += digest
        self._num_texts += 1
        if self._num_texts - self._spilled >= self._limit:
            self._spill()

    def first_occurrences(self) -> npt.NDArray[np.bool_]:
        """For each text whether no text before it was the same, shape (number of texts,)."""
        first = np.ones(self._num_texts, dtype=np.bool_)
        for records in self._partitions():
            order = np.lexsort((records["index"], records["low"], records["high"]))
            ordered = records[order]
            same = (ordered["high"][1:] == ordered["high"][:-1]) & (ordered["low"][1:] == ordered["low"][:-1])
            first[ordered["index"][1:][same]] = False
        return first

    def _waiting(self) -> npt.NDArray[np.void]:
        pairs = np.frombuffer(bytes(self._hashes), dtype=">u8").reshape(-1, 2)
        records = np.empty(len(pairs), dtype=_RECORD)
        records["high"], records["low"] = pairs[:, 0], pairs[:, 1]
        records["index"] = np.arange(self._spilled, self._num_texts, dtype=np.uint64)
        return records

    def _spill(self) -> None:
        records = self._waiting()
        partitions = (records["high"] >> np.uint64(56)).astype(np.uint8)
        order = np.argsort(partitions, kind="stable")
        ends = np.cumsum(np.bincount(partitions, minlength=_NUM_PARTITIONS))
        for number, part in enumerate(np.split(records[order], ends[:-1])):
            with open(self._folder / f"hashes-{number:02x}", "ab") as file:
                file.write(part.tobytes())
        self._hashes.clear()
        self._spilled = self._num_texts

    def _partitions(self) -> Iterator[npt.NDArray[np.void]]:
        if not self._spilled:
            yield self._waiting()
            return
        self._spill()
        for number in range(_NUM_PARTITIONS):
            path = self._folder / f"hashes-{number:02x}"
            yield np.fromfile(path, dtype=_RECORD)
            path.unlink()
