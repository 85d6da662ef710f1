"""Character noise: one typing error in some words.

The only operation that needs the tokenizer again, so only the words that change are tokenised, and
misspellings are remembered: after a while nearly every error is a look into a table.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from llmagentos.tokens import ragged_index
from llmagentos.views._misspelling import Misspeller
from llmagentos.views._names import SpellingTable
from llmagentos.views._operations import UNBOUNDED, Bounds, drawn
from llmagentos.views._random import Ints, UInts, mix, ragged_random
from llmagentos.views._spelling import Spelling
from llmagentos.views._traits import WORD
from llmagentos.views._units import UnitBatch, hash_spans


class Misspelling(Protocol):
    """Spells words wrong."""

    def __call__(
        self, tokens: NDArray[np.int32], starts: Ints, lengths: Ints, random: UInts
    ) -> tuple[NDArray[np.int32], Ints]:
        """Misspell the words at some spans of tokens, each as its random number says.

        Args:
            tokens: int32 (T,).
            starts: int64 (K,).
            lengths: int64 (K,), >= 1.
            random: uint64 (K,).

        Returns:
            The misspelt words' tokens one after another, int32 (L,), and their lengths, int64 (K,); 0
            where a word cannot be misspelt.
        """


def add_character_noise(
    units: UnitBatch,
    rate: float,
    keys: UInts,
    bounds: Bounds = UNBOUNDED,
    *,
    max_unit_tokens: int,
    misspelling: Misspelling,
) -> UnitBatch:
    """Misspell some units; protected ones and those that are not words stay.

    Args:
        units: N texts.
        rate: probability that a unit is drawn, 0 to 1.
        keys: uint64 (N,).
        bounds: words drawn in a text; one that cannot be misspelt counts, too.
        max_unit_tokens: a misspelling with more tokens is not used.
        misspelling: of the tokenizer, or of plain characters.

    Returns:
        N texts with as many units.
    """
    random = ragged_random(keys, units.offsets)
    pool = units.pool

    def eligible(places: Ints) -> NDArray[np.bool_]:
        free = units.unprotected(places)
        if bounds != UNBOUNDED:  # what is no word must not use them up
            free &= pool.last_traits(units.ids[places]) & WORD != 0
        return free

    places = drawn(random, units.offsets, rate, bounds, eligible)
    spans = units.ids[places]
    tokens, lengths = misspelling(pool.tokens, pool.starts[spans], pool.lengths[spans], mix(random[places]))
    return units.changed(places, tokens, lengths, max_unit_tokens)


class CharacterMisspelling:
    """Misspells words whose tokens are their characters.

    Args:
        misspeller: with the letters of the language.
    """

    def __init__(self, misspeller: Misspeller) -> None:
        self._misspeller = misspeller

    def __call__(
        self, tokens: NDArray[np.int32], starts: Ints, lengths: Ints, random: UInts
    ) -> tuple[NDArray[np.int32], Ints]:
        """See `Misspelling`."""
        words = tokens[ragged_index(starts, lengths)]
        wrong, lengths, differs = self._misspeller.misspell(words, lengths, random)
        return wrong[np.repeat(differs, lengths)], np.where(differs, lengths, 0)


class TokenMisspelling:
    """Misspells words in the tokens of a tokenizer, as it would cut them.

    Args:
        spelling: of the tokenizer that made the tokens; its vocabulary has the letters of the language.
    """

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self._misspeller = Misspeller(self._spelling.vocabulary)
        self._table = SpellingTable()

    def __call__(
        self, tokens: NDArray[np.int32], starts: Ints, lengths: Ints, random: UInts
    ) -> tuple[NDArray[np.int32], Ints]:
        """See `Misspelling`."""
        # Half the errors in a word are its first misspelling, a quarter its second one, and so on. So
        # frequent words have many, and few have to be made for rare words, which most words are: of 1,016,000
        # words drawn in a first epoch over 40,000 passages 58,000 were new; with 8 equally likely
        # misspellings a word 74,000. Making one takes half as long as a whole view.
        lowest_bit = random & (~random + np.uint64(1))
        names = mix(hash_spans(tokens, starts, lengths) + lowest_bit)

        def spell(missing: Ints) -> list[list[int]]:
            spans = zip(starts[missing].tolist(), lengths[missing].tolist(), strict=True)
            words = [tokens[start : start + length].tolist() for start, length in spans]
            return self._misspelt(words, names[missing])

        return self._table.spellings(names, spell)

    def _misspelt(self, words: list[list[int]], random: UInts) -> list[list[int]]:
        """Tokens of the misspelling of each word; none where it cannot be misspelt."""
        read = [self._spelling.read(word) or ("", "") for word in words]
        text = "".join(word for _, word in read)
        lengths = np.array([len(word) for _, word in read], dtype=np.int64)
        characters, lengths, differs = self._misspeller.misspell(
            np.frombuffer(text.encode("utf-32-le"), dtype=np.int32), lengths, random
        )
        text = characters.tobytes().decode("utf-32-le")
        ends = np.cumsum(lengths).tolist()
        changed = [text[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]
        return [
            (self._spelling.write(marker, word) if different else None) or []
            for (marker, _), word, different in zip(read, changed, differs.tolist(), strict=True)
        ]
