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

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

from llmagentos.errors import ConfigError

Preset = Literal["crop", "span", "paragraph", "sentence", "noisy", "dropout", "seed"]
CropRelation = Literal["independent", "adjacent", "overlapping"]
OperationName = Literal[
    "sentence_reordering",
    "word_swap",
    "word_replacement",
    "word_deletion",
    "repetition",
    "character_noise",
    "span_masking",
]
OPERATIONS: tuple[OperationName, ...] = get_args(OperationName)
"""The operations, in the order in which a recipe without a chain applies them."""

_strict = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_strict)
class Amount:
    """How much of a text an operation changes: each unit with probability `rate`, within bounds.

    Args:
        rate: 0 to 1.
        at_least: at least so many units of each text, as far as it has them.
        at_most: at most so many; None for no bound.

    Raises:
        ConfigError: at_most is below at_least.

    Example:
        >>> str(Amount(0.1, at_most=5))
        '0.1, at most 5'
    """

    rate: Annotated[float, Field(ge=0.0, le=1.0)]
    at_least: Annotated[int, Field(ge=0)] = 0
    at_most: Annotated[int, Field(ge=0)] | None = None

    def __post_init__(self) -> None:
        if self.at_most is not None and self.at_most < self.at_least:
            raise ConfigError(
                f"at_most must not be below at_least, got {self.at_most} and {self.at_least}; leave one out "
                "(views)"
            )

    def __str__(self) -> str:
        """The rate, and the bounds where there are any."""
        least = f", at least {self.at_least}" if self.at_least else ""
        most = "" if self.at_most is None else f", at most {self.at_most}"
        return f"{self.rate:g}{least}{most}"

    @property
    def changes(self) -> bool:
        """Whether anything can be changed at all."""
        return (self.rate > 0 or self.at_least > 0) and self.at_most != 0


_Amount = Annotated[float, Field(ge=0.0, le=1.0)] | Amount
_Probability = Annotated[float, Field(ge=0.0, le=1.0)]


def amount_of(value: float | Amount) -> Amount:
    """An amount that was given as one, or as a rate alone."""
    return value if isinstance(value, Amount) else Amount(value)


@dataclass(frozen=True, config=_strict)
class Operation:
    """One operation on every text.

    Args:
        operation: its name.
        amount: a rate, or an `Amount`.
    """

    operation: OperationName
    amount: _Amount


@dataclass(frozen=True, config=_strict)
class Chain:
    """One after the other.

    Args:
        chain: what is done.
        probability: that a text goes through it at all, 0 to 1.
    """

    chain: tuple["Link", ...]
    probability: _Probability = 1.0


@dataclass(frozen=True, config=_strict)
class OneOf:
    """For each text one of several.

    Args:
        one_of: what is chosen from, at least one.
        weights: how likely each is, in any unit; none for equally likely.
        probability: that a text goes through any, 0 to 1.

    Raises:
        ConfigError: as many weights as links are needed, none negative and not all zero.
    """

    one_of: Annotated[tuple["Link", ...], Field(min_length=1)]
    weights: tuple[float, ...] = ()
    probability: _Probability = 1.0

    def __post_init__(self) -> None:
        wrong = len(self.weights) != len(self.one_of) or min(self.weights) < 0 or sum(self.weights) <= 0
        if self.weights and wrong:
            raise ConfigError(
                f"weights of one_of must be {len(self.one_of)} numbers >= 0, not all 0, got "
                f"{list(self.weights)}; leave them out for equal chances (views.chain)"
            )


@dataclass(frozen=True, config=_strict)
class SomeOf:
    """For each text some of several, in the order in which they stand.

    Args:
        some_of: what is chosen from, at least one.
        at_least: fewest that are chosen; the number is uniform between the two bounds.
        at_most: most; None for all.
        probability: that a text goes through any, 0 to 1.

    Raises:
        ConfigError: the bounds do not fit one another or the number of links.
    """

    some_of: Annotated[tuple["Link", ...], Field(min_length=1)]
    at_least: Annotated[int, Field(ge=0)] = 1
    at_most: Annotated[int, Field(ge=0)] | None = None
    probability: _Probability = 1.0

    def __post_init__(self) -> None:
        if not self.at_least <= self.most <= len(self.some_of):
            raise ConfigError(
                f"some_of needs 0 <= at_least <= at_most <= {len(self.some_of)}, got {self.at_least} and "
                f"{self.most}; leave them out to choose from one to all (views.chain)"
            )

    @property
    def most(self) -> int:
        """`at_most`, with None settled."""
        return len(self.some_of) if self.at_most is None else self.at_most


def _kind(value: object) -> str | None:
    """Which link a table or an object is, by the name of its first key."""
    for name in ("operation", "chain", "one_of", "some_of"):
        if name in value if isinstance(value, Mapping) else hasattr(value, name):
            return name
    return None


Link = Annotated[
    Annotated[Operation, Tag("operation")]
    | Annotated[Chain, Tag("chain")]
    | Annotated[OneOf, Tag("one_of")]
    | Annotated[SomeOf, Tag("some_of")],
    Discriminator(
        _kind,
        custom_error_type="unknown_link",
        custom_error_message="Input should be a table with operation, chain, one_of or some_of",
    ),
]
"""What a chain is made of."""


def operations_of(link: Operation | Chain | OneOf | SomeOf) -> Iterator[Operation]:
    """All operations of a link that can change anything."""
    if isinstance(link, Operation):
        if amount_of(link.amount).changes:
            yield link
    elif link.probability > 0:
        links = (
            link.chain
            if isinstance(link, Chain)
            else link.one_of
            if isinstance(link, OneOf)
            else link.some_of
        )
        for inner in links:
            yield from operations_of(inner)


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
    _Amount | None,
    Field(
        description="0.05 to 0.3 is usual, or {rate = 0.1, at_least = 1, at_most = 9}; unset = the preset's"
    ),
]
_Share = Annotated[
    float | None, Field(gt=0.0, le=1.0, description="0.1 to 0.5 is usual; unset = the preset's")
]


@dataclass(frozen=True, kw_only=True, config=_strict)
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

    Example:
        >>> recipe = ViewsConfig(preset="crop", word_deletion=0.2).resolved()
        >>> recipe.crop_max, recipe.word_deletion, recipe.word_swap
        (0.5, 0.2, 0.0)
        >>> swap_or_delete = OneOf((Operation("word_swap", 0.2), Operation("word_deletion", 0.1)))
        >>> ViewsConfig(chain=(swap_or_delete,)).resolved().uses("word_deletion")
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
        tuple[Link, ...] | None,
        Field(description='a list such as [{operation = "word_deletion", amount = 0.1}]'),
    ] = None

    def resolved(self) -> Recipe:
        """Settle every amount: the one given, or the preset's.

        Returns:
            The recipe; `ViewsConfig(**dataclasses.asdict(recipe))` resolves to the same one.

        Raises:
            ConfigError: crop_min is above crop_max, a relation between crops without crops, or amounts
                beside a chain.
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
    return words + [said for link in recipe.program.chain if (said := _said(link))]


def _said(link: Any) -> str:
    if isinstance(link, Operation):
        amount = amount_of(link.amount)
        return f"{link.operation} {amount}" if amount.changes else ""
    kind = _kind(link)
    assert kind is not None
    members = getattr(link, kind)
    weights = [f"{weight:g}: " for weight in getattr(link, "weights", ())] or [""] * len(members)
    inner = [weight + said for weight, one in zip(weights, members, strict=True) if (said := _said(one))]
    name = f"{link.at_least} to {link.most} of" if isinstance(link, SomeOf) else kind.replace("_", " ")
    often = "" if link.probability == 1 else f" with probability {link.probability:g}"
    return f"{name} ({'; '.join(inner)}){often}"
