"""Settings of the encoder stage."""

from dataclasses import replace
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from llmagentos.errors import ConfigError


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class EncoderConfig:
    """Shape of an encoder that is trained from nothing, and what is added to a pretrained one.

    Args:
        dimension: D of a `static` encoder, and of a `small` one, which grows on it; left open 1,024 and 512.
        layers: of a `small` encoder.
        heads: of the attention of each layer; they divide the dimension.
        teacher: of a `static` or `small` encoder, what `load_encoder` takes; its vectors of single words are
            in the first ones, in place of co-occurrence (embedding distillation).
        adapt_vocabulary: give a Transformer the words of the corpus that its tokenizer lacks, and train their
            vectors faster than its layers (`training.table_rate`); the vectors of old words stay.

    Example:
        >>> EncoderConfig().resolved(grows=False).dimension
        1024
    """

    dimension: Annotated[
        int | None, Field(ge=2, le=8192, description="256 to 1024 is usual; unset = chosen for the encoder")
    ] = None
    layers: Annotated[int, Field(ge=1, le=100, description="2 to 6 is usual")] = 2
    heads: Annotated[int, Field(ge=1, le=128, description="dimension / 64 is usual")] = 8
    teacher: Annotated[
        str | None,
        Field(min_length=1, description="minilm, a Hugging Face id or a model folder; unset = none"),
    ] = None
    adapt_vocabulary: Annotated[bool, Field(description="true or false")] = False

    def resolved(self, *, grows: bool) -> "EncoderConfig":
        """The same settings with a dimension.

        A static encoder may be wide, for its vectors can be cut (`StaticEncoder.turn_to_principal_axes`).

        Args:
            grows: a Transformer grows on the table.

        Returns:
            What was given, or 512 for one that grows and else 1,024.
        """
        return replace(self, dimension=self.dimension or (512 if grows else 1024))

    def check_heads(self, width: int) -> None:
        """Refuse heads that do not share the width evenly, or whose columns rotary positions cannot pair.

        Raises:
            ConfigError: width is no multiple of twice the heads.
        """
        if width % (2 * self.heads):
            fitting = [heads for heads in range(1, 129) if width % (2 * heads) == 0]
            nearest = min(fitting, key=lambda heads: abs(heads - self.heads), default=None)
            advice = "choose an even dimension" if nearest is None else f"{nearest} is the nearest that does"
            raise ConfigError(
                f"heads must divide half the width of the encoder, which is {width}, got {self.heads}; "
                f"{advice} (encoder.heads)"
            )
