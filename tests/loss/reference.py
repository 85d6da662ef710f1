"""NT-Xent written out: term by term, and with the whole matrix and PyTorch's own gradient."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Vectors = npt.NDArray[np.float64]


def formula(
    h_a: Vectors,
    h_b: Vectors,
    tau: float,
    left_out: npt.NDArray[np.bool_] | None = None,
    *,
    alpha: float = 0.0,
    queue: Vectors | None = None,
) -> float:
    """The loss of the seed, term by term; `left_out` (N, N) marks texts that are no negatives."""
    num_texts = len(h_a)
    h = [view for pair in zip(h_a, h_b, strict=True) for view in pair]  # h[2k] and h[2k + 1] are text k

    def cosine(a: Vectors, b: Vectors) -> float:
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))

    def s(i: int, j: int) -> float:
        return cosine(h[i], h[j])

    def p(i: int, j: int) -> float:
        denominator = math.exp(s(i, j) / tau)
        for k in range(2 * num_texts):
            if k in (i, j) or (left_out is not None and left_out[i // 2, k // 2]):
                continue
            denominator += math.exp(alpha * s(i, k)) * math.exp(s(i, k) / tau)
        for negative in [] if queue is None else queue:
            denominator += math.exp(alpha * cosine(h[i], negative)) * math.exp(cosine(h[i], negative) / tau)
        return math.exp(s(i, j) / tau) / denominator

    total = 0.0
    for k in range(num_texts):
        total += math.log(p(2 * k, 2 * k + 1)) + math.log(p(2 * k + 1, 2 * k))
    return -total / (2 * num_texts)


def plain(
    h_a: Tensor,
    h_b: Tensor,
    tau: float,
    *,
    alpha: float = 0.0,
    left_out: Tensor | None = None,
    queue: Tensor | None = None,
    left_out_of_queue: Tensor | None = None,
) -> Tensor:
    """The same with the whole matrix and PyTorch's gradient; `left_out_of_queue` is (N, K)."""
    num_texts = len(h_a)
    z = functional.normalize(torch.cat((h_a, h_b)), dim=1)
    itself = torch.eye(2 * num_texts, dtype=torch.bool)
    positive = itself.roll(num_texts, 0)
    cosines = z @ z.T
    logits = cosines / tau + alpha * cosines.detach() * ~positive
    hidden = itself if left_out is None else itself | (left_out.tile(2, 2) & ~positive)
    logits = logits.masked_fill(hidden, -torch.inf)
    if queue is not None:
        cosines = z @ functional.normalize(queue, dim=1).T
        more = cosines / tau + alpha * cosines.detach()
        if left_out_of_queue is not None:
            more = more.masked_fill(left_out_of_queue.tile(2, 1), -torch.inf)
        logits = torch.cat((logits, more), 1)
    return functional.cross_entropy(logits, torch.arange(2 * num_texts).roll(num_texts))


def with_gradient(loss: Callable[..., Tensor], h_a: Tensor, h_b: Tensor, *args: Any, **more: Any) -> Vectors:
    """[value, gradient of h_a, gradient of h_b] as one row of numbers."""
    h_a, h_b = (h.detach().requires_grad_() for h in (h_a, h_b))
    value = loss(h_a, h_b, *args, **more)
    gradient = torch.cat(torch.autograd.grad(value, (h_a, h_b)))
    return torch.cat((value.detach()[None], gradient.flatten())).double().numpy()


def views(num_texts: int, dimension: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    h_a = torch.randn(num_texts, dimension, generator=generator, dtype=torch.float64)
    h_b = h_a + 0.7 * torch.randn(num_texts, dimension, generator=generator, dtype=torch.float64)
    return h_a, h_b
