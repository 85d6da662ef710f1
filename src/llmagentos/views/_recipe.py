"""What is done to a text: a preset, an amount of each operation, or a chain of one's own.

Which augmentation helps depends on the length of the text (published results conflict), so a preset
names a kind of text, and any amount that is given overrides the preset's. The order is then fixed and the
same for every recipe: crop, sentence reordering, word swap, word replacement, word deletion, repetition,
character noise, span masking, cut to the token budget. What moves units comes before what adds or takes
out any, so an amount means the same whichever others are on. Who wants another order, or a choice between
operations, writes a chain:

    [views]
    preset = "span"
    chain = [
        { operation = "word_replacement", amount = { rate = 0.1, at_most = 5 } },
        { one_of = [
            { operation = "word_deletion", amount = 0.1 },
            { operation = "word_swap", amount = 0.2 },
        ], weights = [2, 1], probability = 0.5 },
    ]
"""

from dataclasses import asdict, replace
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from llmagentos.errors import ConfigError
from llmagentos.views._links import (
    OPERATIONS,
    Amount,
    AmountValue,
    Chain,
    Link,
    Operation,
    OperationName,
    amount_of,
    check_swap,
    operations_of,
    said,
)

Preset = Literal["crop", "span", "paragraph", "sentence", "noisy", "dropout", "seed"]
CropRelation = Literal["independent", "adjacent", "overlapping"]


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A `ViewsConfig` with every amount settled; its fields can be written down and read as one.

    Attributes:
        preset: the name it came from.
        crop_min: smallest share of a text's units that a crop keeps, in (0, 1].
        crop_max: largest share; crop_min = crop_max = 1 keeps the whole text.
        crop_relation: how the two crops of a text lie to one another.
        sentence_reordering: sentences that are drawn to change places.
        word_swap: units that change places with a neighbour (as a rate: the expected share).
        word_replacement: words with related words that become one of them.
        word_deletion: units that are left out.
        repetition: units that are said twice.
        character_noise: words that get one typing error.
        span_masking: units hidden in spans.
        dictionary: file of related words, or None to learn them from the corpus.
        chain: what is done instead of these amounts, or None.
        pairs: share of structural pairs among what is trained on.
    """

    preset: Preset
    crop_min: float = 1.0
    crop_max: float = 1.0
    crop_relation: CropRelation = "independent"
    sentence_reordering: float | Amount = 0.0
    word_swap: float | Amount = 0.0
    word_replacement: float | Amount = 0.0
    word_deletion: float | Amount = 0.0
    repetition: float | Amount = 0.0
    character_noise: float | Amount = 0.0
    span_masking: float | Amount = 0.0
    dictionary: str | None = None
    chain: tuple[Link, ...] | None = None
    pairs: float = 0.0

    @property
    def crops(self) -> bool:
        """Whether a crop is taken at all."""
        return self.crop_min < 1.0

    @property
    def program(self) -> Chain:
        """The chain; without one, all operations in their order, also those with nothing to do.

        The place of an operation is part of its random numbers: so they are the same whichever others
        are on.
        """
        if self.chain is not None:
            return Chain(self.chain)
        return Chain(tuple(Operation(name, getattr(self, name)) for name in OPERATIONS))

    def uses(self, *names: OperationName) -> bool:
        """Whether any of these operations can change anything."""
        return any(one.operation in names for one in operations_of(self.program))

    @property
    def moves(self) -> bool:
        """Whether a word may come to stand behind another one than in the text."""
        return self.uses("sentence_reordering", "word_swap", "repetition", "word_deletion", "span_masking")

    @property
    def protects(self) -> bool:
        """Whether any operation asks which words are protected."""
        return self.uses(*(name for name in OPERATIONS if name != "sentence_reordering"))


_PRESETS: dict[Preset, Recipe] = {
    "crop": Recipe(preset="crop", crop_min=0.1, crop_max=0.5),
    "span": Recipe(preset="span", crop_min=0.3, crop_max=0.8),
    "paragraph": Recipe(preset="paragraph", crop_min=0.1, crop_max=0.5, word_deletion=0.1),
    "sentence": Recipe(preset="sentence", repetition=0.2),
    "noisy": Recipe(preset="noisy", word_deletion=0.05, word_swap=0.05, character_noise=0.1),
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

_Changed = Annotated[
    AmountValue | None,
    Field(
        description="0.05 to 0.3 is usual, or {rate = 0.1, at_least = 1, at_most = 9}; unset = the preset's"
    ),
]
_Share = Annotated[
    float | None, Field(gt=0.0, le=1.0, description="0.1 to 0.5 is usual; unset = the preset's")
]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ViewsConfig:
    """How views are made: a preset and the amounts that differ from it, or a chain.

    An amount is a rate, or a table {rate = 0.1, at_least = 1, at_most = 9}; see `Amount`.

    Args:
        preset: `crop` (two crops of 10-50%), `span` (of 30-80%: what a Transformer already understands
            is more than words in common), `paragraph` (crops of 10-50% with 10% deletion),
            `sentence` (20% of the words said twice), `noisy` (what people type: errors in 10% of the
            words, 5% left out, 5% swapped), `dropout` (the same text twice; the encoder's dropout makes
            the difference), `seed` (the five operations of the seed, no crop); None leaves the choice
            to who trains, and is `crop` here.
        crop_min: smallest share of a text's units in a view, in (0, 1].
        crop_max: largest share, crop_min to 1; crop_min = crop_max = 1 turns the crop off.
        crop_relation: `independent` (each anywhere), `adjacent` (side by side, nothing in common),
            `overlapping` (something in common).
        sentence_reordering: sentences that are drawn to change places.
        word_swap: units that change places with a neighbour (as a rate: the expected share).
        word_replacement: words with related words that become one of them.
        word_deletion: units that are left out.
        repetition: units that are said twice.
        character_noise: words that get one typing error.
        span_masking: units hidden in spans: behind the tokenizer's mask token, or left out where it has
            none.
        dictionary: file of lines `word<TAB>synonym|synonym` used for word_replacement; without it,
            related words are learned from the corpus.
        chain: links of `Operation`, `Chain`, `OneOf` and `SomeOf` that are done instead of the amounts
            above, after the crop.
        pairs: share of structural pairs (a title and its text, a message and its reply, see
            `corpus.structural_pairs`) among what is trained on, 0 to 1; the rest are two views of one text.

    Example:
        >>> recipe = ViewsConfig(preset="crop", word_deletion=0.2).resolved()
        >>> recipe.crop_max, recipe.word_deletion, recipe.word_swap
        (0.5, 0.2, 0.0)
        >>> ViewsConfig(chain=(Operation("word_deletion", 0.1),)).resolved().uses("word_deletion")
        True
    """

    preset: Annotated[
        Preset | None,
        Field(description="crop, span, paragraph, sentence, noisy, dropout or seed; unset = chosen"),
    ] = None
    crop_min: _Share = None
    crop_max: _Share = None
    crop_relation: Annotated[
        CropRelation | None, Field(description="independent, adjacent or overlapping; unset = independent")
    ] = None
    sentence_reordering: _Changed = None
    word_swap: _Changed = None
    word_replacement: _Changed = None
    word_deletion: _Changed = None
    repetition: _Changed = None
    character_noise: _Changed = None
    span_masking: _Changed = None
    dictionary: Annotated[str | None, Field(description="a file of lines word<TAB>synonym|synonym")] = None
    chain: Annotated[
        Annotated[tuple[Link, ...], Field(min_length=1)] | None,
        Field(description='a list such as [{operation = "word_deletion", amount = 0.1}]'),
    ] = None
    pairs: Annotated[
        float | None, Field(ge=0.0, le=1.0, description="0 for none, 0.3 is usual; unset = chosen")
    ] = None

    def resolved(self) -> Recipe:
        """Settle every amount: the one given, or the preset's.

        Returns:
            The recipe; `ViewsConfig(**dataclasses.asdict(recipe))` resolves to the same one.

        Raises:
            ConfigError: crop_min is above crop_max, a relation between crops without crops, impossible bounds
                of a swap, or amounts beside a chain.
        """
        # A recipe that was written down has all amounts, and beside a chain they are zero.
        given = {name: getattr(self, name) for name in asdict(self) if getattr(self, name) is not None}
        recipe = replace(_PRESETS[self.preset or "crop"], **given)
        if recipe.crop_min > recipe.crop_max:
            raise ConfigError(
                f"views.crop_min must be at most views.crop_max, got {recipe.crop_min:g} and "
                f"{recipe.crop_max:g} (preset {recipe.preset}); give both, 0.1 and 0.5 are usual"
            )
        if recipe.crop_relation != "independent" and not recipe.crops:
            raise ConfigError(
                f"views.crop_relation is {recipe.crop_relation}, but preset {recipe.preset} takes no crops; "
                "give views.crop_min and views.crop_max too, 0.1 and 0.5 are usual"
            )
        check_swap(amount_of(recipe.word_swap))
        if recipe.chain is None:
            return recipe
        beside = [name for name in OPERATIONS if name in given and amount_of(given[name]).changes]
        if beside:
            raise ConfigError(
                f"views.{beside[0]} and views.chain cannot both be given; put the operation into the chain"
            )
        none: dict[str, Any] = dict.fromkeys(OPERATIONS, 0.0)
        return replace(recipe, **none)


def described(recipe: Recipe) -> list[str]:
    """What a recipe does, one phrase a part; empty for the same text twice.

    Example:
        >>> described(ViewsConfig(preset="paragraph").resolved())
        ['crop 0.1 to 0.5', 'word_deletion 0.1']
    """
    words = []
    if recipe.crops:
        relation = "" if recipe.crop_relation == "independent" else f", {recipe.crop_relation}"
        words.append(f"crop {recipe.crop_min:g} to {recipe.crop_max:g}{relation}")
    return words + [told for link in recipe.program.chain if (told := said(link))]
