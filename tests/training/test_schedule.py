"""Warm-up, then decay, always above zero."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmagentos.training._schedule import learning_rate_at


@given(total=st.integers(1, 3000), warmup=st.integers(0, 500))
def test_rises_then_falls_and_is_never_zero(total: int, warmup: int) -> None:
    rates = [learning_rate_at(s, peak=0.5, warmup_steps=warmup, total_steps=total) for s in range(total)]
    rising = min(warmup, total // 10)
    assert all(0 < rate <= 0.5 for rate in rates)
    assert rates[rising] == max(rates) == 0.5
    assert all(a < b for a, b in pairwise(rates[:rising]))
    assert all(a > b for a, b in pairwise(rates[rising:]))
    assert rates[-1] == pytest.approx(0.5 / (total - rising))


def test_a_warm_up_is_at_most_a_tenth_of_the_run() -> None:
    assert [learning_rate_at(s, peak=1.0, warmup_steps=100, total_steps=20) for s in (0, 1, 2)] == [0.5, 1, 1]
