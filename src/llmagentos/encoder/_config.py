"""Settings of the encoder stage."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class EncoderConfig:
    """Shape of an encoder that is trained from nothing; a pretrained one brings its own.

    Args:
        dimension: D of a `static` encoder.

    Example:
        >>> EncoderConfig().dimension
        512
    """

    dimension: Annotated[int, Field(ge=2, le=8192, description="256 to 1024 is usual")] = 512
