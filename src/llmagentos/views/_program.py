"""A recipe made ready to run: each of its operations for one kind of tokens."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from llmagentos.views import _operations as operations
from llmagentos.views._edits import Step
from llmagentos.views._links import (
    Chain,
    Link,
    OneOf,
    Operation,
    OperationName,
    SomeOf,
    amount_of,
)
from llmagentos.views._noise import Misspelling, add_character_noise
from llmagentos.views._operations import Bounds
from llmagentos.views._random import Ints, UInts, chance, integers, subkeys, uniform
from llmagentos.views._recipe import Recipe
from llmagentos.views._replacement import Replacement
from llmagentos.views._spacing import Spacing
from llmagentos.views._units import UnitBatch

# Keys of the choices of a link; its members have 1, 2, 3, ...
_WHETHER, _WHICH, _HOW_MANY = 1_000_001, 1_000_002, 1_000_003


class Program:
    """Runs a recipe, but for the crop.

    Args:
        recipe: what is done.
        replacement: for word_replacement; None where the recipe does not use it.
        misspelling: for character_noise, likewise.
        spacing: spells words for their new places; None where no word is joined to a space.
        mask_token: for span_masking; None leaves the spans out.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        replacement: Replacement | None,
        misspelling: Misspelling | None,
        spacing: Spacing | None,
        mask_token: int | None,
    ) -> None:
        self._chain = recipe.program
        self._replacement = replacement
        self._misspelling = misspelling
        self._spacing = spacing
        self._mask_token = mask_token
        self._lengthens = recipe.uses("word_replacement", "repetition", "character_noise") or bool(spacing)

    def steps(self, units: UnitBatch, keys: UInts, max_tokens: int) -> Iterator[Step]:
        """The texts after each operation.

        Args:
            units: N texts of at most max_tokens tokens.
            keys: uint64 (N,).
            max_tokens: >= 1.

        Yields:
            One step for each operation that is on; none at all where all are off.
        """
        for step in _run(self._chain, units, keys, None, self._operations(max_tokens)):
            units = step.units
            yield step
        if self._spacing is not None:
            units = self._spacing.apply(units, max_tokens)
            yield Step("spacing", units)
        if self._lengthens:
            yield Step("max_tokens", operations.fit(units, max_tokens))

    def _operations(self, max_tokens: int) -> Mapping[OperationName, Callable[..., UnitBatch]]:
        table: dict[OperationName, Callable[..., UnitBatch]] = {
            "sentence_reordering": operations.reorder_sentences,
            "word_swap": operations.swap,
            "word_deletion": operations.delete,
            "repetition": operations.repeat,
            "span_masking": partial(operations.mask_spans, mask_token=self._mask_token),
        }
        if self._replacement is not None:
            table["word_replacement"] = partial(self._replacement.apply, max_unit_tokens=max_tokens)
        if self._misspelling is not None:
            table["character_noise"] = partial(
                add_character_noise, max_unit_tokens=max_tokens, misspelling=self._misspelling
            )
        return table


def _run(
    link: Link,
    units: UnitBatch,
    keys: UInts,
    rows: Ints | None,
    table: Mapping[OperationName, Callable[..., UnitBatch]],
) -> Iterator[Step]:
    """Run one link on some rows (None: on all) of N texts; every step has all N."""
    if isinstance(link, Operation):
        amount = amount_of(link.amount)
        if amount.changes and link.operation in table:
            bounds = Bounds(amount.at_least, amount.at_most)
            operation = table[link.operation]
            if rows is None:
                units = operation(units, amount.rate, keys, bounds)
            else:
                units = units.with_rows(rows, operation(units.rows(rows), amount.rate, keys[rows], bounds))
            yield Step(link.operation, units)
        return
    if link.probability < 1:
        rows = np.arange(len(units)) if rows is None else rows
        rows = rows[chance(subkeys(keys[rows], _WHETHER), link.probability)]
    for number, (member, some) in enumerate(_chosen(link, keys, rows), start=1):
        if some is None or some.size:
            for step in _run(member, units, subkeys(keys, number), some, table):
                units = step.units
                yield step


def _chosen(
    link: Chain | OneOf | SomeOf, keys: UInts, rows: Ints | None
) -> Iterator[tuple[Any, Ints | None]]:
    """The members of a link, each with the rows that it is for."""
    if isinstance(link, Chain):
        yield from ((member, rows) for member in link.chain)
        return
    rows = np.arange(keys.size) if rows is None else rows
    which = subkeys(keys[rows], _WHICH)
    if isinstance(link, OneOf):
        weights = np.cumsum(link.weights or [1.0] * len(link.one_of))
        chosen = np.searchsorted(weights / weights[-1], uniform(which), side="right")
        yield from ((member, rows[chosen == number]) for number, member in enumerate(link.one_of))
        return
    spread = np.full(rows.size, link.most - link.at_least + 1)
    how_many = link.at_least + integers(subkeys(keys[rows], _HOW_MANY), spread)
    order = np.argsort([subkeys(which, number) for number in range(len(link.some_of))], axis=0)
    rank = np.argsort(order, axis=0)
    yield from ((member, rows[rank[number] < how_many]) for number, member in enumerate(link.some_of))
