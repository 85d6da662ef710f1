"""What a corpus is made of, in one small JSON file that is written last.

A folder with a manifest is complete; every document that went in is either in a shard or counted in
`dropped`: documents_read + passages_added = documents_kept + the sum of dropped.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import orjson
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from llmagentos.corpus._config import CorpusConfig
from llmagentos.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["MANIFEST_VERSION", "InputSummary", "Manifest", "ShardSummary"]

MANIFEST_VERSION = 3
_Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class InputSummary:
    """One input as it was given: its path, and the bytes that were read from it."""

    path: str
    num_bytes: _Count


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ShardSummary:
    """One Parquet file: its name, its documents and its size in bytes."""

    name: str
    num_documents: _Count
    num_bytes: _Count


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Manifest:
    """Every count of a corpus.

    Args:
        documents_read: documents and unusable things that the readers met.
        passages_added: how many more documents there are because long ones were cut.
        documents_kept: num_training + num_heldout.
        dropped: number by reason.
        dropped_samples: up to two places by reason, never a text.
        repaired: number of documents that were changed beyond white space, by what was repaired.
        languages: kept documents by guessed language; "" is not clear.
        characters: in the kept texts, without titles.
        text_bytes: the same in UTF-8 bytes.
        fingerprint: SHA-256 over the kept documents in their order, training first; the next stages
            know by it whether they have seen this corpus.
        notes: sentences that a person should read, such as a held-out part cut down to half.

    Examples:
        >>> Manifest.from_json(b"{}")
        Traceback (most recent call last):
        llmagentos.errors.InputError: the manifest is damaged (version: Field required); build it again
    """

    version: int
    fingerprint: str
    documents_read: _Count
    passages_added: _Count
    documents_kept: _Count
    num_training: _Count
    num_heldout: _Count
    characters: _Count
    text_bytes: _Count
    dropped: dict[str, int]
    dropped_samples: dict[str, tuple[str, ...]]
    repaired: dict[str, int]
    languages: dict[str, int]
    notes: tuple[str, ...]
    inputs: tuple[InputSummary, ...]
    config: CorpusConfig
    shards: tuple[ShardSummary, ...]

    def to_json(self) -> bytes:
        """The manifest as indented JSON with a fixed order of keys."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @staticmethod
    def from_json(data: bytes) -> "Manifest":
        """The manifest in `data`.

        Raises:
            InputError: it is damaged or was written by another version of this program.
        """
        try:
            return TypeAdapter(Manifest).validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "JSON"
            raise InputError(f"the manifest is damaged ({where}: {first['msg']}); build it again") from error

    def __rich__(self) -> "RenderableType":
        """`rich.print(manifest)` shows it as tables."""
        from llmagentos.corpus._table import tables

        return tables(self)
