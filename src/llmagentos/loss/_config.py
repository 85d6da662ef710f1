"""Settings of the loss stage, and the ranges in which it can compute."""

import math
from dataclasses import replace
from typing import Annotated, Final

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticKnownError

from llmagentos.errors import ConfigError

# With both at their ends logits lie up to 2 (1 / 0.005 + 100) = 600 apart. exp(-600) is 1e-261, and float64
# ends at 1e-308.
_LOWEST_TEMPERATURE = 0.005
_GREATEST_HARDNESS = 100.0
DEFAULT_TEMPERATURE: Final = 0.05
_USUAL_TEMPERATURE = "0.02 to 0.1 is usual"
_USUAL_HARDNESS = "0 or 1 to 9 is usual"
_USUAL_DIMENSIONS = "lengths such as [64, 128, 256]"


def _computable(temperature: float | None) -> float | None:
    if temperature is not None and temperature < _LOWEST_TEMPERATURE:
        raise PydanticKnownError("greater_than_equal", {"ge": _LOWEST_TEMPERATURE})
    return temperature


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LossConfig:
    """Settings of the loss.

    Args:
        temperature: tau, from 0.005; open, 0.05, but of short texts 0.1 for a Transformer or where a trial
            prefers it, and 0.03 for new words.
        hardness: alpha, 0 to 100, how much more negatives count that are like the text; 0 = all alike.
        dimensions: the first so many numbers of a vector are trained to do alone as well (Matryoshka).

    Example:
        >>> LossConfig().resolved().temperature
        0.05
    """

    temperature: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description=_USUAL_TEMPERATURE),
        AfterValidator(_computable),
    ] = None
    hardness: Annotated[
        float, Field(ge=0, le=_GREATEST_HARDNESS, allow_inf_nan=False, description=_USUAL_HARDNESS)
    ] = 0.0
    dimensions: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(description=f"a list of {_USUAL_DIMENSIONS}")
    ] = ()

    def resolved(self) -> "LossConfig":
        """The same settings with a temperature."""
        return self if self.temperature is not None else replace(self, temperature=DEFAULT_TEMPERATURE)


def check_settings(temperature: float | None, hardness: float, dimensions: tuple[int, ...] = ()) -> None:
    """Refuse what `LossConfig` refuses, for those who call the loss without it.

    Args:
        temperature: tau; a loss has no trial that could choose it, so it must not be open.
        hardness: alpha.
        dimensions: of Matryoshka.

    Raises:
        ConfigError: One of them is out of its range.
    """
    for length in dimensions:
        if length < 1:
            raise ConfigError(
                f"dimensions must be >= 1, got {length}; {_USUAL_DIMENSIONS} are usual (loss.dimensions)"
            )
    if temperature is None:
        raise ConfigError(
            f"temperature is open, and a loss needs a number; {_USUAL_TEMPERATURE}, and "
            f"LossConfig.resolved() has {DEFAULT_TEMPERATURE:g} (loss.temperature)"
        )
    for name, value, least, most, usual in (
        ("temperature", temperature, _LOWEST_TEMPERATURE, math.inf, _USUAL_TEMPERATURE),
        ("hardness", hardness, 0.0, _GREATEST_HARDNESS, _USUAL_HARDNESS),
    ):
        if not math.isfinite(value):
            allowed = "a finite number"
        elif name == "temperature" and value <= 0:
            allowed = "> 0"
        elif value < least:
            allowed = f">= {least:g}"
        elif value > most:
            allowed = f"<= {most:g}"
        else:
            continue
        raise ConfigError(f"{name} must be {allowed}, got {value:g}; {usual} (loss.{name})")
