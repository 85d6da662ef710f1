"""Plain strings in, plain strings out: views without a tokenizer.

Every character is a token and its code point the id, so words are spans of characters, all operations work
as they do on tokens, and with every operation off a text comes out as it went in, white space and all. A
view is put together from the longest runs of its text that it left alone: about 3 us for 100 words.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from llmagentos.tokens import PROTECTED, UNIT_START, UNSPACED, WordBatch, character_classes, ragged_index
from llmagentos.tokens import WORD as WORD_CLASS
from llmagentos.views._random import Ints
from llmagentos.views._traits import WORD
from llmagentos.views._units import NEW_PLACE, UnitBatch, UnitPool

_SPACE: Final = 0x20
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
    flags = np.zeros(words.characters.size, dtype=np.uint8)
    kept = np.flatnonzero(words.protected)
    flags[ragged_index(words.starts[kept], (words.ends - words.starts)[kept])] = PROTECTED
    flags[words.starts] |= np.uint8(UNIT_START)
    pool = UnitPool(
        tokens=words.characters,
        flags=flags,
        starts=words.starts,
        lengths=words.ends - words.starts,
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
    characters = np.append(view.pool.tokens, np.int32(_SPACE))
    runs, leads, pieces = _runs(words, view, space=characters.size - 1)
    # The spans of the source that make a view: white space and words by turns, then what is behind them.
    rows = np.repeat(np.arange(len(view)), np.diff(np.searchsorted(runs, view.offsets)))
    lead_places = 2 * np.arange(runs.size) + rows
    tail_places = 2 * np.searchsorted(runs, view.offsets[1:]) + np.arange(len(view))
    starts = np.empty(2 * runs.size + len(view), dtype=np.int64)
    ends = np.empty_like(starts)
    starts[lead_places], ends[lead_places] = leads
    starts[lead_places + 1], ends[lead_places + 1] = pieces
    starts[tail_places], ends[tail_places] = _tails(words, view)
    sizes = ends - starts
    text = _decoded(characters[ragged_index(starts, sizes)])
    text_ends = np.cumsum(sizes)[tail_places].tolist()
    return (
        [text[begin:end] for begin, end in zip([0, *text_ends[:-1]], text_ends, strict=True)]
        if text_ends
        else []
    )


def _decoded(characters: NDArray[np.int32]) -> str:
    """Code points as a string; with one byte each where that is enough, in a third of the time."""
    if characters.max(initial=0) < 256:
        return characters.astype(np.uint8).tobytes().decode("latin-1")
    return characters.tobytes().decode("utf-32-le", "surrogatepass")


_Spans = tuple[Ints, Ints]


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
    return runs, (leads, lead_ends), (starts, ends)


def _tails(words: WordBatch, view: UnitBatch) -> _Spans:
    """The white space behind the last word of each text, where its place is still in the view."""
    has_words = np.diff(words.offsets) > 0
    begins = words.text_starts[:-1].copy()
    lasts = words.offsets[1:][has_words] - 1
    begins[has_words] = words.ends[lasts]
    there = np.ones(len(view), dtype=np.bool_)
    there[has_words] = np.isin(lasts, view.places)
    return begins, np.where(there, words.text_starts[1:] - 1, begins)
