"""The one shape of text inside the package: a ragged batch of tokens with unit and sentence marks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int32, Int64, UInt8

UNIT_START: Final = 1
"""Flag bit: this token begins a unit (a word, in the sense of design 2.1)."""
SENTENCE_START: Final = 2
"""Flag bit: this token begins a sentence."""
PROTECTED: Final = 4
"""Flag bit: this token belongs to a unit that no operation may delete, replace or misspell."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """N texts as one flat array of tokens, without padding.

    Attributes:
        tokens: int32 (T,), token ids of all texts, one after the other.
        offsets: int64 (N + 1,), text i is `tokens[offsets[i]:offsets[i + 1]]`; offsets[0] = 0.
        flags: uint8 (T,), bits UNIT_START, SENTENCE_START, PROTECTED of each token. The first
            token of every text that has tokens starts a unit and a sentence.

    Example:
        >>> tokens, flags = np.array([5, 6, 7], np.int32), np.array([3, 1, 3], np.uint8)
        >>> batch = TokenBatch(tokens, np.array([0, 2, 3]), flags)
        >>> len(batch), batch.lengths.tolist()
        (2, [2, 1])
    """

    tokens: Int32[np.ndarray, " T"]
    offsets: Int64[np.ndarray, " N+1"]
    flags: UInt8[np.ndarray, " T"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int64[np.ndarray, " N"]:
        """int64 (N,), tokens of each text."""
        return np.diff(self.offsets)


def ragged_index(starts: Int64[np.ndarray, " R"], sizes: Int64[np.ndarray, " R"]) -> Int64[np.ndarray, " S"]:
    """Indices of several runs, one after another.

    Args:
        starts: int64 (R,).
        sizes: int64 (R,), >= 0.

    Returns:
        int64 (sum of sizes,).

    Example:
        >>> ragged_index(np.array([5, 0]), np.array([3, 2])).tolist()
        [5, 6, 7, 0, 1]
    """
    ends = np.cumsum(sizes)
    index: Int64[np.ndarray, " S"] = np.repeat(starts - (ends - sizes), sizes)
    index += np.arange(index.size)
    return index


def concatenated(batches: Sequence[TokenBatch]) -> TokenBatch:
    """One batch of all texts, in order; without any batch, one of no texts."""
    if len(batches) == 1:
        return batches[0]
    ends = np.cumsum([0, *(batch.tokens.size for batch in batches)], dtype=np.int64)
    starts = [batch.offsets[:-1] + end for batch, end in zip(batches, ends[:-1], strict=True)]
    return TokenBatch(
        tokens=np.concatenate([np.empty(0, np.int32), *(batch.tokens for batch in batches)]),
        offsets=np.concatenate([*starts, ends[-1:]]),
        flags=np.concatenate([np.empty(0, np.uint8), *(batch.flags for batch in batches)]),
    )
