"""The counter-based random numbers: right, uniform, and independent of the batch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from llmagentos.views._random import chance, integers, mix, ragged_random, subkeys, text_keys, uniform

from .conftest import quick, seeds

MASK = 2**64 - 1


def splitmix64(state: int, count: int) -> list[int]:
    """Vigna's splitmix64.c, in plain Python."""
    numbers = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        numbers.append(z ^ (z >> 31))
    return numbers


@quick
@given(st.lists(st.tuples(st.integers(0, MASK), st.integers(0, 5)), min_size=1, max_size=6))
def test_every_row_is_a_splitmix64_generator(generators: list[tuple[int, int]]) -> None:
    states = np.array([state for state, _ in generators], dtype=np.uint64)
    offsets = np.cumsum([0, *(count for _, count in generators)])
    expected = [number for state, count in generators for number in splitmix64(state, count)]
    assert ragged_random(states, offsets).tolist() == expected


def test_mix_keeps_its_argument() -> None:
    values = np.arange(3, dtype=np.uint64)
    mix(values)
    assert values.tolist() == [0, 1, 2]


@quick
@given(seeds, st.integers(0, 10**6))
def test_a_text_has_one_key_in_any_batch(seed: int, epoch: int) -> None:
    indices = np.array([5, 0, 12_345_678_901])
    together = text_keys(seed, epoch, indices)
    alone = [int(text_keys(seed, epoch, indices[place : place + 1])[0]) for place in range(3)]
    assert together.tolist() == alone


def test_seeds_epochs_texts_and_views_all_differ() -> None:
    found = np.concatenate(
        [
            subkeys(text_keys(seed, epoch, np.arange(100)), view)
            for seed in range(5)
            for epoch in range(5)
            for view in range(2)
        ]
    )
    assert np.unique(found).size == found.size


def test_uniform_and_integers_are_uniform() -> None:
    random = ragged_random(text_keys(0, 0, np.arange(100)), np.arange(101) * 1000)
    numbers = uniform(random)
    assert numbers.min() > 0 and numbers.max() < 1
    assert chisquare(np.histogram(numbers, bins=50, range=(0, 1))[0]).pvalue > 0.001
    drawn = integers(random, np.full(random.size, 7))
    assert chisquare(np.bincount(drawn, minlength=7)).pvalue > 0.001
    # Neighbours in a row are independent: all 49 pairs are equally frequent.
    pairs = drawn[0::2] * 7 + drawn[1::2]
    assert chisquare(np.bincount(pairs, minlength=49)).pvalue > 0.001


def test_uniform_is_open_at_both_ends() -> None:
    ends = uniform(np.array([0, MASK], dtype=np.uint64))
    assert 0 < ends[0] < ends[1] < 1


def test_chance_is_exact_at_both_ends() -> None:
    random = np.array([0, 1, MASK], dtype=np.uint64)
    assert not chance(random, 0.0).any()
    assert chance(random, 1.0).all()
