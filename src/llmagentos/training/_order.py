"""The order of the texts: a computed permutation, so that any step can be reached by arithmetic.

Epoch e walks all texts in the order of a Feistel network keyed by (seed, e). Nothing is stored: the
state of the data is the number of the step (design 2.2).
"""

import numpy as np
from jaxtyping import Int64

from llmagentos.views import text_keys

_ROUNDS = 4


def permuted(
    positions: Int64[np.ndarray, " B"], size: int, *, seed: int, epoch: int
) -> Int64[np.ndarray, " B"]:
    """Where the shuffle of one epoch puts each position.

    A balanced Feistel network over the next power of four, walked until the value falls below
    `size` (cycle walking), is a bijection of [0, size).

    Args:
        positions: int64 (B,), in [0, size).
        size: number of texts, 1 to 2^62.
        seed: any integer.
        epoch: any integer; each has its own order.

    Returns:
        int64 (B,), in [0, size), all different where the positions are.

    Source: Luby and Rackoff 1988 (four rounds); Black and Rogaway 2002, cycle walking.

    Example:
        >>> sorted(permuted(np.arange(10), 10, seed=0, epoch=3).tolist()) == list(range(10))
        True
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    values = positions.astype(np.int64)
    outside = np.ones(len(values), bool)
    while outside.any():
        left, right = values[outside] >> half, values[outside] & mask
        for turn in range(_ROUNDS):
            keys = text_keys(seed, epoch * _ROUNDS + turn, right)
            left, right = right, left ^ (keys & np.uint64(mask)).astype(np.int64)
        values[outside] = left << half | right
        outside = values >= size
    return values


def batch_at(step: int, *, batch_size: int, size: int, seed: int) -> tuple[int, Int64[np.ndarray, " B"]]:
    """The texts of one step.

    Args:
        step: from 0.
        batch_size: at most `size`; the last texts of an epoch that fill no batch are left to the
            next epoch's shuffle.
        size: number of texts.
        seed: any integer.

    Returns:
        The epoch, and int64 (batch_size,) row numbers, all different.
    """
    epoch, place = divmod(step, size // batch_size)
    positions = np.arange(place * batch_size, (place + 1) * batch_size)
    return epoch, permuted(positions, size, seed=seed, epoch=epoch)
