"""What is done to a text: a preset, and a rate for each operation.

Which augmentation helps depends on the length of the text (published results conflict), so a preset
names a kind of text and any rate that is given overrides the preset's. The order is fixed and the
same for every recipe: crop, sentence reordering, word swap, word replacement, word deletion,
repetition, character noise, cut to the token budget. What moves units comes before what adds or takes
out any, so a rate means the same whichever others are on.
"""

from dataclasses import asdict, replace
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from llmagentos.errors import ConfigError

Preset = Literal["crop", "span", "paragraph", "sentence", "dropout", "seed"]


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A `ViewsConfig` with every rate settled; its fields can be written down and read as one.

    Attributes:
        preset: the name it came from.
        crop_min: smallest share of a text's units that a crop keeps, in (0, 1].
        crop_max: largest share; crop_min = crop_max = 1 keeps the whole text.
        sentence_reordering: probability that a sentence is drawn to change places, 0 to 1.
        word_swap: expected share of units that change places with a neighbour, 0 to 1.
        word_replacement: probability that a word with related words becomes one of them, 0 to 1.
        word_deletion: probability that a unit is left out, 0 to 1.
        repetition: probability that a unit is said twice, 0 to 1.
        character_noise: probability that a word gets one typing error, 0 to 1.
        dictionary: file of related words, or None to learn them from the corpus.
    """

    preset: Preset
    crop_min: float = 1.0
    crop_max: float = 1.0
    sentence_reordering: float = 0.0
    word_swap: float = 0.0
    word_replacement: float = 0.0
    word_deletion: float = 0.0
    repetition: float = 0.0
    character_noise: float = 0.0
    dictionary: str | None = None

    @property
    def crops(self) -> bool:
        """Whether a crop is taken at all."""
        return self.crop_min < 1.0


_PRESETS: dict[Preset, Recipe] = {
    "crop": Recipe(preset="crop", crop_min=0.1, crop_max=0.5),
    "span": Recipe(preset="span", crop_min=0.3, crop_max=0.8),
    "paragraph": Recipe(preset="paragraph", crop_min=0.1, crop_max=0.5, word_deletion=0.1),
    "sentence": Recipe(preset="sentence", repetition=0.2),
    "dropout": Recipe(preset="dropout"),
    "seed": Recipe(
        preset="seed",
        word_replacement=0.1,
        word_deletion=0.1,
        word_swap=0.1,
        sentence_reordering=0.5,
        character_noise=0.05,
    ),
}

_Rate = Annotated[
    float | None, Field(ge=0.0, le=1.0, description="0.05 to 0.3 is usual; unset = the preset's")
]
_Share = Annotated[
    float | None, Field(gt=0.0, le=1.0, description="0.1 to 0.5 is usual; unset = the preset's")
]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ViewsConfig:
    """How views are made: a preset and the rates that differ from it.

    Args:
        preset: `crop` (two crops of 10-50%), `span` (of 30-80%: what a Transformer already understands
            is more than words in common), `paragraph` (crops of 10-50% with 10% deletion),
            `sentence` (20% of the words said twice), `dropout` (the same text twice; the encoder's
            dropout makes the difference), `seed` (the five operations of the seed, no crop); None leaves
            the choice to who trains, and is `crop` here.
        crop_min: smallest share of a text's units in a view, in (0, 1].
        crop_max: largest share, crop_min to 1; crop_min = crop_max = 1 turns the crop off.
        sentence_reordering: probability that a sentence is drawn to change places, 0 to 1.
        word_swap: share of units that change places with a neighbour, 0 to 1.
        word_replacement: probability that a word with related words becomes one of them, 0 to 1.
        word_deletion: probability that a unit is left out, 0 to 1.
        repetition: probability that a unit is said twice, 0 to 1.
        character_noise: probability that a word gets one typing error, 0 to 1.
        dictionary: file of lines `word<TAB>synonym|synonym` used for word_replacement; without it,
            related words are learned from the corpus.

    Example:
        >>> recipe = ViewsConfig(preset="crop", word_deletion=0.2).resolved()
        >>> recipe.crop_max, recipe.word_deletion, recipe.word_swap
        (0.5, 0.2, 0.0)
    """

    preset: Annotated[
        Preset | None, Field(description="crop, span, paragraph, sentence, dropout or seed; unset = chosen")
    ] = None
    crop_min: _Share = None
    crop_max: _Share = None
    sentence_reordering: _Rate = None
    word_swap: _Rate = None
    word_replacement: _Rate = None
    word_deletion: _Rate = None
    repetition: _Rate = None
    character_noise: _Rate = None
    dictionary: Annotated[str | None, Field(description="a file of lines word<TAB>synonym|synonym")] = None

    def resolved(self) -> Recipe:
        """Settle every rate: the one given, or the preset's.

        Returns:
            The recipe; `ViewsConfig(**dataclasses.asdict(recipe))` resolves to the same one.

        Raises:
            ConfigError: crop_min is above crop_max.
        """
        given = {name: value for name, value in asdict(self).items() if value is not None}
        recipe = replace(_PRESETS[self.preset or "crop"], **given)
        if recipe.crop_min > recipe.crop_max:
            raise ConfigError(
                f"views.crop_min must be at most views.crop_max, got {recipe.crop_min:g} and "
                f"{recipe.crop_max:g} (preset {recipe.preset}); give both, 0.1 and 0.5 are usual"
            )
        return recipe
