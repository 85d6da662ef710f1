"""Random numbers that are a pure function of where they are used.

A view must not depend on the batch it was made in, on the order of the texts or on the number of
workers. So nothing is drawn from a stream: every random number is the splitmix64 hash of its own
address (seed, epoch, text, view, operation slot, unit). Two integers restore any state exactly.

Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators" (splitmix64,
with the constants of Vigna's public-domain C code).
"""

import numpy as np
from numpy.typing import NDArray

UInts = NDArray[np.uint64]
Ints = NDArray[np.int64]

GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""splitmix64's step: the fraction of the golden ratio in 64 bits."""
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_MASK = (1 << 64) - 1


def _mix_in_place(values: UInts) -> UInts:
    """splitmix64's finaliser, written over its argument: the temporaries would cost half the time."""
    shifted = values >> _S30
    values ^= shifted
    values *= _MIX_1
    np.right_shift(values, _S27, out=shifted)
    values ^= shifted
    values *= _MIX_2
    np.right_shift(values, _S31, out=shifted)
    values ^= shifted
    return values


def mix(values: UInts) -> UInts:
    """Hash each 64-bit integer to another, one to one, with every bit depending on every bit.

    Args:
        values: uint64, any shape.

    Returns:
        uint64 of the same shape.

    Example:
        >>> hex(int(mix(np.array([0x9E3779B97F4A7C15], dtype=np.uint64))[0]))  # splitmix64(0)
        '0xe220a8397b1dcdaf'
    """
    return _mix_in_place(values.copy())


def text_keys(seed: int, epoch: int, indices: Ints) -> UInts:
    """Give every text of an epoch its own key.

    Args:
        seed: any integer.
        epoch: any integer.
        indices: int64 (N,), the texts' places in the store.

    Returns:
        uint64 (N,).
    """
    head = mix(np.array([int(seed) & _MASK], dtype=np.uint64)) + np.uint64(int(epoch) & _MASK)
    return mix(mix(head) + (indices.astype(np.uint64) + np.uint64(1)) * GAMMA)


def subkeys(keys: UInts, number: int) -> UInts:
    """Derive the `number`-th independent key from each key (a view of a text, an operation of a view).

    Args:
        keys: uint64 (N,).
        number: >= 0.

    Returns:
        uint64 (N,).
    """
    return mix((keys ^ _MIX_2) + np.uint64((number + 1) * int(GAMMA) & _MASK))


def ragged_random(keys: UInts, offsets: Ints) -> UInts:
    """One random 64-bit integer for each element of a ragged array.

    Element i of row n is output i of the splitmix64 generator whose state starts at keys[n].

    Args:
        keys: uint64 (N,), one a row.
        offsets: int64 (N + 1,), where each row begins; offsets[0] is 0.

    Returns:
        uint64 (offsets[-1],), uniform over all 64-bit integers.
    """
    starts = keys - (offsets[:-1].astype(np.uint64) - np.uint64(1)) * GAMMA
    state = np.arange(offsets[-1], dtype=np.uint64)
    state *= GAMMA
    state += np.repeat(starts, np.diff(offsets))
    return _mix_in_place(state)


def chance(random: UInts, rate: float) -> NDArray[np.bool_]:
    """True with probability `rate`, exactly to 2^-64, without a conversion to floating point.

    Args:
        random: uint64, any shape, uniform.
        rate: 0 to 1.

    Returns:
        bool of the same shape.

    Example:
        >>> chance(np.array([0, 2**63, 2**64 - 1], dtype=np.uint64), 0.5).tolist()
        [True, False, False]
    """
    threshold = int(rate * 2.0**64)
    if threshold <= 0:
        return np.zeros(random.shape, dtype=np.bool_)
    return random <= np.uint64(min(threshold - 1, _MASK))


def uniform(random: UInts) -> NDArray[np.float64]:
    """Uniform numbers strictly between 0 and 1.

    Args:
        random: uint64, any shape, uniform.

    Returns:
        float64 of the same shape, in (0, 1).
    """
    return ((random >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def integers(random: UInts, bound: Ints) -> Ints:
    """Uniform integers from 0 to bound - 1, by the multiply-and-shift of 32 random bits.

    Args:
        random: uint64, any shape, uniform.
        bound: int64 of the same shape, 1 to 2^31 - 1.

    Returns:
        int64 of the same shape; the bias is below bound / 2^32.
    """
    return (((random >> _S32) * bound.astype(np.uint64)) >> _S32).astype(np.int64)
