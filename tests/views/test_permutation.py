"""The shuffle is a bijection."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmagentos.views import permuted

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
