"""Three functions of PyTorch that a training step on a CPU does better, put in their place for a while.

`embedding`: PyTorch's gradient is a table of zeros with a few rows filled in, made anew for each
micro-batch and added to the last (30,522 x 384: 20 ms). Here the rows are added to the table's gradient.

`embedding_bag`: likewise. PyTorch sorts the tokens and adds row by row. Here the batch is seen as a sparse
matrix A (texts x vocabulary) with h = A E, whose transpose is a counting sort, and dE = A^T dh is one more
sum over bags. The bags of common tokens are dealt out among the threads, each of which takes as many bags
(in the order of the vocabulary the first of two had 92% of the work). 580,000 tokens of 512 dimensions,
backward: 33 ms without dealing and with a new table, 18 with it.

`dropout`: see `dropout_mask`.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Int64
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from llmagentos.encoder import dropout_mask


class CheaperFunctions(TorchFunctionMode):
    """In this context `embedding`, `embedding_bag` and `dropout` are ours, wherever a model calls them.

    The gradient of an embedding goes straight into `.grad` of its table, which must be a leaf. Each row is
    summed in the order of the batch, so it does not depend on the number of threads.

    Args:
        embedding: whether that is so; not where the table is sharded.
    """

    def __init__(self, *, embedding: bool = True) -> None:
        super().__init__()
        self._ours: dict[Callable[..., Any], Callable[..., Tensor | None]] = {functional.dropout: _dropout}
        if embedding:
            self._ours |= {functional.embedding: _embedding, functional.embedding_bag: _embedding_bag}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ours for the three, and `func` for everything else."""
        kwargs = kwargs or {}
        ours = self._ours.get(func)
        result = None if ours is None else ours(*args, **kwargs)
        return func(*args, **kwargs) if result is None else result


def _embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor | None:
    if not (weight.is_leaf and weight.requires_grad) or max_norm is not None or scale_grad_by_freq or sparse:
        return None
    rows: Tensor = cast(Callable[..., Tensor], _Embedding.apply)(weight, input, padding_idx)
    return rows


def _embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor | None:
    plain_sums = mode == "sum" and include_last_offset and per_sample_weights is None and padding_idx is None
    if not (weight.is_leaf and weight.requires_grad and plain_sums):
        return None
    if max_norm is not None or scale_grad_by_freq or sparse:
        return None
    sums: Tensor = cast(Callable[..., Tensor], _EmbeddingBag.apply)(weight, input, offsets)
    return sums


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor | None:
    if not training or p == 0.0 or input.dtype not in _MASKED:
        return None
    return input * dropout_mask(input.shape, p, input.dtype)


_MASKED = (torch.float32, torch.bfloat16, torch.float16)


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, input: Tensor, padding_idx: int | None) -> Tensor:
        ctx.save_for_backward(input)
        # The parameter itself, whose `.grad` it is; what is saved may come back as another tensor.
        ctx.weight = weight
        ctx.padding_idx = padding_idx if padding_idx is None else padding_idx % len(weight)
        return weight.detach()[input]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        (input,), weight = ctx.saved_tensors, ctx.weight
        rows, gradient = input.reshape(-1), gradient.reshape(-1, weight.shape[1]).to(weight.dtype)
        if ctx.padding_idx is not None:
            gradient = gradient * (rows != ctx.padding_idx)[:, None]
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        weight.grad.index_add_(0, rows, gradient)
        return None, None, None


class _EmbeddingBag(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, input: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(input, offsets)
        ctx.weight = weight
        return _bag_sums(input, weight.detach(), offsets)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, None]:
        (input, offsets), weight = ctx.saved_tensors, ctx.weight
        tokens = input.numpy()
        rows = _dealt(np.bincount(tokens, minlength=len(weight)), torch.get_num_threads())
        # 32-bit indices halve the traffic; a batch stays far below 2^31 tokens.
        places = np.zeros(len(weight), np.int32)
        places[rows] = np.arange(len(rows), dtype=np.int32)
        batch = (np.ones(len(tokens), np.bool_), places[tokens], offsets.int().numpy())
        by_row = csr_array(batch, shape=(len(offsets) - 1, len(rows))).tocsc()
        texts, starts = torch.from_numpy(by_row.indices), torch.from_numpy(by_row.indptr)
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        weight.grad.index_add_(0, torch.from_numpy(rows), _bag_sums(texts, gradient, starts))
        return None, None, None


def _bag_sums(input: Tensor, weight: Tensor, offsets: Tensor) -> Tensor:
    return functional.embedding_bag(input, weight, offsets, mode="sum", include_last_offset=True)


def _dealt(counts: Int64[np.ndarray, " v"], hands: int) -> Int64[np.ndarray, " r"]:
    """The rows that occur, in an order whose `hands` equal parts hold about as many occurrences each."""
    rows = np.flatnonzero(counts)
    commonest_first = rows[np.argsort(-counts[rows], kind="stable")]
    return np.concatenate([commonest_first[hand::hands] for hand in range(hands)])
