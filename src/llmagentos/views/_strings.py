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
from llmagentos.views._traits import WORD
from llmagentos.views._units import NEW_PLACE, UnitBatch, UnitPool

_UNSPACED: Final = 8
"""Trait of a character: of a script written without spaces."""


class CharacterSpelling:
    """Reads and writes words whose tokens are their characters."""

    marker = " "
    markers: tuple[str, ...] = ("",)

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
        the last one where those are the text's own.
    """
    # A place begins behind the word before, or where its text begins.
    leads_of = np.concatenate([np.zeros(1, dtype=np.int64), words.ends])[: words.starts.size]
    some = np.diff(words.offsets) > 0
    leads_of[words.offsets[:-1][some]] = words.text_starts[:-1][some]
    new = view.pool.tokens[words.characters.size :]
    source = words.source + new.tobytes().decode("utf-32-le", "surrogatepass") + " "
    space = len(source) - 1
    ids, places, offsets = view.ids, view.places, view.offsets

    # A run of neighbours of the text, each in its own place, is one piece.
    own = places == ids
    begins = np.ones(ids.size, dtype=np.bool_)
    if ids.size:
        begins[1:] = ~(own[1:] & own[:-1]) | (ids[1:] != ids[:-1] + 1)
    full = np.diff(offsets) > 0
    firsts = offsets[:-1][full]
    begins[firsts] = True
    runs = np.flatnonzero(begins)
    last = np.append(runs[1:], ids.size)[: runs.size] - 1
    starts = view.pool.starts[ids[runs]]
    stops = view.pool.starts[ids[last]] + view.pool.lengths[ids[last]]

    # The space in front of a run: at the beginning of a view only where its text begins so too.
    place = np.maximum(places[runs], 0)
    lead_starts, lead_stops = leads_of[place], words.starts[place]
    text_firsts = words.offsets[:-1][full]
    run_of_first = np.searchsorted(runs, firsts)
    inner = np.ones(runs.size, dtype=np.bool_)
    inner[run_of_first] = places[firsts] == text_firsts
    doubled = places[runs] == NEW_PLACE
    lead_stops = np.where(inner & ~doubled, lead_stops, lead_starts)
    # Two words that have come together have a space between, where their script has spaces.
    meeting = (lead_starts == lead_stops) & (view.pool.first_traits(ids[runs]) == WORD)
    meeting[1:] &= view.pool.last_traits(ids[last[:-1]]) == WORD
    meeting[run_of_first] = False
    joined = own[runs] & inner  # space and run stand together in the source
    starts = np.where(joined, lead_starts, starts)
    lead_starts = np.where(joined, lead_stops, lead_starts)
    lead_starts[meeting], lead_stops[meeting] = space, space + 1
    pieces = [
        source[lead:lead_stop] + source[start:stop] if lead < lead_stop else source[start:stop]
        for lead, lead_stop, start, stop in zip(
            lead_starts.tolist(), lead_stops.tolist(), starts.tolist(), stops.tolist(), strict=True
        )
    ]

    # White space behind the last word, and texts of nothing else.
    tails = [""] * len(view)
    text_lasts = words.offsets[1:][full] - 1
    rows = np.flatnonzero(full)
    kept = np.isin(text_lasts, places)
    tail_starts, tail_stops = words.ends[text_lasts], words.text_starts[1:][full] - 1
    for row, start, stop in zip(
        rows[kept].tolist(), tail_starts[kept].tolist(), tail_stops[kept].tolist(), strict=True
    ):
        if start < stop:
            tails[row] = source[start:stop]
    empty = np.flatnonzero(~full & (np.diff(words.offsets) == 0))
    for row in empty.tolist():
        tails[row] = source[words.text_starts[row] : words.text_starts[row + 1] - 1]
    edges = np.searchsorted(runs, offsets).tolist()
    return [
        "".join(pieces[begin:end]) + tail
        for begin, end, tail in zip(edges[:-1], edges[1:], tails, strict=True)
    ]
