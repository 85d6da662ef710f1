"""NT-Xent against the formula written out, closed forms, and its gradient against finite differences."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from llmagentos.errors import ConfigError
from llmagentos.loss import LossConfig, NTXentLoss, _ntxent, ntxent

Vectors = npt.NDArray[np.float64]


def formula(h_a: Vectors, h_b: Vectors, tau: float, left_out: npt.NDArray[np.bool_] | None = None) -> float:
    """The loss of the seed, term by term; `left_out` (N, N) marks texts that are no negatives."""
    num_texts = len(h_a)
    h = [view for pair in zip(h_a, h_b, strict=True) for view in pair]  # h[2k] and h[2k + 1] are text k

    def s(i: int, j: int) -> float:
        return float(h[i] @ h[j] / (np.linalg.norm(h[i]) * np.linalg.norm(h[j])))

    def p(i: int, j: int) -> float:
        denominator = 0.0
        for k in range(2 * num_texts):
            if k == i or (k != j and left_out is not None and left_out[i // 2, k // 2]):
                continue
            denominator += math.exp(s(i, k) / tau)
        return math.exp(s(i, j) / tau) / denominator

    total = 0.0
    for k in range(num_texts):
        total += math.log(p(2 * k, 2 * k + 1)) + math.log(p(2 * k + 1, 2 * k))
    return -total / (2 * num_texts)


def views(num_texts: int, dimension: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    h_a = torch.randn(num_texts, dimension, generator=generator, dtype=torch.float64)
    h_b = h_a + 0.7 * torch.randn(num_texts, dimension, generator=generator, dtype=torch.float64)
    return h_a, h_b


@pytest.fixture(params=[1024, 3], ids=["one tile", "many tiles"])
def tile_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ntxent, "_TILE_ROWS", request.param)


@pytest.fixture(params=[1 << 24, 0], ids=["kept", "computed again"])
def keep_elements(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ntxent, "_KEEP_ELEMENTS", request.param)


@pytest.mark.usefixtures("tile_rows")
@pytest.mark.parametrize("tau", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("num_texts", [1, 2, 7])
def test_equals_the_formula(num_texts: int, tau: float) -> None:
    h_a, h_b = views(num_texts)
    assert ntxent(h_a, h_b, tau).item() == pytest.approx(formula(h_a.numpy(), h_b.numpy(), tau), rel=1e-12)


def test_two_pairs_by_hand() -> None:
    """p_12 has the three terms s_12, s_13 and s_14 in its denominator, never s_11."""
    h_1, h_2, h_3, h_4 = (torch.tensor(v) for v in ([1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]))
    tau = 0.5
    s_12, s_13, s_14, s_23, s_24, s_34 = 0.6, 0.0, -1.0, 0.8, -0.6, 0.0
    p_12 = math.exp(s_12 / tau) / sum(math.exp(s / tau) for s in (s_12, s_13, s_14))
    p_21 = math.exp(s_12 / tau) / sum(math.exp(s / tau) for s in (s_12, s_23, s_24))
    p_34 = math.exp(s_34 / tau) / sum(math.exp(s / tau) for s in (s_34, s_13, s_23))
    p_43 = math.exp(s_34 / tau) / sum(math.exp(s / tau) for s in (s_34, s_14, s_24))
    expected = -(math.log(p_12) + math.log(p_21) + math.log(p_34) + math.log(p_43)) / 4
    loss = NTXentLoss(tau)(torch.stack((h_1, h_3)), torch.stack((h_2, h_4)))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("num_texts", [1, 2, 50])
def test_uninformative_embeddings_cost_log_2n_minus_1(num_texts: int) -> None:
    h = torch.ones(num_texts, 4)
    assert ntxent(h, 3 * h, 0.05).item() == pytest.approx(math.log(2 * num_texts - 1), abs=1e-6)


@pytest.mark.parametrize("tau", [0.05, 0.5])
def test_perfect_embeddings(tau: float) -> None:
    """Equal views, orthogonal texts: each denominator is e^(1/tau) and 2N - 2 times e^0."""
    num_texts = 8
    h = torch.eye(num_texts, dtype=torch.float64)
    expected = math.log(1 + (2 * num_texts - 2) * math.exp(-1 / tau))
    assert ntxent(h, 2 * h, tau).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.usefixtures("tile_rows", "keep_elements")
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_equals_finite_differences(masked: bool) -> None:
    h_a, h_b = (h.requires_grad_() for h in views(5, 4))
    hashes = np.array([7, 8, 7, 9, 10], np.uint64) if masked else None
    groups = np.array([0, 3, 0, 3, 0], np.uint64) if masked else None
    assert torch.autograd.gradcheck(lambda a, b: ntxent(a, b, 0.3, hashes=hashes, groups=groups), (h_a, h_b))


@pytest.mark.usefixtures("keep_elements")
def test_gradient_equals_autograd_of_the_plain_form() -> None:
    h_a, h_b = views(40, 16)
    gradients = []
    for own in (True, False):
        a, b = h_a.float().requires_grad_(), h_b.float().requires_grad_()
        if own:
            loss = ntxent(a, b, 0.05)
        else:
            z = functional.normalize(torch.cat((a, b)), dim=1)
            logits = (z @ z.T / 0.05).fill_diagonal_(-torch.inf)
            loss = functional.cross_entropy(logits, torch.arange(80).roll(40))
        gradients.append(torch.cat(torch.autograd.grad(3 * loss, (a, b))))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_views_may_change_places() -> None:
    h_a, h_b = views(9)
    assert ntxent(h_a, h_b, 0.1).item() == pytest.approx(ntxent(h_b, h_a, 0.1).item(), rel=1e-12)


def test_texts_may_change_places_and_lengths_do_not_count() -> None:
    h_a, h_b = views(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    scale = torch.arange(1.0, 10.0, dtype=torch.float64)[:, None]
    assert ntxent(scale * h_a[order], h_b[order], 0.1).item() == pytest.approx(
        ntxent(h_a, h_b, 0.1).item(), rel=1e-12
    )


@pytest.mark.usefixtures("tile_rows")
@pytest.mark.parametrize("as_tensor", [False, True])
def test_false_negatives_are_left_out_and_positives_never(as_tensor: bool) -> None:
    h_a, h_b = views(6)
    hashes = np.array([1 << 63, 5, 1 << 63, 6, 7, 5], np.uint64)
    groups = np.array([0, 2, 0, 2, 4, 0], np.uint64)
    left_out = np.equal.outer(hashes, hashes) | (np.equal.outer(groups, groups) & (groups != 0))
    expected = formula(h_a.numpy(), h_b.numpy(), 0.2, left_out)
    hash_keys, group_keys = (torch.from_numpy(k) if as_tensor else k for k in (hashes, groups))
    loss = ntxent(h_a, h_b, 0.2, hashes=hash_keys, groups=group_keys)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert loss.item() < ntxent(h_a, h_b, 0.2).item()


def test_keys_that_are_all_different_change_nothing() -> None:
    h_a, h_b = views(6)
    loss = ntxent(h_a, h_b, 0.2, hashes=np.arange(6, dtype=np.uint64), groups=np.zeros(6, np.uint64))
    assert loss.item() == ntxent(h_a, h_b, 0.2).item()


def test_one_group_leaves_only_positives() -> None:
    h_a, h_b = views(6)
    assert ntxent(h_a, h_b, 0.2, groups=np.ones(6, np.uint64)).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_large_logits_are_stable(sign: float) -> None:
    """At tau = 0.01 a cosine of -1 is e^-100, which float32 cannot hold."""
    h = functional.normalize(torch.randn(64, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    h_a, h_b = h.clone().requires_grad_(), sign * h
    loss = ntxent(h_a, h_b, 0.01)
    (gradient,) = torch.autograd.grad(loss, h_a)
    expected = formula(h.double().numpy(), sign * h.double().numpy(), 0.01)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert gradient.isfinite().all()


def test_empty_texts_get_no_gradient_and_spoil_none() -> None:
    h_a, h_b = (h.float() for h in views(4))
    h_a[1] = 0
    h_a.requires_grad_()
    loss = ntxent(h_a, h_b, 0.05)
    (gradient,) = torch.autograd.grad(loss, h_a)
    assert loss.isfinite() and gradient.isfinite().all()
    assert not gradient[1].any() and gradient[0].any()


def test_half_precision_is_computed_in_float32() -> None:
    h_a, h_b = views(16)
    a, b = h_a.bfloat16().requires_grad_(), h_b.bfloat16()
    loss = ntxent(a, b, 0.05)
    (gradient,) = torch.autograd.grad(loss, a)
    assert loss.dtype == torch.float32 and gradient.dtype == torch.bfloat16
    assert loss.item() == pytest.approx(ntxent(a.double(), b.double(), 0.05).item(), rel=1e-5)


def test_no_gradient_asked_none_kept() -> None:
    h_a, h_b = views(4)
    assert not ntxent(h_a, h_b, 0.05).requires_grad


def test_views_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"same shape, got \(3, 6\) and \(4, 6\)"):
        ntxent(views(3)[0], views(4)[0], 0.05)


@pytest.mark.parametrize("temperature", [0.0, -0.5, math.nan, math.inf])
def test_temperature_must_be_positive(temperature: float) -> None:
    with pytest.raises(ConfigError, match="temperature must be > 0, got"):
        NTXentLoss(temperature)
    with pytest.raises(ValidationError):
        LossConfig(temperature=temperature)


def test_the_message_says_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        NTXentLoss(-0.5)
    assert str(caught.value) == "temperature must be > 0, got -0.5; 0.02 to 0.1 is usual (loss.temperature)"


def test_prints_its_temperature() -> None:
    assert repr(NTXentLoss(0.07)) == "NTXentLoss(temperature=0.07)"
