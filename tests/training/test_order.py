"""The shuffle is a bijection, and the batches of an epoch share no text."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmagentos.training._order import batch_at, permuted

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(-(2**70), 2**70)


@quick
@given(size=st.integers(1, 3000), seed=seeds, epoch=st.integers(0, 10**6))
@example(size=1, seed=0, epoch=0)
@example(size=2, seed=0, epoch=0)
@example(size=4**5, seed=0, epoch=0)
@example(size=4**5 + 1, seed=0, epoch=0)
def test_bijection(size: int, seed: int, epoch: int) -> None:
    order = permuted(np.arange(size), size, seed=seed, epoch=epoch)
    assert np.array_equal(np.sort(order), np.arange(size))
    some = np.arange(size)[:: max(1, size // 7)]
    assert np.array_equal(permuted(some, size, seed=seed, epoch=epoch), order[some])


@quick
@given(size=st.integers(2**33, 2**62), seed=seeds)
def test_sizes_beyond_any_memory(size: int, seed: int) -> None:
    positions = np.unique(np.linspace(0, size - 1, 500).astype(np.int64).clip(0, size - 1))
    order = permuted(positions, size, seed=seed, epoch=3)
    assert np.unique(order).size == positions.size
    assert order.min() >= 0 and order.max() < size


def test_epochs_and_seeds_differ_and_look_random() -> None:
    orders = [permuted(np.arange(1000), 1000, seed=s, epoch=e) for s in range(3) for e in range(3)]
    for number, order in enumerate(orders):
        # The rank correlation of independent orders is N(0, 1/999).
        assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.15
        for other in orders[:number]:
            assert abs(np.corrcoef(order, other)[0, 1]) < 0.15


@quick
@given(size=st.integers(1, 500), seed=seeds, data=st.data())
def test_batches_of_an_epoch_are_disjoint(size: int, seed: int, data: st.DataObject) -> None:
    batch_size = data.draw(st.integers(1, size))
    num_batches = size // batch_size
    for epoch in (0, 1, 5):
        steps = range(epoch * num_batches, (epoch + 1) * num_batches)
        batches = [batch_at(step, batch_size=batch_size, size=size, seed=seed) for step in steps]
        assert {number for number, _ in batches} == {epoch}
        rows = np.concatenate([indices for _, indices in batches])
        assert np.unique(rows).size == rows.size == num_batches * batch_size
        assert rows.min() >= 0 and rows.max() < size
