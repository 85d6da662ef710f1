"""The space belongs to the place and not to the word: words that have moved are spelled anew.

In byte-level BPE and SentencePiece the space in front of a word is in its first token, so a first word that
moves to the middle of a text would be glued to the word before it, and one that moves to the front would
bring its space along. The same word is spelled for its new place, as the tokenizer would.
"""

from typing import Final

import numpy as np

from llmagentos.tokens import SPACE, UNSPACED, character_classes
from llmagentos.views._names import SpellingTable
from llmagentos.views._random import mix
from llmagentos.views._spelling import Spelling
from llmagentos.views._traits import GOES_ON, JOIN, SPACED, WORD
from llmagentos.views._units import NEW_PLACE, UnitBatch, hash_spans, ragged_index

# Some tens of bytes each.
_TABLE_ENTRIES: Final = 1 << 18
_NEW: Final = JOIN + 1


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
        pool, marked = units.pool, bool(self._spelling.marker)
        new = units.places == NEW_PLACE
        if marked:  # two words that have come together want a space between
            meets = np.flatnonzero(units.ids[1:] != units.ids[:-1] + 1) + 1
            meets = meets[
                (pool.last_traits(units.ids[meets - 1]) & pool.first_traits(units.ids[meets]) & WORD != 0)
                & (pool.first_traits(units.ids[meets]) & JOIN == 0)
                & ~np.isin(meets, units.offsets)
            ]
            new[meets] = True
        moved = np.flatnonzero((units.places != units.ids) | new)
        spans, places, new = units.ids[moved], units.places[moved], new[moved]
        joined = pool.first_traits(spans) & JOIN
        wanted = np.where(new, _NEW, pool.first_traits(np.maximum(places, 0)) & JOIN)
        # In tokens without spaces a new place wants nothing, and where it has its space neither.
        other = np.flatnonzero(np.where(new, marked & (joined != SPACED), joined != wanted))
        if not other.size:
            return units
        moved, spans, wanted = moved[other], spans[other], wanted[other]
        starts, lengths = pool.starts[spans], pool.lengths[spans]
        names = mix(hash_spans(pool.tokens, starts, lengths) + wanted.astype(np.uint64))
        missing = self._table.missing(names)
        if len(self._table) + missing.size > _TABLE_ENTRIES:
            self._table = SpellingTable()
            missing = self._table.missing(names)
        if missing.size:
            triples = zip(*(array[missing].tolist() for array in (starts, lengths, wanted)), strict=True)
            spellings = [
                self._respelled(pool.tokens[start : start + length].tolist(), join)
                for start, length, join in triples
            ]
            self._table.add(names[missing], spellings)
        tokens, lengths = self._table.get(names)
        starts = np.cumsum(lengths) - lengths
        used = np.flatnonzero((lengths > 0) & (lengths <= max_unit_tokens))
        return units.changed(moved[used], tokens[ragged_index(starts[used], lengths[used])], lengths[used])

    def _respelled(self, tokens: list[int], join: int) -> list[int]:
        """The same word joined otherwise; nothing where it cannot be spelled so, or stays as it is."""
        spelling = self._spelling
        read = spelling.read(tokens)
        if read is None:
            return []
        marker, word = read
        if join == _NEW:
            spaced = bool(word) and character_classes(word[0])[0] not in (UNSPACED, SPACE)
            join = SPACED if spaced else 0
        wanted = {0: "", SPACED: spelling.marker, GOES_ON: spelling.continuation}[join]
        return [] if wanted == marker else spelling.write(wanted, word) or []
