"""A batch of texts as a ragged array of units (words).

Operations rearrange `ids`, small integers that point into a pool of token spans; tokens are moved
once, at the end, by one gather. A new word (a replacement, a typing error) is a new span in the
pool that remembers which unit of the text it stands for, so a view can always be explained.

Where all units are looked up it is with `take`, in two thirds of the time of indexing.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from llmagentos.tokens import PROTECTED, SENTENCE_START, UNIT_START, TokenBatch, ragged_index
from llmagentos.views._random import GAMMA, Ints, UInts, mix
from llmagentos.views._traits import WORD

NEW_PLACE = -1
"""Among `UnitBatch.places`: a place that the text did not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPool:
    """The token spans that units point to: the texts' own in order, then new ones.

    Attributes:
        tokens: int32 (T,).
        flags: uint8 (T,), UNIT_START and PROTECTED of each token; protected units are never deleted,
            replaced, repeated, noised or masked.
        starts: int64 (P,), first token of each span.
        lengths: int64 (P,), number of tokens, >= 1.
        sentences: int64 (P,), number of the sentence, never shared by two texts.
        stands_for: int64 (K,), for each of the last K spans, the new ones, the unit of a text that it
            stands for.
        traits: uint8 (V,), what each token is, by its id (`_traits.py`).
    """

    tokens: NDArray[np.int32]
    flags: NDArray[np.uint8]
    starts: Ints
    lengths: Ints
    sentences: Ints
    stands_for: Ints
    traits: NDArray[np.uint8]

    @property
    def num_own(self) -> int:
        """How many spans are units of the texts."""
        return self.starts.size - self.stands_for.size

    def origins(self, spans: Ints) -> Ints:
        """The units of the texts that spans are or stand for."""
        own = spans.copy()
        own[spans >= self.num_own] = self.stands_for[spans[spans >= self.num_own] - self.num_own]
        return own

    def protected(self, spans: Ints) -> NDArray[np.bool_]:
        """Which spans are protected, bool of as many."""
        protected: NDArray[np.bool_] = self.flags.take(self.starts.take(spans)) & PROTECTED != 0
        return protected

    def first_traits(self, spans: Ints) -> NDArray[np.uint8]:
        """Traits of the first token of each span: how it is joined to what stands before it."""
        traits: NDArray[np.uint8] = self.traits.take(self.tokens.take(self.starts.take(spans)))
        return traits

    def last_traits(self, spans: Ints) -> NDArray[np.uint8]:
        """Traits of the last token of each span: what it is (the first may be a lone space)."""
        last = self.tokens.take(self.starts.take(spans) + self.lengths.take(spans) - 1)
        traits: NDArray[np.uint8] = self.traits.take(last)
        return traits

    def extended(self, tokens: NDArray[np.int32], lengths: Ints, stands_for: Ints) -> "UnitPool":
        """Add spans, each standing for an existing one whose sentence and protection it takes.

        Args:
            tokens: int32 (L,), the new spans' tokens one after another.
            lengths: int64 (K,), >= 1, sums to L.
            stands_for: int64 (K,), span ids.

        Returns:
            The pool with K more spans; the first new id is the old number of spans.
        """
        first = np.cumsum(lengths) - lengths
        flags = np.repeat(self.protected(stands_for).view(np.uint8) * np.uint8(PROTECTED), lengths)
        flags[first] |= np.uint8(UNIT_START)
        return UnitPool(
            tokens=np.concatenate([self.tokens, tokens]),
            flags=np.concatenate([self.flags, flags]),
            starts=np.concatenate([self.starts, first + self.tokens.size]),
            lengths=np.concatenate([self.lengths, lengths]),
            sentences=np.concatenate([self.sentences, self.sentences.take(stands_for)]),
            stands_for=np.concatenate([self.stands_for, self.origins(stands_for)]),
            traits=self.traits,
        )


@dataclass(frozen=True, kw_only=True)
class UnitBatch:
    """N texts as rows of unit ids.

    Attributes:
        pool: what the ids mean.
        ids: int64 (U,), span ids.
        places: int64 (U,), whose place in the text each of them has, or NEW_PLACE: the space in front
            belongs to the place and not to the word.
        offsets: int64 (N + 1,), where each text begins in `ids`.
    """

    pool: UnitPool
    ids: Ints
    places: Ints
    offsets: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def from_tokens(
        cls,
        batch: TokenBatch,
        max_unit_tokens: int | None = None,
        traits: NDArray[np.uint8] | None = None,
    ) -> "UnitBatch":
        """Read the units of a token batch.

        Args:
            batch: N texts.
            max_unit_tokens: >= 1; a longer unit (a huge URL) is cut, since no view could hold it.
            traits: uint8 (V,), from `token_traits`; without them all tokens are words.

        Returns:
            N rows; ids are 0, 1, 2, ... in the order of the text.
        """
        starts = np.flatnonzero((batch.flags & np.uint8(UNIT_START)).view(np.bool_))
        offsets = np.searchsorted(starts, batch.offsets).astype(np.int64)
        lengths = np.diff(starts, append=batch.tokens.size)
        if max_unit_tokens is not None:
            np.minimum(lengths, max_unit_tokens, out=lengths)
        if traits is None:
            traits = np.full(int(batch.tokens.max(initial=0)) + 1, WORD, dtype=np.uint8)
        pool = UnitPool(
            tokens=batch.tokens,
            flags=batch.flags & np.uint8(UNIT_START | PROTECTED),
            starts=starts,
            lengths=lengths,
            sentences=np.cumsum((batch.flags.take(starts) & SENTENCE_START) != 0),
            stands_for=np.empty(0, dtype=np.int64),
            traits=traits,
        )
        ids = np.arange(starts.size)
        return cls(pool=pool, ids=ids, places=ids, offsets=offsets)

    def to_tokens(self) -> TokenBatch:
        """Gather the tokens: one copy for the whole batch.

        Returns:
            N texts; a sentence starts where the sentence number changes and at the start of a text.
        """
        ends = self.token_ends
        index = np.repeat(self.pool.starts.take(self.ids) - ends[:-1], np.diff(ends))
        index += np.arange(index.size)
        flags = self.pool.flags.take(index)
        flags[ends[self.sentence_starts()]] |= np.uint8(SENTENCE_START)
        return TokenBatch(tokens=self.pool.tokens.take(index), offsets=ends[self.offsets], flags=flags)

    @cached_property
    def token_ends(self) -> Ints:
        """int64 (U + 1,): 0, and how many tokens there are up to each unit."""
        ends = np.zeros(self.ids.size + 1, dtype=np.int64)
        np.cumsum(self.pool.lengths.take(self.ids), out=ends[1:])
        return ends

    def unprotected(self, positions: Ints) -> NDArray[np.bool_]:
        """Which of the units at some positions may be changed, bool of as many."""
        return ~self.pool.protected(self.ids.take(positions))

    def sentence_starts(self) -> Ints:
        """Where the sentence number changes, which it also does between two texts.

        Returns:
            int64 (number of sentences,), positions in `ids`.
        """
        sentences = self.pool.sentences.take(self.ids)
        new = np.ones(sentences.size, dtype=np.bool_)
        np.not_equal(sentences[1:], sentences[:-1], out=new[1:])
        return np.flatnonzero(new)

    def gathered(self, positions: Ints, offsets: Ints) -> "UnitBatch":
        """The units at some positions, with the places that they have.

        Args:
            positions: int64 (U',), into `ids`.
            offsets: int64 (N' + 1,), where each new row begins.

        Returns:
            N' rows.
        """
        ids = self.ids.take(positions)
        places = ids if self.places is self.ids else self.places.take(positions)
        return UnitBatch(pool=self.pool, ids=ids, places=places, offsets=offsets)

    def select(self, keep: NDArray[np.bool_]) -> "UnitBatch":
        """Keep some units, in order.

        Args:
            keep: bool (U,).

        Returns:
            N rows.
        """
        kept = np.flatnonzero(keep)
        return self.gathered(kept, np.searchsorted(kept, self.offsets).astype(np.int64))

    def spans(self, starts: Ints, sizes: Ints) -> "UnitBatch":
        """Take one contiguous run of units from each row.

        Args:
            starts: int64 (N,), positions in `ids`.
            sizes: int64 (N,), >= 0.

        Returns:
            N rows.
        """
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        return self.gathered(ragged_index(starts, sizes), offsets)

    def rows(self, rows: Ints) -> "UnitBatch":
        """Some rows.

        Args:
            rows: int64 (R,), 0 to N - 1.

        Returns:
            R rows.
        """
        return self.spans(self.offsets[rows], np.diff(self.offsets)[rows])

    def with_rows(self, rows: Ints, others: "UnitBatch") -> "UnitBatch":
        """Put changed rows back.

        Args:
            rows: int64 (R,), all different.
            others: R rows, over this pool or one that extends it.

        Returns:
            N rows over the pool of `others`.
        """
        sizes, starts = np.diff(self.offsets), self.offsets[:-1].copy()
        sizes[rows], starts[rows] = np.diff(others.offsets), others.offsets[:-1] + self.ids.size
        both = UnitBatch(
            pool=others.pool,
            ids=np.concatenate([self.ids, others.ids]),
            places=np.concatenate([self.places, others.places]),
            offsets=self.offsets,
        )
        return both.spans(starts, sizes)

    def changed(
        self, positions: Ints, tokens: NDArray[np.int32], lengths: Ints, max_unit_tokens: int
    ) -> "UnitBatch":
        """Put new spans in the place of some units, for which they stand.

        Args:
            positions: int64 (K,), into `ids`, all different.
            tokens: int32 (L,), the new spans' tokens one after another.
            lengths: int64 (K,), sums to L; a unit whose span would have none stays.
            max_unit_tokens: a unit whose span would be longer stays, too.

        Returns:
            N rows of as many units.
        """
        fits = (lengths > 0) & (lengths <= max_unit_tokens)
        if not fits.all():
            starts = np.cumsum(lengths) - lengths
            positions, starts, lengths = positions[fits], starts[fits], lengths[fits]
            tokens = tokens[ragged_index(starts, lengths)]
        if not positions.size:
            return self
        ids = self.ids.copy()
        ids[positions] = self.pool.starts.size + np.arange(positions.size)
        pool = self.pool.extended(tokens, lengths, self.ids[positions])
        return UnitBatch(pool=pool, ids=ids, places=self.places, offsets=self.offsets)


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
    values = tokens.take(ragged_index(starts, lengths)).astype(np.uint64)
    place = np.arange(values.size) - np.repeat(first, lengths)
    values += (place.astype(np.uint64) + np.uint64(1)) * GAMMA
    return mix(np.add.reduceat(mix(values), first))
