"""Two functions of PyTorch that a training step on a CPU does better, put in their place for a while.

`embedding`: PyTorch's gradient is a table of zeros with a few rows filled in, made anew for each
micro-batch and added to the last (30,522 x 384: 20 ms). Here the rows are added to the table's gradient.

`dropout`: see `dropout_mask`.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from llmagentos.encoder import dropout_mask


class CheaperFunctions(TorchFunctionMode):
    """In this context `embedding` and `dropout` are ours, wherever a model calls them.

    The gradient of an embedding goes straight into `.grad` of its table, which must be a leaf.

    Args:
        embedding: whether that is so; not where the table is sharded.
    """

    def __init__(self, *, embedding: bool = True) -> None:
        super().__init__()
        self._ours: dict[Callable[..., Any], Callable[..., Tensor | None]] = {functional.dropout: _dropout}
        if embedding:
            self._ours[functional.embedding] = _embedding

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ours for the two, and `func` for everything else."""
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
