"""The order of the texts: a computed permutation, so that any step can be reached by arithmetic.

Epoch e walks all texts in the order of a Feistel network keyed by (seed, e). Nothing is stored: the
state of the data is the number of the step (design 2.2).
"""

import numpy as np
from jaxtyping import Int64

from llmagentos.views import permuted


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
