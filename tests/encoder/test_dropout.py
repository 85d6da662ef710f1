"""The cheap dropout mask: right values, right frequency, and back again by its seed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare
from torch import Tensor

from llmagentos.encoder import dropout_mask

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def mask(shape: tuple[int, ...], p: float, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(seed)
    return dropout_mask(torch.Size(shape), p, dtype)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 70), st.integers(0, 32_767))
def test_an_element_is_kept_if_its_15_bits_reach_the_limit(seed: int, number: int, limit: int) -> None:
    torch.manual_seed(seed)
    words = np.random.SFC64(int(torch.randint(2**62, ()))).random_raw(-(-number // 4))
    drawn = [(int(word) >> shift) & 0x7FFF for word in words for shift in (0, 16, 32, 48)][:number]
    expected = [bits >= limit for bits in drawn]
    assert (mask((number,), limit / 32_768, seed) != 0).tolist() == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_what_is_kept_is_scaled_by_the_share_that_is_kept(p: float, dtype: torch.dtype) -> None:
    nearest = round(p * 32_768) / 32_768
    found = mask((64, 129), p, dtype=dtype)
    assert found.dtype == dtype and found.shape == (64, 129)
    assert set(found.flatten().tolist()) == {0, torch.tensor(1 / (1 - nearest), dtype=dtype).item()}


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.97])
def test_as_many_are_dropped_as_asked_in_every_lane(p: float) -> None:
    dropped = mask((100_000, 4), p) == 0
    for lane in range(4):
        assert binomtest(int(dropped[:, lane].sum()), len(dropped), p).pvalue > 0.001


def test_neighbours_are_independent() -> None:
    dropped = (mask((200_000, 2), 0.5) == 0).long()
    pairs = (dropped[:, 0] * 2 + dropped[:, 1]).numpy()
    assert chisquare(np.bincount(pairs, minlength=4)).pvalue > 0.001


def test_the_seed_of_torch_alone_brings_a_mask_back() -> None:
    np.random.seed(1)
    first = mask((50, 7), 0.3)
    following = dropout_mask(torch.Size((50, 7)), 0.3, torch.float32)
    np.random.seed(2)
    assert torch.equal(first, mask((50, 7), 0.3))
    assert torch.equal(following, dropout_mask(torch.Size((50, 7)), 0.3, torch.float32))
    assert not torch.equal(first, following) and not torch.equal(first, mask((50, 7), 0.3, seed=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_dropped_at_0_and_everything_at_1(dtype: torch.dtype) -> None:
    for p in (0.0, 1e-6):
        assert torch.equal(mask((9, 9), p, dtype=dtype), torch.ones(9, 9, dtype=dtype))
    for p in (1.0, 1 - 1e-6):
        assert torch.equal(mask((9, 9), p, dtype=dtype), torch.zeros(9, 9, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3, 5, 7), (0,), (4, 0)])
def test_any_shape(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    assert mask(shape, 0.5, dtype=dtype).shape == shape
