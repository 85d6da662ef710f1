"""Documents in Parquet files: columns of strings, zstandard, a few thousand rows a group.

Parquet because every data tool reads it, and because a column (the text, say) is read without the rest.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llmagentos.corpus._document import Document
from llmagentos.corpus._parquet import ARROW_ERRORS
from llmagentos.errors import InputError

__all__ = ["COLUMNS", "KEYED_COLUMNS", "ShardWriter", "read_batches", "read_shard", "schema", "values_of"]

COLUMNS = ("id", "title", "text", "language", "source", "group", "time", "speaker", "reply_to", "passage")
KEYED_COLUMNS = (*COLUMNS, "hash", "key")
_GROUP_ROWS = 4_096
# A row group waits in memory as Python strings: 32 MB of text bound it where texts are long.
_GROUP_BYTES = 32 << 20
_SHARD_BYTES = 512 << 20


def schema(*, keyed: bool) -> pa.Schema:
    """The columns of a shard; a keyed one also has the 32-byte key of the held-out split."""
    fields: list[tuple[str, pa.DataType]] = [(name, pa.string()) for name in COLUMNS]
    fields.append(("hash", pa.binary(16)))
    if keyed:
        fields.append(("key", pa.binary(32)))
    return pa.schema(fields)


def values_of(document: Document) -> tuple[str, ...]:
    """What a document has in each of the `COLUMNS`."""
    return tuple(getattr(document, name) for name in COLUMNS)


class ShardWriter:
    """Writes rows to PREFIX-00000.parquet, PREFIX-00001.parquet and so on.

    Args:
        folder: must exist.
        prefix: first part of the file names.
        keyed: with the key column.
        level: of zstandard; 1 for files that live for minutes.
    """

    def __init__(self, folder: Path, prefix: str, *, keyed: bool, level: int = 3) -> None:
        self._folder, self._prefix, self._level = folder, prefix, level
        self._schema = schema(keyed=keyed)
        self._waiting: list[Sequence[str | bytes]] = []
        self._waiting_bytes = self._open_bytes = self._open_rows = 0
        self._writer: pq.ParquetWriter | None = None
        self.finished: list[tuple[Path, int]] = []

    def add(self, row: Sequence[str | bytes], num_bytes: int) -> None:
        """Append one row, in the order of the columns, whose text and title have `num_bytes`."""
        self._waiting.append(row)
        self._waiting_bytes += num_bytes
        if len(self._waiting) >= _GROUP_ROWS or self._waiting_bytes >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what waits and finish the last shard."""
        if self._waiting:
            self._flush()
        self._finish()

    def abort(self) -> None:
        """Let go of the open file after an error; what it holds is to be deleted."""
        if self._writer is not None:
            self._file.close()
            self._writer = None

    def _flush(self) -> None:
        if self._writer is None:
            path = self._folder / f"{self._prefix}-{len(self.finished):05d}.parquet"
            self._path, self._file = path, open(path, "wb")  # noqa: SIM115 - closed in _finish and abort
            self._writer = pq.ParquetWriter(
                self._file,
                self._schema,
                compression="zstd",
                compression_level=self._level,
                use_dictionary=["language", "source", "group"],
                write_page_checksum=True,
            )
        columns = [list(column) for column in zip(*self._waiting, strict=True)]
        table = pa.Table.from_arrays(
            [pa.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)],
            schema=self._schema,
        )
        self._writer.write_table(table, len(self._waiting))
        self._open_bytes += self._waiting_bytes
        self._open_rows += len(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        if self._open_bytes >= _SHARD_BYTES:
            self._finish()

    def _finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._file.close()
            self._writer = None
            self.finished.append((self._path, self._open_rows))
            self._open_bytes = self._open_rows = 0


def read_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of one shard, some columns, a row group at a time.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        yield from file.iter_batches(_GROUP_ROWS, columns=columns)
    except ARROW_ERRORS as error:
        raise InputError(
            f"the corpus file {path} is {'damaged' if path.exists() else 'missing'}; build the corpus again"
        ) from error


def read_shard(path: Path) -> Iterator[Document]:
    """The documents of one shard in their order."""
    for batch in read_batches(path, COLUMNS):
        for values in zip(*(batch.column(name).to_pylist() for name in COLUMNS), strict=True):
            yield Document(**dict(zip(COLUMNS, values, strict=True)))
