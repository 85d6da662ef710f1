"""The batches of an epoch share no text."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from llmagentos.training._order import batch_at

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(-(2**70), 2**70)


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
