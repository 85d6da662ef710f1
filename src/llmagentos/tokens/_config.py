"""Settings of the tokens stage."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TokensConfig:
    """How the tokenizer of a `static` encoder is trained; pretrained encoders bring their own.

    Args:
        kind: the model of the tokenizer.
        vocabulary_size: entries of the tokenizer at the most; a small corpus gives fewer.

    Example:
        >>> TokensConfig().kind
        'unigram'
    """

    kind: Annotated[Literal["unigram", "wordpiece"], Field(description="unigram or wordpiece")] = "unigram"
    vocabulary_size: Annotated[int, Field(ge=300, le=1_000_000, description="8000 to 60000 is usual")] = (
        30_000
    )
