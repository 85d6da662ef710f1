"""A shuffle that is computed: where it puts any place is known by arithmetic, and nothing is stored."""

import numpy as np
from jaxtyping import Int64

from llmagentos.views._random import text_keys

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
