"""NT-Xent against the formula written out, closed forms, and its gradient against finite differences."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from llmagentos.loss import NTXentLoss, _ntxent, ntxent

from .reference import formula, plain, views, with_gradient


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


def test_prints_its_temperature() -> None:
    assert repr(NTXentLoss(0.07)) == "NTXentLoss(temperature=0.07)"


@pytest.mark.parametrize(
    ("hardness", "text"), [(0.0, "temperature=0.07"), (4.5, "temperature=0.07, hardness=4.5")]
)
def test_prints_its_hardness_where_it_has_one(hardness: float, text: str) -> None:
    assert repr(NTXentLoss(0.07, hardness=hardness)) == f"NTXentLoss({text})"


def test_the_module_passes_its_hardness_and_the_queue_on() -> None:
    h_a, h_b = views(5)
    queue = torch.randn(3, 6, dtype=torch.float64)
    assert torch.equal(
        NTXentLoss(0.1, hardness=3)(h_a, h_b, queue=queue), ntxent(h_a, h_b, 0.1, hardness=3, queue=queue)
    )


@pytest.mark.usefixtures("tile_rows")
@pytest.mark.parametrize("num_queued", [0, 1, 5])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 9.0])
def test_hardness_and_queue_equal_the_formula(alpha: float, num_queued: int) -> None:
    h_a, h_b = views(5)
    queue = 3 * views(5, seed=1)[0][:num_queued]
    expected = formula(h_a.numpy(), h_b.numpy(), 0.2, alpha=alpha, queue=queue.numpy())
    assert plain(h_a, h_b, 0.2, alpha=alpha, queue=queue).item() == pytest.approx(expected, rel=1e-12)
    assert ntxent(h_a, h_b, 0.2, hardness=alpha, queue=queue).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.usefixtures("tile_rows", "keep_elements")
def test_no_gradient_goes_through_the_weights_of_hard_negatives() -> None:
    h_a, h_b = views(7)
    found = with_gradient(ntxent, h_a, h_b, 0.1, hardness=5.0)
    np.testing.assert_allclose(found, with_gradient(plain, h_a, h_b, 0.1, alpha=5.0), rtol=1e-9, atol=1e-13)

    def through(h_a: Tensor, h_b: Tensor) -> Tensor:
        """The same value, with the weights' own gradient."""
        z = functional.normalize(torch.cat((h_a, h_b)), dim=1)
        logits = (z @ z.T * 15).fill_diagonal_(-torch.inf)
        rows, positives = torch.arange(14), torch.arange(14).roll(7)
        logits[rows, positives] = logits[rows, positives] * 10 / 15
        return functional.cross_entropy(logits, positives)

    other = with_gradient(through, h_a, h_b)
    assert found[0] == pytest.approx(other[0], rel=1e-9)
    assert np.linalg.norm(found[1:] - other[1:]) > 0.01 * np.linalg.norm(found[1:])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=8),
    st.none() | st.lists(st.integers(0, 9), max_size=9),
    st.sampled_from([0.0, 2.5]),
    st.integers(1, 19),
    st.booleans(),
    st.integers(0, 1000),
)
def test_value_and_gradient_equal_the_plain_form(
    keys: list[tuple[int, int]],
    queued: list[int] | None,
    alpha: float,
    tile_rows: int,
    keep: bool,
    seed: int,
) -> None:
    """With repeated texts, groups, a queue that holds texts of the batch, and tiles of any size."""
    h_a, h_b = views(len(keys), seed=seed)
    hashes, groups = np.array(keys, np.uint64).T
    left_out = np.equal.outer(hashes, hashes) | (np.equal.outer(groups, groups) & (groups != 0))
    queue, queue_hashes, left_out_of_queue = None, None, None
    if queued is not None:
        queue = views(9, seed=seed + 1)[0][: len(queued)]
        queue_hashes = np.array(queued, np.uint64)
        left_out_of_queue = torch.from_numpy(np.equal.outer(hashes, queue_hashes))
    expected = with_gradient(
        plain,
        h_a,
        h_b,
        0.15,
        alpha=alpha,
        left_out=torch.from_numpy(left_out),
        queue=queue,
        left_out_of_queue=left_out_of_queue,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ntxent, "_TILE_ROWS", tile_rows)
        patch.setattr(_ntxent, "_KEEP_ELEMENTS", 1 << 24 if keep else 0)
        found = with_gradient(
            ntxent,
            h_a,
            h_b,
            0.15,
            hashes=hashes,
            groups=groups,
            hardness=alpha,
            queue=queue,
            queue_hashes=queue_hashes,
        )
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.usefixtures("tile_rows", "keep_elements")
def test_texts_of_the_batch_are_left_out_of_the_queue_and_no_others() -> None:
    """The queue's first is a text of the batch, its second occurs twice there, its third nowhere."""
    h_a, h_b = views(4)
    queue = views(3, seed=1)[0]
    hashes, queue_hashes = np.array([5, 1 << 63, 6, 1 << 63], np.uint64), np.array([5, 1 << 63, 8], np.uint64)
    left_out = torch.from_numpy(np.equal.outer(hashes, hashes))
    left_out_of_queue = torch.from_numpy(np.equal.outer(hashes, queue_hashes))
    assert left_out_of_queue.int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0]]
    expected = with_gradient(
        plain, h_a, h_b, 0.2, left_out=left_out, queue=queue, left_out_of_queue=left_out_of_queue
    )
    found = with_gradient(ntxent, h_a, h_b, 0.2, hashes=hashes, queue=queue, queue_hashes=queue_hashes)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)


def test_groups_of_the_batch_are_left_out_of_the_queue_but_not_those_without_one() -> None:
    h_a, h_b = views(4)
    queue = views(3, seed=1)[0]
    groups, queue_groups = np.array([5, 0, 5, 9]), np.array([0, 5, 9])
    left_out = torch.from_numpy(np.equal.outer(groups, groups) & (groups != 0)[:, None])
    left_out_of_queue = torch.from_numpy(np.equal.outer(groups, queue_groups) & (groups != 0)[:, None])
    assert left_out_of_queue.int().tolist() == [[0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]]
    expected = with_gradient(
        plain, h_a, h_b, 0.2, left_out=left_out, queue=queue, left_out_of_queue=left_out_of_queue
    )
    found = with_gradient(ntxent, h_a, h_b, 0.2, groups=groups, queue=queue, queue_groups=queue_groups)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)


def test_the_queue_gets_no_gradient() -> None:
    h_a, h_b = views(4)
    queue = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert not ntxent(h_a, h_b, 0.1, queue=queue).requires_grad
    torch.autograd.backward(ntxent(h_a.requires_grad_(), h_b, 0.1, queue=queue))
    assert queue.grad is None


@pytest.mark.usefixtures("keep_elements")
@pytest.mark.parametrize("tau", [0.05, 0.025, 0.02])
@pytest.mark.parametrize("alpha", [0.0, 5.0])
@pytest.mark.parametrize("tile_rows", [33, 128, 399, 1024])
def test_float32_has_the_gradient_of_float64(
    tile_rows: int, alpha: float, tau: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ntxent, "_TILE_ROWS", tile_rows)
    h_a, h_b = (h.float() for h in views(200, 32))
    queue = views(70, 32, seed=1)[0].float()
    found = with_gradient(ntxent, h_a, h_b, tau, hardness=alpha, queue=queue)
    expected = with_gradient(plain, h_a.double(), h_b.double(), tau, alpha=alpha, queue=queue.double())
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert np.linalg.norm(found[1:] - expected[1:]) < 1e-5 * np.linalg.norm(expected[1:])


@pytest.mark.parametrize(("temperature", "hardness"), [(0.005, 0.0), (0.005, 100.0), (0.02, 100.0)])
def test_the_lowest_temperature_and_the_greatest_hardness_are_stable(
    temperature: float, hardness: float
) -> None:
    h_a, h_b = (h.float() for h in views(30))
    h_b[0] = -h_a[0]
    found = with_gradient(ntxent, h_a, h_b, temperature, hardness=hardness)
    expected = with_gradient(plain, h_a.double(), h_b.double(), temperature, alpha=hardness)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert np.linalg.norm(found[1:] - expected[1:]) < 1e-4 * np.linalg.norm(expected[1:])


@pytest.mark.usefixtures("keep_elements")
def test_a_second_backward_pass_gives_the_same_gradient() -> None:
    h_a, h_b = (h.requires_grad_() for h in views(6))
    loss = ntxent(h_a, h_b, 0.1, queue=views(4, seed=1)[0])
    first, second = (torch.autograd.grad(loss, (h_a, h_b), retain_graph=True) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def made_tiles(monkeypatch: pytest.MonkeyPatch, num_texts: int, num_queued: int) -> list[torch.Size]:
    """Shapes of the tiles that a forward and a backward pass make."""
    shapes: list[torch.Size] = []
    for name in ("_tile", "_queue_tile"):
        make = getattr(_ntxent._Tiles, name)

        def spy(self: Any, rows: slice, columns: slice, make: Callable[..., Tensor] = make) -> Tensor:
            tile = make(self, rows, columns)
            shapes.append(tile.shape)
            return tile

        monkeypatch.setattr(_ntxent._Tiles, name, spy)
    h_a, h_b = (h.requires_grad_() for h in views(num_texts))
    torch.autograd.backward(ntxent(h_a, h_b, 0.1, queue=views(num_queued)[0]))
    return shapes


def test_a_large_batch_is_never_whole_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 x 16 tiles of views, of which one triangle is made, and 16 x 2 of the queue; each twice."""
    monkeypatch.setattr(_ntxent, "_TILE_ROWS", 64)
    monkeypatch.setattr(_ntxent, "_KEEP_ELEMENTS", 1000 * 1000)
    shapes = made_tiles(monkeypatch, num_texts=500, num_queued=100)
    assert len(shapes) == 2 * (16 * 17 // 2 + 16 * 2)
    assert all(rows <= 64 and columns <= 64 for rows, columns in shapes)


def test_the_tiles_of_a_small_batch_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ntxent, "_TILE_ROWS", 64)
    monkeypatch.setattr(_ntxent, "_KEEP_ELEMENTS", 1000 * 1100)
    shapes = made_tiles(monkeypatch, num_texts=500, num_queued=100)
    assert len(shapes) == 16 * 17 // 2 + 16 * 2


def test_matryoshka_is_the_mean_over_beginnings() -> None:
    torch.manual_seed(0)
    h_a, h_b = torch.randn(2, 5, 12, dtype=torch.float64)
    loss = NTXentLoss(0.1, hardness=1.0, dimensions=(8, 4, 8))
    parts = [formula(h_a[:, :d].numpy(), h_b[:, :d].numpy(), 0.1, alpha=1.0) for d in (4, 8, 12)]
    assert loss(h_a, h_b).item() == pytest.approx(np.mean(parts), rel=1e-12)


def test_dimensions_beyond_the_vector_are_left_out() -> None:
    h_a, h_b = torch.randn(2, 5, 12)
    assert torch.equal(NTXentLoss(0.1, dimensions=(12, 64))(h_a, h_b), NTXentLoss(0.1)(h_a, h_b))
