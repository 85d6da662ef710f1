"""The settings of the corpus stage, validated once, here."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

__all__ = ["CorpusConfig"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class CorpusConfig:
    """How text is read, cleaned and split.

    Args:
        text_field: field of jsonl rows, csv and Parquet columns that holds the text.
        min_characters: shorter texts are dropped; a Chinese, Japanese or Korean character counts as 3,
            because it carries about as much as 3 Latin letters.
        max_characters: longer texts are cut at paragraph, line, sentence or word ends into passages of
            at most this length; they keep the title, get the ids "ID#1", "ID#2" and so on, and share
            a group of their own where the text has none.
        heldout_key: what decides the side of a text, by SHA-256: its "content" or its "id". A passage
            follows the whole text that it was cut from.
        heldout_fraction: share of texts kept out of training; the same text stays on the same side when
            other text is added (but for a corpus so small that all its texts fall on one side: then
            one of them is held out, and may change). 0 holds nothing out.
        heldout_documents: instead of the fraction, exactly this number of texts, those with the
            smallest SHA-256 of the key (at most half of all texts).

    Examples:
        >>> CorpusConfig(min_characters=50).heldout_key
        'content'
    """

    text_field: Annotated[
        str, Field(min_length=1, description="the name of the column or key that holds the text")
    ] = "text"
    min_characters: Annotated[int, Field(ge=1, le=1_000_000, description="20 to 200 is usual")] = 20
    max_characters: Annotated[int, Field(ge=100, le=10_000_000, description="2,000 to 10,000 is usual")] = (
        4_000
    )
    heldout_key: Annotated[
        Literal["content", "id"], Field(description='"content", or "id" where ids are stable')
    ] = "content"
    heldout_fraction: Annotated[float, Field(ge=0, le=0.5, description="0.01 to 0.1 is usual")] = 0.05
    heldout_documents: Annotated[
        int | None, Field(ge=1, description="1,000 to 5,000 is usual, or nothing to use the fraction")
    ] = None
