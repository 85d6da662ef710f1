"""The operations on units: crop, reordering, swap, deletion, repetition, and the cut to a budget.

Each is a pure function `operation(units, ..., keys) -> UnitBatch` without a loop over texts; `keys`
holds one 64-bit key a text, and every decision hashes that key with the place of the unit, so a row
comes out the same in any batch. No operation empties a text, and none moves a unit to another text.
Protected units (digits, addresses, code, negations) are never deleted or repeated; they may move,
and a crop may leave them out.
"""

import numpy as np

from llmagentos.views._random import Ints, UInts, chance, integers, ragged_random, subkeys, uniform
from llmagentos.views._units import UnitBatch, ragged_index

# A crop of one or two words says nothing of its text: 10% of a 20-word text would be such a crop.
MIN_CROP_UNITS = 4


def crop(units: UnitBatch, minimum: float, maximum: float, max_tokens: int, keys: UInts) -> UnitBatch:
    """Take one contiguous span of units from each text.

    The share of units is uniform in [minimum, maximum]; the place is uniform. A span is at least
    `MIN_CROP_UNITS` units (or the whole text, when that is shorter), and ends early, at a unit, where
    it would pass max_tokens.

    Args:
        units: N texts, no unit longer than max_tokens.
        minimum: smallest share of a text's units, in (0, 1].
        maximum: largest share, minimum to 1.
        max_tokens: >= 1.
        keys: uint64 (N,).

    Returns:
        N texts of at most max_tokens tokens.
    """
    sizes = np.diff(units.offsets)
    share = minimum + (maximum - minimum) * uniform(subkeys(keys, 0))
    wanted = np.rint(share * sizes).astype(np.int64)
    np.maximum(wanted, np.minimum(sizes, MIN_CROP_UNITS), out=wanted)
    # A unit has at least one token, so more than max_tokens units never fit; bounding the size before
    # the place is drawn lets the end of a long text be reached as often as its start.
    np.minimum(wanted, max_tokens, out=wanted)
    starts = units.offsets[:-1] + integers(subkeys(keys, 1), sizes - wanted + 1)
    return units.spans(starts, _fitting(units, starts, wanted, max_tokens))


def fit(units: UnitBatch, max_tokens: int) -> UnitBatch:
    """Cut each text after the last unit that fits.

    Args:
        units: N texts, no unit longer than max_tokens.
        max_tokens: >= 1.

    Returns:
        N texts of at most max_tokens tokens.
    """
    starts, sizes = units.offsets[:-1], np.diff(units.offsets)
    fitting = _fitting(units, starts, sizes, max_tokens)
    return units if np.array_equal(fitting, sizes) else units.spans(starts, fitting)


def _fitting(units: UnitBatch, starts: Ints, sizes: Ints, max_tokens: int) -> Ints:
    """How many of the `sizes` units from `starts` fit into max_tokens; at least one of any."""
    ends = np.zeros(units.ids.size + 1, dtype=np.int64)
    np.cumsum(units.pool.lengths[units.ids], out=ends[1:])
    last = np.searchsorted(ends, ends[starts] + max_tokens, side="right") - 1
    fitting: Ints = np.minimum(sizes, last - starts)
    return fitting


def reorder_sentences(units: UnitBatch, rate: float, keys: UInts) -> UnitBatch:
    """Let the drawn sentences of each text change places among themselves.

    Args:
        units: N texts; the units of a sentence stand together.
        rate: probability that a sentence is drawn; 1 is a full shuffle. A text of one sentence, or of
            which one sentence is drawn, stays as it is.
        keys: uint64 (N,).

    Returns:
        N texts with the same units.
    """
    starts = units.sentence_starts()
    sizes = np.diff(starts, append=units.ids.size)
    offsets = np.searchsorted(starts, units.offsets).astype(np.int64)
    drawn = np.flatnonzero(chance(ragged_random(subkeys(keys, 0), offsets), rate))
    order = np.arange(starts.size)
    rows = np.repeat(np.arange(len(units)), np.diff(offsets))[drawn]
    order[drawn] = drawn[np.lexsort((ragged_random(subkeys(keys, 1), offsets)[drawn], rows))]
    ids = units.ids[ragged_index(starts[order], sizes[order])]
    return UnitBatch(pool=units.pool, ids=ids, offsets=units.offsets)


def swap(units: UnitBatch, rate: float, keys: UInts) -> UnitBatch:
    """Exchange adjacent units of a sentence.

    A text is cut into pairs, from its first or from its second unit with equal probability, and each
    pair is exchanged with probability `rate`: pairs never overlap, so a unit moves by one place.

    Args:
        units: N texts.
        rate: expected share of units that change places, 0 to 1.
        keys: uint64 (N,).

    Returns:
        N texts with the same units.
    """
    left = np.flatnonzero(chance(ragged_random(keys, units.offsets), rate))
    first = (subkeys(keys, 0) >> np.uint64(63)).astype(np.int64) + units.offsets[:-1]
    first_of_row = np.repeat(first, np.diff(np.searchsorted(left, units.offsets)))
    left = left[((left - first_of_row) & 1 == 0) & (left + 1 < units.ids.size)]
    sentences = units.pool.sentences
    left = left[sentences[units.ids[left]] == sentences[units.ids[left + 1]]]
    ids = units.ids.copy()
    ids[left], ids[left + 1] = units.ids[left + 1], units.ids[left]
    return UnitBatch(pool=units.pool, ids=ids, offsets=units.offsets)


def delete(units: UnitBatch, rate: float, keys: UInts) -> UnitBatch:
    """Leave out units; where all would go, one drawn unit stays.

    Args:
        units: N texts.
        rate: probability that an unprotected unit goes.
        keys: uint64 (N,).

    Returns:
        N texts.
    """
    keep = ~chance(ragged_random(keys, units.offsets), rate)
    keep |= units.pool.protected[units.ids]
    kept = units.select(keep)
    emptied = np.flatnonzero((np.diff(kept.offsets) == 0) & (np.diff(units.offsets) > 0))
    if emptied.size:
        sizes = np.diff(units.offsets)[emptied]
        keep[units.offsets[emptied] + integers(subkeys(keys[emptied], 0), sizes)] = True
        kept = units.select(keep)
    return kept


def repeat(units: UnitBatch, rate: float, keys: UInts) -> UnitBatch:
    """Say some units twice, which changes a text's length and not its meaning.

    Args:
        units: N texts.
        rate: probability that an unprotected unit is repeated.
        keys: uint64 (N,).

    Returns:
        N texts.

    Source:
        Wu et al. 2022, "ESimCSE" (word repetition; there the number of repeated words is uniform up
        to a share of the text, here each word decides for itself).
    """
    again = chance(ragged_random(keys, units.offsets), rate)
    again &= ~units.pool.protected[units.ids]
    places = np.flatnonzero(again)
    ids = np.repeat(units.ids, again + np.int64(1))
    return UnitBatch(pool=units.pool, ids=ids, offsets=units.offsets + np.searchsorted(places, units.offsets))
