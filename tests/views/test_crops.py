"""How two crops of a text lie to one another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from llmagentos.tokens import TokenBatch
from llmagentos.views._crops import crop, crop_pair
from llmagentos.views._random import subkeys
from llmagentos.views._recipe import CropRelation
from llmagentos.views._units import UnitBatch

from .conftest import batches, keys, quick, seeds, unit_rows, words

RELATIONS: list[CropRelation] = ["independent", "adjacent", "overlapping"]


def pair(
    units: UnitBatch,
    relation: CropRelation,
    seed: int = 0,
    budget: int = 1000,
    low: float = 0.1,
    high: float = 0.5,
) -> tuple[UnitBatch, UnitBatch]:
    both = keys(len(units), seed)
    return crop_pair(units, low, high, budget, relation, (subkeys(both, 0), subkeys(both, 1)))


@pytest.mark.parametrize("relation", RELATIONS)
@quick
@given(batch=batches, seed=seeds, budget=st.integers(1, 12), high=st.sampled_from([0.3, 0.6, 1.0]))
def test_crops_are_contiguous_fit_and_are_never_empty(
    relation: CropRelation, batch: TokenBatch, seed: int, budget: int, high: float
) -> None:
    units = UnitBatch.from_tokens(batch, budget)
    for view in pair(units, relation, seed, budget, 0.2, high):
        assert (view.to_tokens().lengths <= budget).all()
        for whole, row in zip(unit_rows(units), unit_rows(view), strict=True):
            assert row == list(range(row[0], row[0] + len(row))) if row else not whole
            assert set(row) <= set(whole)


@pytest.mark.parametrize("relation", RELATIONS)
@quick
@given(batch=batches, seed=seeds)
def test_rows_do_not_depend_on_the_batch(relation: CropRelation, batch: TokenBatch, seed: int) -> None:
    units = UnitBatch.from_tokens(batch)
    both = keys(len(units), seed)
    together = crop_pair(units, 0.1, 0.5, 9, relation, (subkeys(both, 0), subkeys(both, 1)))
    for row in range(len(units)):
        one = np.array([row])
        alone = crop_pair(
            units.rows(one), 0.1, 0.5, 9, relation, (subkeys(both[one], 0), subkeys(both[one], 1))
        )
        for whole, single in zip(together, alone, strict=True):
            assert unit_rows(single) == [unit_rows(whole)[row]]


def test_independent_crops_are_two_single_crops() -> None:
    units = words(60, 30)
    a, b = pair(units, "independent")
    for view, number in ((a, 0), (b, 1)):
        alone = crop(units, 0.1, 0.5, 1000, subkeys(keys(30, 0), number))
        assert np.array_equal(view.ids, alone.ids)


@quick
@given(size=st.integers(1, 60), seed=seeds, high=st.sampled_from([0.2, 0.5, 1.0]))
def test_adjacent_crops_touch_and_share_nothing(size: int, seed: int, high: float) -> None:
    a, b = pair(words(size, 20), "adjacent", seed, low=0.1, high=high)
    for left, right in zip(unit_rows(a), unit_rows(b), strict=True):
        if size == 1:
            assert left == right
        else:
            assert left[-1] + 1 == right[0] or right[-1] + 1 == left[0]


def test_either_adjacent_crop_may_come_first_and_lie_anywhere() -> None:
    a, b = pair(words(100, 4000), "adjacent")
    first = np.array([left[0] < right[0] for left, right in zip(unit_rows(a), unit_rows(b), strict=True)])
    assert chisquare(np.bincount(first)).pvalue > 0.001
    begins = np.minimum(a.ids[a.offsets[:-1]], b.ids[b.offsets[:-1]]) % 100
    sizes = np.diff(a.offsets) + np.diff(b.offsets)
    places = ((begins + 0.5) / (101 - sizes))[sizes < 100]
    assert chisquare(np.histogram(places, bins=8, range=(0, 1))[0]).pvalue > 0.001


@quick
@given(size=st.integers(1, 60), seed=seeds)
def test_overlapping_crops_share_at_least_one_unit(size: int, seed: int) -> None:
    a, b = pair(words(size, 20), "overlapping", seed)
    for left, right in zip(unit_rows(a), unit_rows(b), strict=True):
        assert set(left) & set(right)


def test_adjacent_crops_keep_their_share_where_there_is_room() -> None:
    a, b = pair(words(100, 2000), "adjacent", low=0.1, high=0.5)
    for view in (a, b):
        sizes = np.diff(view.offsets)
        assert sizes.min() >= 10 and sizes.max() <= 50
