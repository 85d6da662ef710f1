"""The few functions of pyarrow that the corpus uses, with types, since pyarrow ships none."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Protocol, cast

__all__ = ["Batch", "ParquetFile", "Schema", "Writer", "arrow", "arrow_errors", "parquet"]


class Column(Protocol):
    """A column of a batch."""

    def to_pylist(self) -> list[Any]:
        """Its values as Python objects."""

    def __getitem__(self, index: int) -> Any:
        """A scalar with `as_py`."""


class Schema(Protocol):
    """Names and types of the columns."""

    names: list[str]

    def __iter__(self) -> Iterator[Any]:
        """The fields, each with name and type."""


class Batch(Protocol):
    """Some rows."""

    num_rows: int
    schema: Schema

    def to_pylist(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""

    def column(self, name: str) -> Column:
        """One column."""


class ParquetFile(Protocol):
    """An open Parquet file."""

    schema_arrow: Schema
    metadata: Any

    def iter_batches(self, batch_size: int, *, columns: Sequence[str]) -> Iterator[Batch]:
        """The rows, at most `batch_size` at a time."""


class Writer(Protocol):
    """A Parquet file that is being written."""

    def write_table(self, table: object, row_group_size: int) -> None:
        """Append rows."""

    def close(self) -> None:
        """Write the footer."""


class _Arrow(Protocol):
    def schema(self, fields: Sequence[tuple[str, object]]) -> Schema: ...

    def string(self) -> object: ...

    def binary(self, length: int) -> object: ...

    def array(self, values: object, type: object) -> object: ...

    @property
    def Table(self) -> Any: ...  # noqa: N802 - pyarrow's own name


class _ParquetModule(Protocol):
    def ParquetFile(self, source: object, *, page_checksum_verification: bool = False) -> ParquetFile: ...  # noqa: N802

    def ParquetWriter(  # noqa: N802 - pyarrow's own name
        self,
        where: BinaryIO,
        schema: Schema,
        *,
        compression: str,
        compression_level: int,
        use_dictionary: Sequence[str],
        write_page_checksum: bool,
    ) -> Writer: ...


def arrow() -> _Arrow:
    """The module pyarrow, imported when it is first needed (0.1 s)."""
    return cast(_Arrow, importlib.import_module("pyarrow"))


def parquet() -> _ParquetModule:
    """The module pyarrow.parquet."""
    return cast(_ParquetModule, importlib.import_module("pyarrow.parquet"))


def arrow_errors() -> tuple[type[Exception], ...]:
    """What pyarrow raises on a damaged file; an OSError with an errno means the disk, not the file."""
    library = cast(Mapping[str, Any], vars(importlib.import_module("pyarrow.lib")))
    return (library["ArrowException"], ValueError, OSError)
