"""What every operation promises, on ragged batches of any shape."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from llmagentos.tokens import PROTECTED, TokenBatch
from llmagentos.views import _operations as operations
from llmagentos.views._crops import MIN_CROP_UNITS, crop
from llmagentos.views._units import UnitBatch

from .conftest import batches, keys, quick, ragged, rates, rows, same, seeds, unit_rows, words

Operation = Callable[[UnitBatch, float, np.ndarray], UnitBatch]


def _crop(units: UnitBatch, rate: float, keys: np.ndarray) -> UnitBatch:
    return crop(units, rate / 2, rate, 8, keys)


EVERY: dict[str, Operation] = {
    "crop": _crop,
    "reorder": operations.reorder_sentences,
    "swap": operations.swap,
    "delete": operations.delete,
    "repeat": operations.repeat,
}
every = pytest.mark.parametrize("operation", EVERY.values(), ids=list(EVERY))


def protected_tokens(batch: TokenBatch) -> Counter[int]:
    return Counter(batch.tokens[(batch.flags & PROTECTED) != 0].tolist())


@every
@quick
@given(batch=batches, rate=rates, seed=seeds)
def test_rows_do_not_depend_on_the_batch(
    operation: Operation, batch: TokenBatch, rate: float, seed: int
) -> None:
    units = UnitBatch.from_tokens(batch, 8)
    all_keys = keys(len(units), seed)
    together = operation(units, rate, all_keys).to_tokens()
    assert same(operation(units, rate, all_keys).to_tokens(), together)
    for row, tokens in enumerate(rows(together)):
        begin, end = batch.offsets[row : row + 2]
        alone = TokenBatch(
            tokens=batch.tokens[begin:end], offsets=np.array([0, end - begin]), flags=batch.flags[begin:end]
        )
        single = operation(UnitBatch.from_tokens(alone, 8), rate, all_keys[row : row + 1])
        assert rows(single.to_tokens()) == [tokens]


@every
@quick
@given(batch=batches, rate=rates, seed=seeds)
def test_no_text_is_emptied_and_none_reaches_into_another(
    operation: Operation, batch: TokenBatch, rate: float, seed: int
) -> None:
    view = operation(UnitBatch.from_tokens(batch), rate, keys(len(batch), seed)).to_tokens()
    for before, after in zip(rows(batch), rows(view), strict=True):
        assert bool(after) == bool(before)
        assert set(after) <= set(before)


@pytest.mark.parametrize("operation", [operations.swap, operations.reorder_sentences])
@quick
@given(batch=batches, rate=rates, seed=seeds)
def test_moving_keeps_every_unit(operation: Operation, batch: TokenBatch, rate: float, seed: int) -> None:
    units = UnitBatch.from_tokens(batch)
    moved = operation(units, rate, keys(len(batch), seed))
    assert [sorted(row) for row in unit_rows(moved)] == unit_rows(units)


@quick
@given(batch=batches, rate=rates, seed=seeds)
def test_swap_moves_by_one_place_within_a_sentence(batch: TokenBatch, rate: float, seed: int) -> None:
    units = UnitBatch.from_tokens(batch)
    swapped = operations.swap(units, rate, keys(len(batch), seed))
    assert np.abs(swapped.ids - units.ids).max(initial=0) <= 1
    assert np.array_equal(units.pool.sentences[swapped.ids], units.pool.sentences[units.ids])


@quick
@given(batch=batches, rate=rates, seed=seeds)
def test_reordering_keeps_sentences_whole(batch: TokenBatch, rate: float, seed: int) -> None:
    units = UnitBatch.from_tokens(batch)
    moved = operations.reorder_sentences(units, rate, keys(len(batch), seed))
    starts = moved.sentence_starts()
    assert starts.size == units.sentence_starts().size
    for sentence in np.split(moved.ids, starts[1:]):
        assert np.array_equal(sentence, np.arange(sentence.size) + sentence[:1].sum())


def test_reordering_leaves_a_text_of_one_sentence() -> None:
    units = words(9, 50)
    assert np.array_equal(operations.reorder_sentences(units, 1.0, keys(50)).ids, units.ids)


@quick
@given(batch=batches, rate=rates, seed=seeds)
def test_deletion_keeps_order_and_protected_units(batch: TokenBatch, rate: float, seed: int) -> None:
    units = UnitBatch.from_tokens(batch)
    kept = operations.delete(units, rate, keys(len(batch), seed))
    assert all(row == sorted(set(row)) for row in unit_rows(kept))
    assert protected_tokens(kept.to_tokens()) == protected_tokens(batch)


@quick
@given(batch=batches, rate=rates, seed=seeds)
def test_repetition_repeats_beside_and_spares_protected_units(
    batch: TokenBatch, rate: float, seed: int
) -> None:
    units = UnitBatch.from_tokens(batch)
    repeated = operations.repeat(units, rate, keys(len(batch), seed))
    assert [sorted(set(row)) for row in unit_rows(repeated)] == unit_rows(units)
    assert all(row == sorted(row) for row in unit_rows(repeated))
    assert max(Counter(repeated.ids.tolist()).values(), default=0) <= 2
    assert protected_tokens(repeated.to_tokens()) == protected_tokens(batch)


@quick
@given(batch=batches, seed=seeds, budget=st.integers(1, 12))
def test_crop_is_contiguous_and_fits(batch: TokenBatch, seed: int, budget: int) -> None:
    units = UnitBatch.from_tokens(batch, budget)
    cropped = crop(units, 0.2, 0.6, budget, keys(len(batch), seed))
    assert (cropped.to_tokens().lengths <= budget).all()
    for whole, row in zip(unit_rows(units), unit_rows(cropped), strict=True):
        assert row == list(range(row[0], row[0] + len(row))) if row else not whole


def test_crop_keeps_the_share_asked_for_and_reaches_both_ends() -> None:
    units = words(100, 4000)
    cropped = crop(units, 0.1, 0.5, 1000, keys(4000))
    sizes = np.diff(cropped.offsets)
    assert sizes.min() >= 10 and sizes.max() <= 50
    # 39 sizes of full probability; 10 and 50 are rounded to from one side only.
    counts = np.bincount(sizes, minlength=51)[11:50]
    assert chisquare(counts).pvalue > 0.001
    begins = cropped.ids[cropped.offsets[:-1]] % 100
    assert begins.min() == 0 and (begins + sizes).max() == 100
    # The place is uniform among the 101 - size possible ones, to within the jitter of ties.
    places = (begins + 0.5) / (101 - sizes)
    assert chisquare(np.histogram(places, bins=10, range=(0, 1))[0]).pvalue > 0.001


def test_crop_of_a_long_text_is_cut_anywhere_not_only_at_the_start() -> None:
    cropped = crop(words(1000, 500), 0.5, 0.5, 10, keys(500))
    begins = cropped.ids[cropped.offsets[:-1]] % 1000
    assert (np.diff(cropped.offsets) == 10).all()
    assert begins.max() > 900


def test_crop_of_a_short_text_keeps_a_few_words() -> None:
    sizes = np.diff(crop(words(12, 100), 0.1, 0.1, 50, keys(100)).offsets)
    assert set(sizes.tolist()) == {MIN_CROP_UNITS}
    assert (np.diff(crop(words(2, 100), 0.1, 0.5, 50, keys(100)).offsets) == 2).all()


@quick
@given(batch=batches, budget=st.integers(1, 12))
def test_fit_keeps_as_many_whole_units_as_fit(batch: TokenBatch, budget: int) -> None:
    units = UnitBatch.from_tokens(batch, budget)
    cut = operations.fit(units, budget)
    for whole, row in zip(unit_rows(units), unit_rows(cut), strict=True):
        assert row == whole[: len(row)]
        lengths = units.pool.lengths[whole]
        assert lengths[: len(row)].sum() <= budget
        assert len(row) == len(whole) or lengths[: len(row) + 1].sum() > budget


@pytest.mark.parametrize("rate", [0.05, 0.3])
@pytest.mark.parametrize("operation", [operations.delete, operations.repeat])
def test_rate_of_deletion_and_repetition(operation: Operation, rate: float) -> None:
    units = words(60, 500)
    sizes = np.diff(operation(units, rate, keys(500)).offsets)
    changed = np.abs(60 - sizes)
    assert binomtest(int(changed.sum()), units.ids.size, rate).pvalue > 0.001
    # Units decide independently: the numbers of changes are spread like a binomial's.
    assert changed.var() == pytest.approx(60 * rate * (1 - rate), rel=0.25)


@pytest.mark.parametrize("rate", [0.1, 0.8])
def test_every_unit_is_deleted_equally_often(rate: float) -> None:
    units = words(20, 5000)
    kept = operations.delete(units, rate, keys(5000))
    assert chisquare(np.bincount(kept.ids % 20, minlength=20)).pvalue > 0.001


@pytest.mark.parametrize("rate", [0.1, 0.6, 1.0])
def test_rate_of_swap_is_the_share_of_units_that_move(rate: float) -> None:
    units = words(51, 1000)
    swapped = operations.swap(units, rate, keys(1000))
    # In a text of 51 units either pairing has 25 pairs.
    pairs = int((swapped.ids != units.ids).sum()) // 2
    assert binomtest(pairs, 25_000, rate).pvalue > 0.001
    if rate < 1:
        firsts = np.flatnonzero(swapped.ids > units.ids) % 51
        assert chisquare(np.bincount(firsts, minlength=50)[:50]).pvalue > 0.001


def test_reordering_makes_every_order_equally_often() -> None:
    units = UnitBatch.from_tokens(ragged([[[(1, False)], [(2, False)], [(1, True)]]] * 6000))
    moved = operations.reorder_sentences(units, 1.0, keys(6000))
    orders = Counter(tuple(np.array(row) % 3) for row in unit_rows(moved))
    assert len(orders) == 6
    assert chisquare(list(orders.values())).pvalue > 0.001


def test_rate_of_reordering() -> None:
    units = UnitBatch.from_tokens(ragged([[[(1, False)], [(1, False)]]] * 4000))
    moved = operations.reorder_sentences(units, 0.5, keys(4000))
    changed = int((moved.ids != units.ids).sum()) // 2
    # Two sentences change places when both are drawn and the shuffle is the other order.
    assert binomtest(changed, 4000, 0.5 * 0.5 * 0.5).pvalue > 0.001


def test_a_rate_of_one_leaves_one_unit() -> None:
    kept = operations.delete(words(10, 3000), 1.0, keys(3000))
    assert (np.diff(kept.offsets) == 1).all()
    assert chisquare(np.bincount(kept.ids % 10, minlength=10)).pvalue > 0.001
    everything_protected = words(10, 3, protected=True)
    assert operations.delete(everything_protected, 1.0, keys(3)).ids.size == 30


def test_empty_texts_stay_empty() -> None:
    empty = UnitBatch.from_tokens(ragged([[], []]))
    for operation in EVERY.values():
        assert operation(empty, 0.5, keys(2)).ids.size == 0
