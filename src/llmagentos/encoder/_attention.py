"""Attention for packed texts: each token looks at the tokens of its own text.

transformers lets a model's attention be exchanged by name. Ours takes the packing of the batch along
with the queries, keys and values of all its tokens, and answers in the same form:

- on a GPU in half precision with PyTorch's FlashAttention for texts of different lengths;
- on a CPU with five products of matrices and the softmax between them, written out. PyTorch's fused
  attention for CPUs takes several times as long for its backward pass in bf16: 16 texts of 128 tokens and
  12 heads, forward and backward, two cores: 33.8 ms, and 6.2 so. A step of all-MiniLM-L6-v2 with 64 pairs
  of abstracts takes 3.9 s in place of 5.2; in fp32 without dropout both take 7.1;
- elsewhere with PyTorch's `scaled_dot_product_attention`.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

from llmagentos.encoder._dropout import dropout_mask
from llmagentos.encoder._packing import Packing

PACKED: Final = "llmagentos_packed"

# Longer rows would keep more than 50 MB of probabilities a layer for 2,048 tokens.
_LONGEST_KEPT_ROW = 1024

# Caps on scores, attention sinks and relative positions, as Gemma 2, GPT-OSS and T5 have them.
_REFUSED_OPTIONS: Final = ("softcap", "s_aux", "position_bias")


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    packing: Packing | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention of all heads of one layer, as transformers calls it.

    Args:
        module: the attention module; says whether it is causal where `is_causal` does not.
        query: (1, H, T, d), the tokens of all texts.
        key: (1, H or fewer, T, d).
        value: (1, H or fewer, T, d).
        attention_mask: there is none.
        packing: where the texts are; whoever calls the backbone has to give it.
        dropout: of the probabilities, 0 to 1.
        scaling: of the scores; None for 1 / sqrt(d).
        is_causal: look back only.
        sliding_window: look at no token that is this far or farther; None for all.
        options: what else transformers passes on; what would change the result is refused.

    Returns:
        (1, T, H, d) in the dtype of `value`, or of autocast where that is on; and no probabilities.

    Raises:
        ValueError: there is no packing, or the model wants of attention what this one has not.

    Source: Vaswani et al. 2017, Attention Is All You Need, equation 1; Dao 2023, FlashAttention-2.
    """
    if packing is None:
        raise ValueError(
            "the attention of this backbone is set to packed texts, and packing must be a Packing, got None; "
            "call the encoder and not its backbone, or set encoder.packs = False first"
        )
    for name in _REFUSED_OPTIONS:
        if (wanted := options.get(name)) is not None:
            got = f"one of shape {tuple(wanted.shape)}" if isinstance(wanted, Tensor) else wanted
            raise ValueError(f"packed attention has no {name}, got {got}; set encoder.packs = False")
    causal = bool(getattr(module, "is_causal", False)) if is_causal is None else is_causal
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    # Under autocast norms of queries and keys, as Qwen3 has them, leave float32, and so may values.
    kind = query.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else value.dtype
    # squeeze and not [0], whose gradient is a copy of everything, by way of zeros.
    query, key, value = (x.squeeze(0).transpose(0, 1).to(dtype) for x in (query, key, value))
    if packing.starts is not None and _fits_flash(dtype, query.shape[-1], packing.widest_head):
        return _flash(query, key, value, packing, scaling, dropout, causal, sliding_window)[None], None
    if key.shape[1] != query.shape[1]:
        key, value = (x.repeat_interleave(query.shape[1] // key.shape[1], 1) for x in (key, value))
    window = sliding_window if sliding_window is not None and sliding_window < packing.longest else None
    if kind == "cpu" and packing.rows.texts.shape[1] <= _LONGEST_KEPT_ROW:
        bias = packing.bias(dtype, causal=causal, window=window)
        out = cast(Callable[..., Tensor], _RowAttention.apply)(
            query, key, value, packing, bias, scaling, dropout
        )
        return out[None], None
    # Where each text has a row of its own, PyTorch knows who looks back at whom without the C x C numbers.
    plainly_causal = causal and window is None and packing.rows.index is None
    bias = None if plainly_causal else packing.bias(dtype, causal=causal, window=window)
    query, key, value = (_to_rows(x, packing) for x in (query, key, value))
    attended = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=bias, dropout_p=dropout, is_causal=plainly_causal, scale=scaling
    )
    return _from_rows(attended, packing)[None], None


def _fits_flash(dtype: torch.dtype, head_dimension: int, widest_head: int) -> bool:
    """Whether FlashAttention takes such queries; it raises where it does not.

    Source: Dao 2023, FlashAttention-2; the limits are those of PyTorch 2.13's.

    Example:
        >>> _fits_flash(torch.bfloat16, 64, 256), _fits_flash(torch.float32, 64, 256)
        (True, False)
    """
    is_half = dtype in (torch.float16, torch.bfloat16)
    return is_half and head_dimension % 8 == 0 and head_dimension <= widest_head


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packing: Packing,
    scaling: float,
    dropout: float,
    causal: bool,
    window: int | None,
) -> Tensor:
    # What PyTorch's public `varlen_attn` calls, which leaves dropout out.
    far = None if window is None else window - 1
    out: Tensor = torch.ops.aten._flash_attention_forward(
        query,
        key,
        value,
        packing.starts,
        packing.starts,
        packing.longest,
        packing.longest,
        dropout,
        causal,
        False,
        scale=scaling,
        window_size_left=far,
        window_size_right=0 if causal else far,
    )[0]
    return out


def _to_rows(x: Tensor, packing: Packing) -> Tensor:
    """(T, H, d) as (R, H, C, d)."""
    rows = packing.rows
    x = x if rows.index is None else x.index_select(0, rows.index)
    return x.view(*rows.texts.shape, *x.shape[1:]).transpose(1, 2)


def _from_rows(x: Tensor, packing: Packing) -> Tensor:
    """(R, H, C, d) as (T, H, d)."""
    x = x.transpose(1, 2).flatten(0, 1)
    return x if packing.rows.places is None else x.index_select(0, packing.rows.places)


class _RowAttention(torch.autograd.Function):
    """softmax(scaling q k^T + bias) v within the rows of a packing, with dropout on the probabilities."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        packing: Packing,
        bias: Tensor | None,
        scaling: float,
        dropout: float,
    ) -> Tensor:
        q, k, v = (_to_rows(x, packing) for x in (query, key, value))
        shape = q.shape
        q, k, v = (x.reshape(-1, *shape[2:]) for x in (q, k, v))
        scores = q.new_empty(len(q), shape[2], shape[2])
        torch.baddbmm(scores, q, k.transpose(1, 2), beta=0, alpha=scaling, out=scores)
        if bias is not None:
            scores.view(*shape[:3], -1).add_(bias)
        p = torch.softmax(scores, -1)
        mask = dropout_mask(p.shape, dropout, p.dtype) if dropout else None
        ctx.save_for_backward(q, k, v, p, *([] if mask is None else [mask]))
        ctx.packing, ctx.scaling, ctx.shape = packing, scaling, shape
        out = torch.bmm(p if mask is None else p * mask, v)
        return _from_rows(out.view(shape), packing)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, p, *masks = ctx.saved_tensors
        mask = masks[0] if masks else None
        g = _to_rows(gradient, ctx.packing).reshape(q.shape)
        dv = torch.bmm((p if mask is None else p * mask).transpose(1, 2), g)
        dp = torch.bmm(g, v.transpose(1, 2))
        if mask is not None:
            dp.mul_(mask)
        ds = torch._softmax_backward_data(dp, p, -1, p.dtype)
        dq = torch.bmm(ds, k).mul_(ctx.scaling)
        dk = torch.bmm(ds.transpose(1, 2), q).mul_(ctx.scaling)
        grads = (_from_rows(x.view(ctx.shape), ctx.packing) for x in (dq, dk, dv))
        return (*grads, None, None, None, None)


def _no_mask(*positional: Any, **options: Any) -> None:
    """What a packed batch needs of transformers' masks: none, the packing says it."""


AttentionInterface.register(PACKED, attend)
AttentionMaskInterface.register(PACKED, _no_mask)
