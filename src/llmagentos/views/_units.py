"""A batch of texts as a ragged array of units (words).

Operations rearrange `ids`, small integers that point into a pool of token spans; tokens are moved
once, at the end, by one gather. A new word (a replacement, a typing error) is a new span in the
pool that remembers which unit of the text it stands for, so a view can always be explained.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmagentos.tokens import PROTECTED, SENTENCE_START, UNIT_START, TokenBatch
from llmagentos.views._random import Ints, UInts, mix

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPool:
    """The token spans that units point to: the texts' own in order, then new ones.

    Attributes:
        tokens: int32 (T,).
        flags: uint8 (T,), as in `TokenBatch` but for SENTENCE_START, which depends on a unit's place.
        starts: int64 (P,), first token of each span.
        lengths: int64 (P,), number of tokens, >= 1.
        protected: bool (P,), never deleted, replaced, repeated or noised.
        sentences: int64 (P,), number of the sentence, never shared by two texts.
        stands_for: int64 (K,), for each of the last K spans, the new ones, the unit of a text that it
            stands for.
    """

    tokens: NDArray[np.int32]
    flags: NDArray[np.uint8]
    starts: Ints
    lengths: Ints
    protected: NDArray[np.bool_]
    sentences: Ints
    stands_for: Ints

    def origin(self, span: int) -> int:
        """The unit of a text that a span is or stands for."""
        num_own = self.starts.size - self.stands_for.size
        return span if span < num_own else int(self.stands_for[span - num_own])

    def extended(self, tokens: NDArray[np.int32], lengths: Ints, stands_for: Ints) -> "UnitPool":
        """Add spans, each standing for an existing one whose sentence and protection it takes.

        Args:
            tokens: int32 (L,), the new spans' tokens one after another.
            lengths: int64 (K,), >= 1, sums to L.
            stands_for: int64 (K,), span ids.

        Returns:
            The pool with K more spans; the first new id is the old number of spans.
        """
        num_own = self.starts.size - self.stands_for.size
        own = stands_for.copy()
        own[stands_for >= num_own] = self.stands_for[stands_for[stands_for >= num_own] - num_own]
        first = np.cumsum(lengths) - lengths
        flags = np.repeat(self.flags[self.starts[stands_for]] & ~np.uint8(UNIT_START), lengths)
        flags[first] |= np.uint8(UNIT_START)
        return UnitPool(
            tokens=np.concatenate([self.tokens, tokens]),
            flags=np.concatenate([self.flags, flags]),
            starts=np.concatenate([self.starts, first + self.tokens.size]),
            lengths=np.concatenate([self.lengths, lengths]),
            protected=np.concatenate([self.protected, self.protected[stands_for]]),
            sentences=np.concatenate([self.sentences, self.sentences[stands_for]]),
            stands_for=np.concatenate([self.stands_for, own]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitBatch:
    """N texts as rows of unit ids.

    Attributes:
        pool: what the ids mean.
        ids: int64 (U,), span ids.
        offsets: int64 (N + 1,), where each text begins in `ids`.
    """

    pool: UnitPool
    ids: Ints
    offsets: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def from_tokens(cls, batch: TokenBatch, max_unit_tokens: int | None = None) -> "UnitBatch":
        """Read the units of a token batch.

        Args:
            batch: N texts.
            max_unit_tokens: >= 1; a longer unit (a huge URL) is cut, since no view could hold it.

        Returns:
            N rows; ids are 0, 1, 2, ... in the order of the text.
        """
        token_flags = batch.flags & ~np.uint8(SENTENCE_START)
        starts = np.flatnonzero(token_flags & UNIT_START)
        offsets = np.searchsorted(starts, batch.offsets).astype(np.int64)
        lengths = np.diff(starts, append=batch.tokens.size)
        if max_unit_tokens is not None:
            np.minimum(lengths, max_unit_tokens, out=lengths)
        flags = batch.flags[starts]
        pool = UnitPool(
            tokens=batch.tokens,
            flags=token_flags,
            starts=starts,
            lengths=lengths,
            protected=(flags & PROTECTED) != 0,
            sentences=np.cumsum((flags & SENTENCE_START) != 0),
            stands_for=np.empty(0, dtype=np.int64),
        )
        return cls(pool=pool, ids=np.arange(starts.size), offsets=offsets)

    def to_tokens(self) -> TokenBatch:
        """Gather the tokens: one copy for the whole batch.

        Returns:
            N texts; a sentence starts where the sentence number changes and at the start of a text.
        """
        lengths = self.pool.lengths[self.ids]
        ends = np.cumsum(lengths)
        starts = ends - lengths
        total = int(ends[-1]) if ends.size else 0
        index = np.repeat(self.pool.starts[self.ids] - starts, lengths)
        index += np.arange(total)
        flags = self.pool.flags[index]
        flags[starts[self.sentence_starts()]] |= np.uint8(SENTENCE_START)
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), ends])[self.offsets]
        return TokenBatch(tokens=self.pool.tokens[index], offsets=offsets, flags=flags)

    def sentence_starts(self) -> Ints:
        """Where the sentence number changes, which it also does between two texts.

        Returns:
            int64 (number of sentences,), positions in `ids`.
        """
        sentences = self.pool.sentences[self.ids]
        new = np.ones(sentences.size, dtype=np.bool_)
        np.not_equal(sentences[1:], sentences[:-1], out=new[1:])
        return np.flatnonzero(new)

    def select(self, keep: NDArray[np.bool_]) -> "UnitBatch":
        """Keep some units, in order.

        Args:
            keep: bool (U,).

        Returns:
            N rows.
        """
        kept = np.flatnonzero(keep)
        offsets = np.searchsorted(kept, self.offsets).astype(np.int64)
        return UnitBatch(pool=self.pool, ids=self.ids[kept], offsets=offsets)

    def spans(self, starts: Ints, sizes: Ints) -> "UnitBatch":
        """Take one contiguous run of units from each row.

        Args:
            starts: int64 (N,), positions in `ids`.
            sizes: int64 (N,), >= 0.

        Returns:
            N rows.
        """
        ids = self.ids[ragged_index(starts, sizes)]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        return UnitBatch(pool=self.pool, ids=ids, offsets=offsets)


def ragged_index(starts: Ints, sizes: Ints) -> Ints:
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
    index = np.repeat(starts - (ends - sizes), sizes)
    index += np.arange(index.size)
    return index


def hash_spans(tokens: NDArray[np.int32], starts: Ints, lengths: Ints) -> UInts:
    """A 64-bit name for each span of tokens; equal tokens, equal name.

    Args:
        tokens: int32 (T,).
        starts: int64 (K,).
        lengths: int64 (K,), >= 1.

    Returns:
        uint64 (K,); two of a million different words share a name with probability below 1e-7.
    """
    if not starts.size:
        return np.empty(0, dtype=np.uint64)
    first = np.cumsum(lengths) - lengths
    values = tokens[ragged_index(starts, lengths)].astype(np.uint64)
    place = np.arange(values.size) - np.repeat(first, lengths)
    values += (place.astype(np.uint64) + np.uint64(1)) * _GAMMA
    return mix(np.add.reduceat(mix(values), first))
