"""What the loss does where numbers are too coarse or too large: autocast, overflow, very small losses."""

import math

import numpy as np
import pytest
import torch

from llmagentos.loss import _ntxent, ntxent

from .reference import plain, views, with_gradient


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("keep", [True, False])
def test_autocast_around_loss_and_backward_changes_nothing(
    keep: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ntxent, "_KEEP_ELEMENTS", 1 << 24 if keep else 0)
    h_a, h_b = (h.float() for h in views(50, 32))
    queue = views(20, 32, seed=1)[0].float()
    expected = with_gradient(plain, h_a.double(), h_b.double(), 0.02, queue=queue.double())
    with torch.autocast("cpu", dtype):
        found = with_gradient(ntxent, h_a, h_b, 0.02, queue=queue)
    np.testing.assert_array_equal(found, with_gradient(ntxent, h_a, h_b, 0.02, queue=queue))
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert np.linalg.norm(found[1:] - expected[1:]) < 1e-5 * np.linalg.norm(expected[1:])


def test_so_many_negatives_beside_an_opposite_positive_that_float32_has_no_ratio() -> None:
    """7,000 times e^0 to e^-80 is 3.9e38; the loss of that view is 80 + log 7,000."""
    generator = torch.Generator().manual_seed(0)
    h_a = torch.randn(1, 8, generator=generator)
    h_b, queue = -h_a, h_a.expand(7000, 8)
    found = with_gradient(ntxent, h_a, h_b, 0.025, queue=queue)
    expected = with_gradient(plain, h_a.double(), h_b.double(), 0.025, queue=queue.double())
    assert found[0] == pytest.approx((80 + math.log(7000) + math.log(7001)) / 2, rel=1e-6)
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1:], expected[1:], rtol=0, atol=1e-3)  # 0 of terms that are 40


def test_a_loss_near_zero_keeps_its_digits() -> None:
    """e^-40 is far below what float32 can add to 1."""
    h_a = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert ntxent(h_a, h_a, 0.05).item() == pytest.approx(2 * math.exp(-40), rel=1e-5)


@pytest.mark.parametrize("where", ["first", "second", "queue"])
@pytest.mark.parametrize("value", [1e25, math.inf, math.nan])
def test_vectors_too_long_for_their_numbers_give_no_plausible_loss(where: str, value: float) -> None:
    """The squares of 1e25 are beyond float32, and a length of infinity would make zeros of them."""
    vectors = {"first": views(4)[0], "second": views(4)[1], "queue": views(3, seed=1)[0]}
    vectors = {name: h.float() for name, h in vectors.items()}
    assert ntxent(vectors["first"], vectors["second"], 0.1, queue=vectors["queue"]).isfinite()
    vectors[where][1, 2] = value
    assert ntxent(vectors["first"], vectors["second"], 0.1, queue=vectors["queue"]).isnan()


def test_long_vectors_count_by_their_direction() -> None:
    h_a, h_b = (h.float() for h in views(4))
    assert ntxent(1e17 * h_a, h_b, 0.1).item() == pytest.approx(ntxent(h_a, h_b, 0.1).item(), rel=1e-5)
