"""`embedding`, `embedding_bag` and `dropout` as a training step on a CPU has them, against PyTorch's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from llmagentos.training._functions import CheaperFunctions, _dealt

IDS = torch.tensor([[1, 3, 3, 0, 6], [6, 6, 2, 0, 3]])


def table(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(7, 4, generator=generator).requires_grad_()


def both(work: Callable[..., Tensor], *tables: Tensor) -> None:
    """The same numbers and gradients in the context as outside of it."""
    copies = [one.detach().clone().requires_grad_() for one in tables]
    expected = work(*copies)
    with CheaperFunctions():
        result = work(*tables)
    assert torch.equal(result, expected)
    weights = torch.arange(float(expected.numel())).reshape(expected.shape).sin()
    for out in (expected, result):
        torch.autograd.backward((out * weights).sum())
    for ours, theirs in zip(tables, copies, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("ids", [IDS, IDS[0], IDS[:, :0], IDS[0, 0]], ids=["2d", "1d", "none", "one"])
@pytest.mark.parametrize("padding_idx", [None, 0, 3, -1])
def test_the_gradient_of_an_embedding(ids: Tensor, padding_idx: int | None) -> None:
    both(lambda weight: functional.embedding(ids, weight, padding_idx=padding_idx), table())


def test_an_embedding_module_with_padding_counted_from_the_end() -> None:
    module = nn.Embedding(7, 4, padding_idx=-1)
    with CheaperFunctions():
        torch.autograd.backward(module(IDS).sum())
    assert module.weight.grad is not None
    assert module.weight.grad[:, 0].tolist() == [2, 1, 1, 3, 0, 0, 0]


def test_several_backward_passes_add_up() -> None:
    ours, theirs = table(), table()
    for ids in (IDS, IDS[:1], IDS[1:]):
        torch.autograd.backward(functional.embedding(ids, theirs).square().sum())
        with CheaperFunctions():
            torch.autograd.backward(functional.embedding(ids, ours).square().sum())
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_two_tables_and_one_used_twice() -> None:
    def work(words: Tensor, positions: Tensor) -> Tensor:
        places = torch.arange(5).expand(2, 5)
        return functional.embedding(IDS, words) * functional.embedding(places, positions).cos() + (
            functional.embedding(IDS.flip(1), words).sin()
        )

    both(work, table(0), table(1))


def test_a_table_that_is_the_last_layer_as_well() -> None:
    both(lambda weight: functional.embedding(IDS, weight) @ weight.T, table())


def test_the_gradient_reaches_what_comes_before_a_table_that_is_no_leaf() -> None:
    both(lambda weight: functional.embedding(IDS, weight * 2), table())


def test_a_frozen_table_stays_frozen() -> None:
    frozen = table().detach()
    with CheaperFunctions():
        assert not functional.embedding(IDS, frozen).requires_grad


@pytest.mark.parametrize("options", [{"sparse": True}, {"scale_grad_by_freq": True}, {"max_norm": 0.5}])
def test_what_ours_cannot_do_is_left_to_pytorch(options: dict[str, Any]) -> None:
    ours, theirs = (nn.Embedding(7, 4, **options) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    with CheaperFunctions():
        torch.autograd.backward(ours(IDS).sum())
    torch.autograd.backward(theirs(IDS).sum())
    assert ours.weight.grad is not None and theirs.weight.grad is not None
    assert ours.weight.grad.is_sparse == theirs.weight.grad.is_sparse == ("sparse" in options)
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.weight.grad.to_dense(), theirs.weight.grad.to_dense())


def bags(num_rows: int, num_tokens: int, num_texts: int) -> tuple[Tensor, Tensor]:
    """Tokens of which some are far more common, and offsets with empty texts among them."""
    generator = torch.Generator().manual_seed(1)
    cuts = torch.randint(0, num_tokens + 1, (num_texts - 3,), generator=generator).sort().values
    start, end = torch.tensor([0, 0]), torch.tensor([num_tokens, num_tokens])
    common = torch.rand(num_tokens, generator=generator).pow(3) * num_rows
    return common.long(), torch.cat((start, cuts, end))


def sums(weight: Tensor, tokens: Tensor, offsets: Tensor, **more: Any) -> Tensor:
    return functional.embedding_bag(tokens, weight, offsets, mode="sum", include_last_offset=True, **more)


@pytest.mark.parametrize("size", [(7, 30, 9), (7, 0, 4), (2000, 20_000, 500)], ids=["few", "none", "many"])
def test_the_gradient_of_bags(size: tuple[int, int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(size[0], 16, generator=generator, dtype=torch.float64).requires_grad_()
    both(lambda weight: sums(weight, *bags(*size)), weight)


def test_the_gradient_of_bags_by_finite_differences() -> None:
    tokens, offsets = bags(6, 20, 5)
    weight = torch.randn(6, 3, dtype=torch.float64).requires_grad_()
    with CheaperFunctions():
        torch.autograd.backward(sums(weight, tokens, offsets).sin().sum())
    assert weight.grad is not None
    for place in [(0, 0), (3, 1), (5, 2)]:
        moved = weight.detach().clone()
        moved[place] += 1e-6
        difference = sums(moved, tokens, offsets).sin().sum() - sums(weight, tokens, offsets).sin().sum()
        assert weight.grad[place].item() == pytest.approx(difference.item() / 1e-6, abs=1e-4)


def test_the_gradient_of_bags_does_not_depend_on_the_number_of_threads() -> None:
    threads, results = torch.get_num_threads(), []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            weight = torch.randn(50, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
            with CheaperFunctions():
                torch.autograd.backward(sums(weight, *bags(50, 3000, 40)).sin().sum())
            assert weight.grad is not None
            results.append(weight.grad)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


@pytest.mark.parametrize("hands", [1, 2, 3, 5])
def test_common_rows_are_dealt_out(hands: int) -> None:
    counts = (10_000 / np.arange(1, 2001)).astype(np.int64)  # Zipf's law
    counts[1000:1100] = 0
    rows = _dealt(counts, hands)
    assert sorted(rows) == np.flatnonzero(counts).tolist()
    shares = [counts[part].sum() / counts.sum() for part in np.array_split(rows, hands)]
    assert max(shares) < 1 / hands + 0.1


@pytest.mark.parametrize("options", [{"max_norm": 0.5}, {"scale_grad_by_freq": True}, {"padding_idx": 3}])
def test_bags_that_ours_cannot_sum_are_left_to_pytorch(options: dict[str, Any]) -> None:
    tokens, offsets = bags(7, 30, 9)
    both(lambda weight: sums(weight, tokens, offsets, **options), table())


def test_means_of_bags_are_left_to_pytorch() -> None:
    tokens, offsets = bags(7, 30, 9)
    both(lambda weight: functional.embedding_bag(tokens, weight, offsets[:-1]), table())


def test_embeddings_are_left_alone_where_asked() -> None:
    weight = table()
    with CheaperFunctions(embedding=False):
        out = functional.embedding(IDS, weight)
        dropped = functional.dropout(torch.ones(1000), 0.5)
    assert out.grad_fn is not None and "EmbeddingBackward" in out.grad_fn.name()
    torch.manual_seed(0)
    theirs = functional.dropout(torch.ones(1000), 0.5)
    torch.manual_seed(0)
    with CheaperFunctions(embedding=False):
        ours = functional.dropout(torch.ones(1000), 0.5)
    assert not torch.equal(ours, theirs)
    assert set(dropped.tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
def test_dropout_has_the_right_share_and_scale(p: float, dtype: torch.dtype) -> None:
    x = torch.full((500, 400), 3.0, dtype=dtype).requires_grad_()
    with CheaperFunctions():
        y = functional.dropout(x, p)
    assert y.dtype == dtype and y.shape == x.shape
    dropped = (y == 0).float().mean().item()
    assert dropped == pytest.approx(p, abs=5 * (p * (1 - p) / x.numel()) ** 0.5 + 2e-5)
    assert y.float().mean().item() == pytest.approx(3.0 if p < 1 else 0.0, rel=0.02)
    torch.autograd.backward(y.sum())
    assert x.grad is not None
    assert torch.equal(x.grad * 3, y)


def test_dropout_of_doubles() -> None:
    with CheaperFunctions():
        y = functional.dropout(torch.ones(1000, dtype=torch.float64), 0.5)
    assert set(y.tolist()) == {0.0, 2.0}


def test_dropout_is_replayed_by_the_seed_and_differs_without() -> None:
    x = torch.ones(64, 64)
    with CheaperFunctions():
        torch.manual_seed(3)
        first, other = functional.dropout(x, 0.3), functional.dropout(x, 0.3)
        torch.manual_seed(3)
        again = nn.Dropout(0.3)(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_dropout_where_there_is_none() -> None:
    x = torch.ones(8)
    with CheaperFunctions():
        assert torch.equal(functional.dropout(x, 0.5, training=False), x)
        assert torch.equal(functional.dropout(x, 0.0), x)
        assert torch.equal(nn.Dropout(0.5).eval()(x), x)
