"""Vectors of whole files of text: rows of a .npy, or id, title, text and vector in a .parquet.

Texts stream through in chunks, so memory does not grow with the file, and the result is written
beside its place and renamed, so it is whole or absent.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from llmagentos.corpus import Document, Skipped, disk_errors
from llmagentos.errors import InputError, OutputError
from llmagentos.model._embedding_model import EmbeddingModel

# Enough to sort texts by length within a chunk; with long texts the characters bound the memory.
_CHUNK_TEXTS: Final = 4_096
_CHUNK_CHARACTERS: Final = 8_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """What `write_embeddings` wrote.

    Attributes:
        num_texts: rows of the file.
        skipped: how many things in the input were no text, by reason.
    """

    num_texts: int
    skipped: dict[str, int]


def write_embeddings(
    model: EmbeddingModel,
    documents: Iterable[Document | Skipped],
    out: str | Path,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Embedded:
    """Embed every document as it comes, without cleaning, cutting or dropping any.

    Args:
        model: embeds.
        documents: such as `read_documents` gives; what is `Skipped` gets no row and is counted.
        out: a new file. `.npy`: float32 (n, D). `.parquet`: columns id, title, text (strings) and
            vector (list of D float32).
        on_progress: called after every chunk with the number of rows so far.

    Returns:
        The number of rows, and what was skipped.

    Raises:
        InputError: there is not one document.
        OutputError: `out` exists, has another ending, or cannot be written; nothing half-written stays.
    """
    out = Path(out)
    if out.suffix not in _FORMATS:
        raise OutputError(f"--out must end in {' or '.join(_FORMATS)}, got {out}; for example {out}.npy")
    if out.exists():
        raise OutputError(f"{out} exists already; choose another --out, or remove it first")
    partial = out.with_name(f".{out.name}.partial")
    skipped: Counter[str] = Counter()
    num_texts = 0
    with disk_errors(out, partial):
        out.parent.mkdir(parents=True, exist_ok=True)
        with _FORMATS[out.suffix](partial, model.dimension) as rows:
            for chunk in _chunks(documents, skipped):
                rows.write(chunk, model.encode([document.text for document in chunk]))
                num_texts += len(chunk)
                if on_progress is not None:
                    on_progress(num_texts)
        if not num_texts:
            reasons = ", ".join(f"{reason} ({count})" for reason, count in skipped.most_common(5))
            raise InputError(
                f"there is no text to embed{', found: ' + reasons if reasons else ''}; give text"
            )
        partial.rename(out)
    return Embedded(num_texts=num_texts, skipped=dict(skipped))


def _chunks(documents: Iterable[Document | Skipped], skipped: Counter[str]) -> Iterator[list[Document]]:
    chunk: list[Document] = []
    characters = 0
    for item in documents:
        if isinstance(item, Skipped):
            skipped[item.reason] += 1
            continue
        chunk.append(Document(id=_writable(item.id), title=_writable(item.title), text=_writable(item.text)))
        characters += len(item.text)
        if len(chunk) >= _CHUNK_TEXTS or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _writable(text: str) -> str:
    """The text as UTF-8 can hold it: half a surrogate pair, from a broken JSON escape, becomes "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


class _Rows(Protocol):
    def write(self, documents: list[Document], vectors: npt.NDArray[np.float32]) -> None:
        """Append one row a document."""


class _NumpyRows:
    """Appends to an array file. NumPy leaves room in the header for the number of rows to grow."""

    def __init__(self, file: Any, dimension: int) -> None:
        self._file, self._dimension, self.num_rows = file, dimension, 0

    def write(self, documents: list[Document], vectors: npt.NDArray[np.float32]) -> None:
        self.num_rows += len(documents)
        self._file.write(vectors.astype("<f4").tobytes())

    def write_header(self) -> None:
        self._file.seek(0)
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.num_rows, self._dimension)}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextmanager
def _numpy_rows(path: Path, dimension: int) -> Iterator[_Rows]:
    with path.open("wb") as file:
        rows = _NumpyRows(file, dimension)
        rows.write_header()
        yield rows
        rows.write_header()


class _ParquetRows:
    def __init__(self, file: Any, dimension: int) -> None:
        self._dimension = dimension
        names = [(name, pa.string()) for name in ("id", "title", "text")]
        self._schema = pa.schema([*names, ("vector", pa.list_(pa.float32(), dimension))])
        self.writer = pq.ParquetWriter(file, self._schema, compression="zstd", use_dictionary=False)

    def write(self, documents: list[Document], vectors: npt.NDArray[np.float32]) -> None:
        strings = (
            [document.id for document in documents],
            [document.title for document in documents],
            [document.text for document in documents],
        )
        flat = pa.array(vectors.reshape(-1), type=pa.float32())
        columns = [pa.array(values, type=pa.string()) for values in strings]
        vector = pa.FixedSizeListArray.from_arrays(flat, self._dimension)
        self.writer.write_table(pa.Table.from_arrays([*columns, vector], schema=self._schema))


@contextmanager
def _parquet_rows(path: Path, dimension: int) -> Iterator[_Rows]:
    with path.open("wb") as file:
        rows = _ParquetRows(file, dimension)
        yield rows
        rows.writer.close()


_FORMATS: Final[dict[str, Callable[[Path, int], AbstractContextManager[_Rows]]]] = {
    ".npy": _numpy_rows,
    ".parquet": _parquet_rows,
}
