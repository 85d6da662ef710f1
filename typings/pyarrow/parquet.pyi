from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from pyarrow import RecordBatch, Schema, Table

class FileMetaData:
    num_rows: int

class ParquetFile:
    schema_arrow: Schema
    metadata: FileMetaData
    def __init__(
        self, source: str | Path | IO[bytes] | None, *, page_checksum_verification: bool = False
    ) -> None: ...
    def iter_batches(
        self, batch_size: int = ..., *, columns: Sequence[str] | None = None
    ) -> Iterator[RecordBatch]: ...

class ParquetWriter:
    def __init__(
        self,
        where: str | Path | IO[bytes],
        schema: Schema,
        *,
        compression: str = ...,
        compression_level: int | None = None,
        use_dictionary: bool | Sequence[str] = True,
        write_page_checksum: bool = False,
    ) -> None: ...
    def write_table(self, table: Table, row_group_size: int | None = None) -> None: ...
    def close(self) -> None: ...

def read_table(source: str | Path) -> Table: ...
def write_table(table: Table, where: str | Path) -> None: ...
