"""Settings of the tokens stage."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TokensConfig:
    """How the tokenizer of a `static` encoder is trained; pretrained encoders bring their own.

    Args:
        kind: the model of the tokenizer.
        vocabulary_size: entries of the tokenizer at the most; a small corpus gives fewer. Left open it
            is 30,000, and 8,000 for text that is mostly in scripts without spaces between words.

    Example:
        >>> TokensConfig().kind
        'unigram'
    """

    kind: Annotated[Literal["unigram", "wordpiece"], Field(description="unigram or wordpiece")] = "unigram"
    vocabulary_size: Annotated[
        int | None, Field(ge=300, le=1_000_000, description="8000 to 60000 is usual; unset = by script")
    ] = None
