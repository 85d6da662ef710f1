"""Settings of the tokens stage."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError


def _visible(word: str) -> str:
    if not word.split():
        raise PydanticCustomError("empty_word", "must not hold a text without a visible character")
    return word


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TokensConfig:
    """How text becomes tokens: which words are protected, and how a tokenizer is trained.

    Only a `static` encoder has its tokenizer trained; pretrained encoders bring their own.

    Args:
        kind: the model of the tokenizer.
        vocabulary_size: entries of the tokenizer at the most; a small corpus gives fewer. Left open it
            is 30,000, and 8,000 for text that is mostly in scripts without spaces between words.
        protect: words and phrases that no view deletes, replaces or misspells, as well as numbers,
            addresses, code and negations, which never are. They match whole words, in scripts without
            spaces between words anywhere, whatever the case.

    Example:
        >>> TokensConfig(protect=("Kubernetes", "pay per use")).kind
        'unigram'
    """

    kind: Annotated[Literal["unigram", "wordpiece"], Field(description="unigram or wordpiece")] = "unigram"
    vocabulary_size: Annotated[
        int | None, Field(ge=300, le=1_000_000, description="8000 to 60000 is usual; unset = by script")
    ] = None
    protect: Annotated[
        tuple[Annotated[str, AfterValidator(_visible)], ...],
        Field(description='a list of words and phrases such as ["Kubernetes", "pay per use"]'),
    ] = ()
