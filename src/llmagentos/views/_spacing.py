"""The space belongs to the place and not to the word: words that have moved are spelled anew.

In byte-level BPE and SentencePiece the space in front of a word is in its first token, and a line end in
front of it is a token of its unit. So a first word that moves to the middle of a text would be glued to the
word before it, and one from behind a line end would bring it along. The same word is spelled for its new
place, as the tokenizer would.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from llmagentos.tokens import SPACE, UNSPACED, character_classes
from llmagentos.views._names import SpellingTable
from llmagentos.views._random import Ints, mix
from llmagentos.views._spelling import Spelling
from llmagentos.views._traits import BLANK, GOES_ON, JOIN, SPACED, WORD
from llmagentos.views._units import NEW_PLACE, UnitBatch, UnitPool, hash_spans

# What a place wants, beside the ways in which a token can be joined.
_BETWEEN: Final = 64  # a space, if the word's script has spaces
_FIRST: Final = 65  # what the tokenizer puts in front of a text
_AS_THERE: Final = 66  # the white space of the unit whose place it is


class Spacing:
    """Spells words for the places that they have.

    Args:
        spelling: of the tokenizer that made the tokens.
    """

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self._table = SpellingTable()

    def apply(self, units: UnitBatch, max_unit_tokens: int) -> UnitBatch:
        """Spell those words anew that are joined otherwise than the place wants it.

        Args:
            units: N texts.
            max_unit_tokens: a spelling with more tokens is not used.

        Returns:
            N texts with as many units.
        """
        pool = units.pool
        moved, wanted = _wanted(units) if self._spelling.marker else _wanted_without_spaces(units)
        spans, places = units.ids[moved], np.maximum(units.places[moved], 0)
        joined = _joins(pool, spans)
        first = SPACED if self._spelling.begins_with_space else 0
        settled = np.where(wanted == _BETWEEN, SPACED, np.where(wanted == _FIRST, first, wanted))
        other = np.flatnonzero(joined != settled)
        if not other.size:
            return units
        moved, spans, places, wanted = moved[other], spans[other], places[other], wanted[other]
        starts, lengths = pool.starts[spans], pool.lengths[spans]
        there = np.where(
            wanted == _AS_THERE, hash_spans(pool.tokens, pool.starts[places], pool.lengths[places]), 0
        )
        names = mix(hash_spans(pool.tokens, starts, lengths) + wanted.astype(np.uint64) + mix(there))

        def spell(missing: Ints) -> list[list[int]]:
            def tokens(span: int) -> list[int]:
                start = pool.starts[span]
                ids: list[int] = pool.tokens[start : start + pool.lengths[span]].tolist()
                return ids

            triples = zip(*(array[missing].tolist() for array in (spans, places, wanted)), strict=True)
            return [self._respelled(tokens(span), tokens(place), want) for span, place, want in triples]

        tokens, lengths = self._table.spellings(names, spell)
        return units.changed(moved, tokens, lengths, max_unit_tokens)

    def _respelled(self, tokens: list[int], place: list[int], want: int) -> list[int]:
        """The same word joined otherwise; nothing where it cannot be spelled so, or stays as it is."""
        spelling = self._spelling
        space, word = self._parted(tokens)
        if not word:
            return []
        if want == _BETWEEN:
            wanted = " " if character_classes(word[0])[0] not in (UNSPACED, SPACE) else ""
        elif want == _FIRST:
            wanted = " " if spelling.begins_with_space else ""
        elif want == _AS_THERE:
            wanted, there = self._parted(place)
            if not there:
                return []
        else:
            wanted = {0: "", SPACED: " ", GOES_ON: spelling.continuation}[want]
        if wanted == space:
            return []
        if wanted.startswith(" ") and spelling.marker:
            return spelling.write(spelling.marker, wanted[1:] + word) or []
        if wanted and wanted == spelling.continuation:
            return spelling.write(wanted, word) or []
        return spelling.write("", wanted + word) or []

    def _parted(self, tokens: list[int]) -> tuple[str, str]:
        """The white space of a unit (or the sign that it goes on), and its word."""
        read = self._spelling.read(tokens)
        if read is None:
            return "", ""
        marker, text = read
        word = text.lstrip()
        space = text[: len(text) - len(word)]
        if marker and marker == self._spelling.continuation:
            return marker, word
        return (" " if marker else "") + space, word


def _wanted(units: UnitBatch) -> tuple[Ints, Ints]:
    """The positions of words that may have come elsewhere, and how each is to be joined there."""
    pool, ids = units.pool, units.ids
    wants = np.full(ids.size, -1, dtype=np.int64)
    origins = pool.origins(ids)
    elsewhere = np.flatnonzero(units.places != origins)
    joins = _joins(pool, np.maximum(units.places[elsewhere], 0))
    wants[elsewhere] = np.where(joins & BLANK != 0, _AS_THERE, joins)
    wants[units.places == NEW_PLACE] = _BETWEEN
    meets = np.flatnonzero(origins[1:] != origins[:-1] + 1) + 1
    words = pool.last_traits(ids[meets - 1]) & pool.last_traits(ids[meets]) & WORD != 0
    bare = np.where(wants[meets] < 0, _joins(pool, ids[meets]), wants[meets]) == 0
    # In "it's" the second word has none in the text either.
    goes_on = pool.last_traits(np.maximum(units.places[meets] - 1, 0)) & WORD != 0
    wants[meets[words & bare & ~goes_on]] = _BETWEEN
    firsts = units.offsets[:-1][np.diff(units.offsets) > 0]
    # A line end at the beginning of a text is its own.
    own = (units.places[firsts] == origins[firsts]) & (_joins(pool, ids[firsts]) & BLANK != 0)
    wants[firsts[~own]] = _FIRST
    moved = np.flatnonzero(wants >= 0)
    return moved, wants[moved]


def _wanted_without_spaces(units: UnitBatch) -> tuple[Ints, Ints]:
    """The same in tokens that know no spaces, where a word goes on or does not.

    A word that was replaced or misspelt in its place is joined as before, so that only new spans need not be
    told from words that have moved.
    """
    moved = np.flatnonzero((units.places != units.ids) & (units.places != NEW_PLACE))
    return moved, _joins(units.pool, units.places[moved])


def _joins(pool: UnitPool, spans: Ints) -> NDArray[np.int64]:
    """How each span is joined to what stands before it: 0, SPACED, GOES_ON or BLANK."""
    joins = (pool.first_traits(spans) & (JOIN | BLANK | WORD)).astype(np.int64)
    # A lone space in front of a line end is a part of it.
    lone = np.flatnonzero((joins == SPACED) & (pool.lengths[spans] > 1))
    second = pool.traits[pool.tokens[pool.starts[spans[lone]] + 1]]
    joins[lone[second & BLANK != 0]] = BLANK
    return joins & (JOIN | BLANK)
