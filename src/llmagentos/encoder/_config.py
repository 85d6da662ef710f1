"""Settings of the encoder stage."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class EncoderConfig:
    """Shape of an encoder that is trained from nothing, and what is added to a pretrained one.

    Args:
        dimension: D of a `static` encoder.
        adapt_vocabulary: give a Transformer the words of the corpus that its tokenizer lacks, and train only
            their vectors: texts without such words keep the vectors that they have.

    Example:
        >>> EncoderConfig().dimension
        512
    """

    dimension: Annotated[int, Field(ge=2, le=8192, description="256 to 1024 is usual")] = 512
    adapt_vocabulary: Annotated[bool, Field(description="true or false")] = False
