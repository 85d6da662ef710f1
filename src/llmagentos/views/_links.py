"""What a chain is made of: operations with their amounts, and choices between them.

Chain((Operation("word_replacement", 0.1), OneOf((Operation("word_swap", 0.2), ...), probability=0.5)))
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

from llmagentos.errors import ConfigError

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


AmountValue = Annotated[float, Field(ge=0.0, le=1.0)] | Amount
"""A rate, or a rate with bounds."""
_Probability = Annotated[float, Field(ge=0.0, le=1.0)]


def amount_of(value: float | Amount) -> Amount:
    """An amount that was given as one, or as a rate alone."""
    return value if isinstance(value, Amount) else Amount(value)


def check_swap(amount: Amount) -> None:
    """Refuse bounds of word_swap between which no number of pairs lies.

    Raises:
        ConfigError: there is no even number between the bounds.
    """
    most, fewest = amount.at_most, amount.at_least
    if most is not None and (most == 1 or most // 2 < (fewest + 1) // 2):
        raise ConfigError(
            "word_swap moves words in pairs, so an even number > 0 must lie between at_least and at_most, "
            f"got {fewest} and {most}; 2 and 10 are possible (views.word_swap)"
        )


@dataclass(frozen=True, config=_strict)
class Operation:
    """One operation on every text.

    Args:
        operation: its name.
        amount: a rate, or an `Amount`.

    Raises:
        ConfigError: see `check_swap`.
    """

    operation: OperationName
    amount: AmountValue

    def __post_init__(self) -> None:
        if self.operation == "word_swap":
            check_swap(amount_of(self.amount))


@dataclass(frozen=True, config=_strict)
class Chain:
    """One after the other.

    Args:
        chain: what is done, at least one.
        probability: that a text goes through it at all, 0 to 1.
    """

    chain: Annotated[tuple["Link", ...], Field(min_length=1)]
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
    weights: tuple[Annotated[float, Field(ge=0.0, allow_inf_nan=False)], ...] = ()
    probability: _Probability = 1.0

    def __post_init__(self) -> None:
        if self.weights and (len(self.weights) != len(self.one_of) or sum(self.weights) <= 0):
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


def said(link: Any) -> str:
    """A link in words; empty where it changes nothing."""
    if isinstance(link, Operation):
        amount = amount_of(link.amount)
        return f"{link.operation} {amount}" if amount.changes else ""
    kind = _kind(link)
    assert kind is not None
    members = getattr(link, kind)
    weights = [f"{weight:g}: " for weight in getattr(link, "weights", ())] or [""] * len(members)
    inner = [weight + told for weight, one in zip(weights, members, strict=True) if (told := said(one))]
    name = f"{link.at_least} to {link.most} of" if isinstance(link, SomeOf) else kind.replace("_", " ")
    often = "" if link.probability == 1 else f" with probability {link.probability:g}"
    return f"{name} ({'; '.join(inner)}){often}"
