"""Crops: one contiguous span of units of each text, for each of its two views.

Two views by cropping have words in common or not, as the spans lie: independent ones mostly overlap for
long crops and mostly do not for short ones.
"""

import numpy as np

from llmagentos.views._operations import num_fitting
from llmagentos.views._random import Ints, UInts, integers, subkeys, uniform
from llmagentos.views._recipe import CropRelation
from llmagentos.views._units import UnitBatch

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
    wanted = _sizes(units, minimum, maximum, max_tokens, keys)
    starts = integers(subkeys(keys, 1), np.diff(units.offsets) - wanted + 1)
    return _cut(units, starts, wanted, max_tokens)


def crop_pair(
    units: UnitBatch,
    minimum: float,
    maximum: float,
    max_tokens: int,
    relation: CropRelation,
    keys: tuple[UInts, UInts],
) -> tuple[UnitBatch, UnitBatch]:
    """Take two spans from each text that lie to one another as asked.

    Args:
        units: N texts, no unit longer than max_tokens.
        minimum: smallest share of a text's units, in (0, 1].
        maximum: largest share, minimum to 1.
        max_tokens: >= 1.
        relation: `independent`: each as if there were no other (Contriever). `adjacent`: the second
            begins where the first ends, or the other way round; where both do not fit, both are
            shortened, and a text of one unit is whole in both. `overlapping`: the second is anywhere
            where it shares at least one unit with the first. What passes max_tokens is cut afterwards.
        keys: uint64 (N,), of the first and of the second view.

    Returns:
        N first and N second views of at most max_tokens tokens, none empty where its text is not.

    Source:
        Izacard et al. 2022, "Contriever" (independent); Giorgi et al. 2021, "DeCLUTR" (adjacent,
        overlapping).
    """
    if relation == "independent":
        first, second = (crop(units, minimum, maximum, max_tokens, key) for key in keys)
        return first, second
    sizes = np.diff(units.offsets)
    size_a, size_b = (_sizes(units, minimum, maximum, max_tokens, key) for key in keys)
    if relation == "overlapping":
        start_a = integers(subkeys(keys[0], 1), sizes - size_a + 1)
        lowest = np.maximum(start_a - size_b + 1, 0)
        highest = np.minimum(start_a + size_a - 1, sizes - size_b)
        start_b = lowest + integers(subkeys(keys[1], 1), np.maximum(highest - lowest, 0) + 1)
        start_b = np.minimum(start_b, sizes - size_b)  # for empty texts
        return _cut(units, start_a, size_a, max_tokens), _cut(units, start_b, size_b, max_tokens)
    both = size_a + size_b
    crowded = both > sizes
    up = (subkeys(keys[0], 3) >> np.uint64(63)).astype(np.int64) * (both - 1)  # neither view gets the rest
    size_a = np.where(crowded, np.clip((sizes * size_a + up) // np.maximum(both, 1), 1, sizes - 1), size_a)
    size_b = np.where(crowded, sizes - size_a, size_b)
    begin = integers(subkeys(keys[0], 1), np.maximum(sizes - size_a - size_b, 0) + 1)
    a_first = subkeys(keys[0], 2) >> np.uint64(63) == 0
    start_a, start_b = begin + np.where(a_first, 0, size_b), begin + np.where(a_first, size_a, 0)
    alone = sizes < 2
    start_a, start_b = np.where(alone, 0, start_a), np.where(alone, 0, start_b)
    size_a, size_b = np.where(alone, sizes, size_a), np.where(alone, sizes, size_b)
    return _cut(units, start_a, size_a, max_tokens), _cut(units, start_b, size_b, max_tokens)


def _sizes(units: UnitBatch, minimum: float, maximum: float, max_tokens: int, keys: UInts) -> Ints:
    """Units of each crop."""
    sizes = np.diff(units.offsets)
    share = minimum + (maximum - minimum) * uniform(subkeys(keys, 0))
    wanted = np.rint(share * sizes).astype(np.int64)
    np.maximum(wanted, np.minimum(sizes, MIN_CROP_UNITS), out=wanted)
    # A unit has at least one token, so more than max_tokens units never fit; bounding the size before
    # the place is drawn lets the end of a long text be reached as often as its start.
    return np.minimum(wanted, max_tokens, out=wanted)


def _cut(units: UnitBatch, starts: Ints, sizes: Ints, max_tokens: int) -> UnitBatch:
    """The spans, each as far as it fits; `starts` count from the beginning of each text."""
    starts = units.offsets[:-1] + starts
    return units.spans(starts, num_fitting(units, starts, sizes, max_tokens))
