"""The operations on units: reordering, swap, deletion, repetition, masking, and the cut to a budget.

Each is a pure function `operation(units, rate, keys, bounds) -> UnitBatch` without a loop over texts;
`keys` holds one 64-bit key a text, and every decision hashes that key with the place of the unit, so a row
comes out the same in any batch. No operation empties a text, and none moves a unit to another text.
Protected units (digits, addresses, code, negations, the user's own list) are never swapped, deleted,
repeated or masked; they may move with their sentence. Crops are in `_crops.py`; what needs the text of a
word is in `_replacement.py` and `_noise.py`.
"""

from collections.abc import Callable
from functools import cache
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmagentos.tokens import ragged_index
from llmagentos.views._random import Ints, UInts, chance, integers, ragged_random, subkeys, uniform
from llmagentos.views._traits import BLANK, SPACED, WORD
from llmagentos.views._units import NEW_PLACE, UnitBatch

# Spans as in SpanBERT: geometric with p = 0.2, of at most 10 units, so of 3.8 in the mean.
_SPAN_END, _LONGEST_SPAN = 0.2, 10
_SHORT_ENOUGH = 1 - (1 - _SPAN_END) ** _LONGEST_SPAN


class Bounds(NamedTuple):
    """How many units of a text an operation changes at least and at most."""

    at_least: int = 0
    at_most: int | None = None


UNBOUNDED = Bounds()


def drawn(
    random: UInts,
    offsets: Ints,
    rate: float,
    bounds: Bounds,
    eligible: Callable[[Ints], NDArray[np.bool_]] | None = None,
) -> Ints:
    """Draw elements of a ragged array, each with probability `rate`, then as many as the bounds want.

    Where a row has too few or too many, those with the smallest random numbers are taken: so what one rate
    draws, a higher one draws too.

    Args:
        random: uint64 (T,), one for each element.
        offsets: int64 (N + 1,), where each row begins.
        rate: 0 to 1.
        bounds: per row.
        eligible: which of some places may be drawn, bool of as many; None for all. Where there are no
            bounds it is asked about those alone that the rate draws.

    Returns:
        int64 (K,), the places of the drawn elements, increasing.
    """
    wanted = chance(random, rate)
    places = np.flatnonzero(wanted) if bounds == UNBOUNDED else np.arange(random.size)
    if eligible is not None:
        places = places[eligible(places)]
    if bounds == UNBOUNDED:
        return places
    begins = np.searchsorted(places, offsets)
    rows = np.repeat(np.arange(offsets.size - 1), np.diff(begins))
    num_wanted = np.bincount(rows[wanted[places]], minlength=offsets.size - 1)
    count = np.clip(num_wanted, bounds.at_least, bounds.at_most)
    places = places[np.lexsort((random[places], rows))]
    rank = np.arange(places.size) - np.repeat(begins[:-1], np.diff(begins))
    return np.sort(places[rank < count[rows]])


def fit(units: UnitBatch, max_tokens: int) -> UnitBatch:
    """Cut each text after the last unit that fits.

    Args:
        units: N texts, no unit longer than max_tokens.
        max_tokens: >= 1.

    Returns:
        N texts of at most max_tokens tokens.
    """
    starts, sizes = units.offsets[:-1], np.diff(units.offsets)
    # Short texts fit as a whole, and to know that is cheaper than to look at every unit.
    if sizes.max(initial=0) * units.pool.lengths.max(initial=0) <= max_tokens:
        return units
    fitting = num_fitting(units, starts, sizes, max_tokens)
    return units if np.array_equal(fitting, sizes) else units.spans(starts, fitting)


def num_fitting(units: UnitBatch, starts: Ints, sizes: Ints, max_tokens: int) -> Ints:
    """How many of the `sizes` units from `starts` fit into max_tokens; at least one of any."""
    ends = units.token_ends
    last = np.searchsorted(ends, ends[starts] + max_tokens, side="right") - 1
    fitting: Ints = np.minimum(sizes, last - starts)
    return fitting


def reorder_sentences(units: UnitBatch, rate: float, keys: UInts, bounds: Bounds = UNBOUNDED) -> UnitBatch:
    """Let the drawn sentences of each text change places among themselves.

    Args:
        units: N texts; the units of a sentence stand together.
        rate: probability that a sentence is drawn; 1 is a full shuffle. A text of one sentence, or of
            which one sentence is drawn, stays as it is.
        keys: uint64 (N,).
        bounds: sentences drawn in a text.

    Returns:
        N texts with the same units.
    """
    starts = units.sentence_starts()
    sizes = np.diff(starts, append=units.ids.size)
    offsets = np.searchsorted(starts, units.offsets).astype(np.int64)
    moving = drawn(ragged_random(subkeys(keys, 0), offsets), offsets, rate, bounds)
    order = np.arange(starts.size)
    rows = np.repeat(np.arange(len(units)), np.diff(offsets))[moving]
    random = ragged_random(subkeys(keys, 1), offsets)[moving]
    # One number for the text and 40 random bits sorts in half the time of two numbers.
    by_text = (rows.astype(np.uint64) << np.uint64(40)) + (random >> np.uint64(24))
    order[moving] = moving[np.argsort(by_text, kind="stable")]
    moved = units.gathered(ragged_index(starts[order], sizes[order]), units.offsets)
    # What stands between two sentences stays there.
    new_starts = np.cumsum(sizes[order]) - sizes[order]
    places = moved.places.copy()
    places[new_starts] = units.places[starts]
    return UnitBatch(pool=units.pool, ids=moved.ids, places=places, offsets=units.offsets)


def swap(units: UnitBatch, rate: float, keys: UInts, bounds: Bounds = UNBOUNDED) -> UnitBatch:
    """Exchange adjacent words of a sentence; punctuation and protected words stay where they are.

    A text is cut into pairs, from its first or from its second unit with equal probability, and each
    pair of words is exchanged with probability `rate`: pairs never overlap, so a word moves by one place.

    Args:
        units: N texts.
        rate: expected share of words between two words that change places, 0 to 1; of words beside
            one word only, it is half as much.
        keys: uint64 (N,).
        bounds: units that move in a text, two for each exchange, as far as the pairs of one cut allow.

    Returns:
        N texts with the same units.
    """
    first = (subkeys(keys, 0) >> np.uint64(63)).astype(np.int64) + units.offsets[:-1]
    random = ragged_random(keys, units.offsets)
    left = np.flatnonzero(chance(random, rate)) if bounds == UNBOUNDED else np.arange(units.ids.size)
    left = left[left + 1 < units.ids.size]
    rows = np.repeat(np.arange(len(units)), np.diff(np.searchsorted(left, units.offsets)))
    odd = (left - first[rows]) & 1 != 0
    if bounds == UNBOUNDED:
        even = np.flatnonzero(~odd)
        left, rows, odd = left[even], rows[even], odd[even]
    pool, here, there = units.pool, units.ids[left], units.ids[left + 1]
    # Both have a space in front or none has: "it" and "'s" are not exchanged. A text begins without.
    spaced = (pool.first_traits(there) ^ pool.first_traits(here)) & (SPACED | BLANK)
    alike = (spaced & SPACED == 0) | (spaced == SPACED | BLANK) | (left == units.offsets[rows])
    possible = (
        alike
        & (pool.sentences[here] == pool.sentences[there])
        & (pool.last_traits(here) & pool.last_traits(there) & WORD != 0)
        & ~(pool.protected(here) | pool.protected(there))  # or an address would be torn apart
    )
    left, rows, odd = left[possible], rows[possible], odd[possible]
    if bounds != UNBOUNDED:
        pairs = Bounds(-(-bounds.at_least // 2), None if bounds.at_most is None else bounds.at_most // 2)
        # Where the pairs of one kind are too few, those of the other may be more.
        even_pairs, odd_pairs = (np.bincount(rows[kind], minlength=len(units)) for kind in (~odd, odd))
        other = (even_pairs < pairs.at_least) & (odd_pairs > even_pairs)
        left = left[odd == other[rows]]
        offsets = np.searchsorted(left, units.offsets).astype(np.int64)
        left = left[drawn(random[left], offsets, rate, pairs)]
    ids = units.ids.copy()
    ids[left], ids[left + 1] = units.ids[left + 1], units.ids[left]
    return UnitBatch(pool=pool, ids=ids, places=units.places, offsets=units.offsets)


def delete(units: UnitBatch, rate: float, keys: UInts, bounds: Bounds = UNBOUNDED) -> UnitBatch:
    """Leave out units; where all would go, one drawn unit stays.

    Args:
        units: N texts.
        rate: probability that an unprotected unit goes.
        keys: uint64 (N,).
        bounds: units left out of a text.

    Returns:
        N texts.
    """
    gone = drawn(ragged_random(keys, units.offsets), units.offsets, rate, bounds, units.unprotected)
    return _without(units, gone, keys)


def _without(units: UnitBatch, gone: Ints, keys: UInts) -> UnitBatch:
    """The units less some; where all of a text would go, one of them, drawn by the key, stays."""
    keep = np.ones(units.ids.size, dtype=np.bool_)
    keep[gone] = False
    kept = units.select(keep)
    emptied = np.flatnonzero((np.diff(kept.offsets) == 0) & (np.diff(units.offsets) > 0))
    if emptied.size:
        sizes = np.diff(units.offsets)[emptied]
        keep[units.offsets[emptied] + integers(subkeys(keys[emptied], 0), sizes)] = True
        kept = units.select(keep)
    return kept


def repeat(units: UnitBatch, rate: float, keys: UInts, bounds: Bounds = UNBOUNDED) -> UnitBatch:
    """Say some words twice, which changes a text's length and not its meaning.

    Args:
        units: N texts.
        rate: probability that an unprotected word is repeated.
        keys: uint64 (N,).
        bounds: words repeated in a text.

    Returns:
        N texts.

    Source:
        Wu et al. 2022, "ESimCSE" (word repetition; there the number of repeated words is uniform up
        to a share of the text, here each word decides for itself).
    """
    pool = units.pool

    def eligible(places: Ints) -> NDArray[np.bool_]:
        words: NDArray[np.bool_] = pool.last_traits(units.ids[places]) & WORD != 0
        return units.unprotected(places) & words

    again = drawn(ragged_random(keys, units.offsets), units.offsets, rate, bounds, eligible)
    copies = np.ones(units.ids.size, dtype=np.int64)
    copies[again] = 2
    places = np.repeat(units.places, copies)
    places[again + np.arange(1, again.size + 1)] = NEW_PLACE
    offsets = units.offsets + np.searchsorted(again, units.offsets)
    return UnitBatch(pool=pool, ids=np.repeat(units.ids, copies), places=places, offsets=offsets)


@cache
def _begin_rate(rate: float) -> float:
    """The probability that a span begins at a unit, so that the share `rate` of all units is in spans.

    A unit stays visible when no span that would reach it begins: with spans of at least d + 1 units of
    probability q_d that is prod over d of (1 - b q_d), which falls with b.
    """
    reach = [(1 - (1 - (1 - _SPAN_END) ** d) / _SHORT_ENOUGH) for d in range(_LONGEST_SPAN)]
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        visible = prod(1 - middle * q for q in reach)
        low, high = (middle, high) if visible > 1 - rate else (low, middle)
    return high


def mask_spans(
    units: UnitBatch, rate: float, keys: UInts, bounds: Bounds = UNBOUNDED, *, mask_token: int | None
) -> UnitBatch:
    """Hide spans of units: each token of theirs becomes the mask token, or they are left out without one.

    A span begins at each unit with the probability that makes `rate` the expected share of units in spans;
    its length is geometric with mean 3.8 and at most 10 units. Protected units in it stay visible.

    Args:
        units: N texts.
        rate: expected share of units in spans, 0 to 1.
        keys: uint64 (N,).
        bounds: units hidden in a text.
        mask_token: id of the mask token, or None.

    Returns:
        N texts.

    Source:
        Joshi et al. 2020, "SpanBERT" (lengths); Shen et al. 2020, "A simple but tough-to-beat data
        augmentation" (span cutoff, which leaves out).
    """
    # Spans may begin before a text, or its first units would be hidden less often.
    before = _LONGEST_SPAN - 1
    offsets = units.offsets + before * np.arange(len(units) + 1)
    begins = np.flatnonzero(chance(ragged_random(subkeys(keys, 0), offsets), _begin_rate(rate)))
    tail = 1 - _SHORT_ENOUGH * uniform(ragged_random(subkeys(keys, 1), offsets)[begins])
    lengths = 1 + (np.log(tail) // np.log(1 - _SPAN_END)).astype(np.int64)
    rows = np.repeat(np.arange(len(units)), np.diff(np.searchsorted(begins, offsets)))
    begins -= before * (rows + 1)
    edges = np.zeros(units.ids.size + 1, dtype=np.int64)
    np.add.at(edges, np.clip(begins, units.offsets[rows], units.offsets[rows + 1]), 1)
    np.subtract.at(edges, np.clip(begins + lengths, units.offsets[rows], units.offsets[rows + 1]), 1)
    hidden = (np.cumsum(edges[:-1]) > 0) & ~units.pool.protected(units.ids)
    if bounds == UNBOUNDED:
        places = np.flatnonzero(hidden)
    else:  # units in the spans have the smaller numbers, so they are drawn first
        random = ragged_random(subkeys(keys, 2), units.offsets) >> np.uint64(1)
        random |= (~hidden).astype(np.uint64) << np.uint64(63)
        places = drawn(random, units.offsets, 0.5, bounds, units.unprotected)
    if mask_token is None:
        return _without(units, places, keys)
    lengths = units.pool.lengths[units.ids[places]]
    masks = np.full(lengths.sum(), mask_token, dtype=np.int32)
    return units.changed(places, masks, lengths, int(lengths.max(initial=0)))
