"""Plain strings in, plain strings out: views without a tokenizer.

Every character is a token and its code point the id, so words are spans of characters, all operations work
as they do on tokens, and with every operation off a text comes out as it went in, white space and all. A
view is put together from the longest runs of its text that it left alone: about 2 us for 100 words.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from llmagentos.tokens import UNSPACED, WordBatch, character_classes
from llmagentos.tokens import WORD as WORD_CLASS
from llmagentos.views._random import Ints
from llmagentos.views._traits import WORD
from llmagentos.views._units import NEW_PLACE, UnitBatch, UnitPool

_UNSPACED: Final = 8
"""Trait of a character: of a script written without spaces."""


class CharacterSpelling:
    """Reads and writes words whose tokens are their characters."""

    marker = " "
    markers: tuple[str, ...] = ("",)

    def markers_of(self, word: str) -> tuple[str, ...]:
        """No marker at all."""
        return self.markers

    def read(self, ids: Sequence[int]) -> tuple[str, str] | None:
        """No marker, and the word."""
        return "", "".join(map(chr, ids))

    def write(self, marker: str, word: str) -> list[int] | None:
        """The code points of a word, behind a space where the marker is one."""
        return [ord(char) for char in marker + word] if word else None

    def show(self, ids: Sequence[int]) -> str:
        """The word."""
        return "".join(map(chr, ids))


@cache
def character_traits() -> NDArray[np.uint8]:
    """Whether a code point is of a word, as `token_traits` says of tokens, uint8 (1,114,112,)."""
    classes = character_classes("".join(map(chr, range(0x110000))))
    traits = np.where((classes == WORD_CLASS) | (classes == UNSPACED), WORD, 0).astype(np.uint8)
    traits[classes == UNSPACED] |= _UNSPACED
    return traits


def units_of(words: WordBatch) -> UnitBatch:
    """The words of N texts as units whose tokens are characters, N rows."""
    pool = UnitPool(
        tokens=words.characters,
        starts=words.starts,
        lengths=words.ends - words.starts,
        protected=words.protected,
        sentences=words.sentences,
        stands_for=np.empty(0, dtype=np.int64),
        traits=character_traits(),
    )
    ids = np.arange(words.starts.size)
    return UnitBatch(pool=pool, ids=ids, places=ids, offsets=words.offsets)


def rendered(words: WordBatch, view: UnitBatch) -> list[str]:
    """The views of some texts as strings.

    Args:
        words: N texts.
        view: N rows.

    Returns:
        N strings. White space between words is that of the text, also before the first word and behind
        the last one where those places are in the view; a view of a text without words is the text.
    """
    new = view.pool.tokens[words.characters.size :]
    source = words.source + new.tobytes().decode("utf-32-le", "surrogatepass") + " "
    runs, leads, pieces = _runs(words, view, space=len(source) - 1)
    parts = [
        source[lead:lead_end] + source[start:end] if lead < lead_end else source[start:end]
        for lead, lead_end, start, end in zip(*leads, *pieces, strict=True)
    ]
    edges = np.searchsorted(runs, view.offsets).tolist()
    tails = _tails(words, view, source)
    return [
        "".join(parts[begin:end]) + tail
        for begin, end, tail in zip(edges[:-1], edges[1:], tails, strict=True)
    ]


_Spans = tuple[list[int], list[int]]


def _runs(words: WordBatch, view: UnitBatch, space: int) -> tuple[Ints, _Spans, _Spans]:
    """The longest runs of neighbours of a text that a view left in their places.

    Returns:
        int64 (R,), the position of each run's first unit; where the white space in front of it begins and
        ends in the source; where it begins and ends itself.
    """
    pool, ids, places = view.pool, view.ids, view.places
    full = np.diff(view.offsets) > 0
    firsts, text_firsts = view.offsets[:-1][full], words.offsets[:-1][full]
    own = places == ids
    begins = np.ones(ids.size, dtype=np.bool_)
    if ids.size:
        begins[1:] = ~(own[1:] & own[:-1]) | (ids[1:] != ids[:-1] + 1)
    begins[firsts] = True
    runs = np.flatnonzero(begins)
    last = ids[np.append(runs[1:], ids.size)[: runs.size] - 1]
    starts, ends = pool.starts[ids[runs]], pool.starts[last] + pool.lengths[last]

    # A place begins behind the word before it, or where its text begins: at the beginning of a view that
    # space is there only if its text begins so too.
    behind = np.concatenate([np.zeros(1, dtype=np.int64), words.ends])[: words.starts.size]
    behind[text_firsts] = words.text_starts[:-1][full]
    place = np.maximum(places[runs], 0)
    first_runs = np.searchsorted(runs, firsts)
    has_space = places[runs] != NEW_PLACE
    has_space[first_runs] = places[firsts] == text_firsts
    leads = behind[place]
    lead_ends = np.where(has_space, words.starts[place], leads)
    # Two words that have come together have a space between, where their script has spaces.
    meets = (leads == lead_ends) & (pool.first_traits(ids[runs]) == WORD)
    meets[1:] &= (pool.last_traits(last[:-1]) == WORD) | (places[runs[1:]] == NEW_PLACE)
    meets[first_runs] = False
    # A word in its own place stands in the source with its space, so that both are one piece.
    joined = own[runs] & has_space
    starts = np.where(joined, leads, starts)
    leads = np.where(meets, space, np.where(joined, lead_ends, leads))
    lead_ends = np.where(meets, space + 1, lead_ends)
    return runs, (leads.tolist(), lead_ends.tolist()), (starts.tolist(), ends.tolist())


def _tails(words: WordBatch, view: UnitBatch, source: str) -> list[str]:
    """The white space behind the last word of each text, where its place is still in the view."""
    has_words = np.diff(words.offsets) > 0
    begins = words.text_starts[:-1].copy()
    lasts = words.offsets[1:][has_words] - 1
    begins[has_words] = words.ends[lasts]
    there = np.ones(len(view), dtype=np.bool_)
    there[has_words] = np.isin(lasts, view.places)
    ends = np.where(there, words.text_starts[1:] - 1, begins)
    return [source[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
