"""Texts to words without a tokenizer: the built-in rule for plain strings.

The same units as with a tokenizer (design 2.1): in scripts written with spaces a run of letters, digits
and marks, in scripts without spaces a character, and every punctuation mark or symbol by itself. What is
one thing to a reader stays one unit: "don't", "3.14", "1,000", a letter with its combining marks, an emoji
with its modifiers and joiners.

All texts of a call are one array of characters and no word is ever a Python object: 2 us for an ASCII text
of 100 words, where splitting it at spaces takes 4. Protection takes another 7, sentences 8, and texts that
are not all ASCII three times as long.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8

from llmagentos.tokens._characters import (
    CLASS,
    PUNCTUATION,
    SPACE,
    WORD,
    between_digits,
    character_table,
    running_count,
)
from llmagentos.tokens._protection import protected_characters, whole_spans, within
from llmagentos.tokens._sentences import sentence_boundaries

_FIRST_EXTENDING: Final = 0x300
_JOINER: Final = 0x200D
_ZERO_WIDTH_SPACE: Final = 0x200B
_APOSTROPHES: Final = (0x27, 0x2019)
_EMOJI_MODIFIERS: Final = range(0x1F3FB, 0x1F400)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_REGIONAL: Final = range(0x1F1E6, 0x1F200)


@dataclass(frozen=True, slots=True)
class WordBatch:
    """N texts as words.

    Attributes:
        source: all texts, a line end behind each.
        characters: int32 (C,), the code points of `source`.
        text_starts: int64 (N + 1,), where each text begins in `source`.
        starts: int64 (U,), first character of each word.
        ends: int64 (U,), one past its last.
        offsets: int64 (N + 1,), words of text i are offsets[i] to offsets[i + 1].
        protected: bool (U,), words that no operation may change.
        sentences: int64 (U,), number of the sentence, never shared by two texts.
    """

    source: str
    characters: Int32[np.ndarray, " C"]
    text_starts: Int64[np.ndarray, " N+1"]
    starts: Int64[np.ndarray, " U"]
    ends: Int64[np.ndarray, " U"]
    offsets: Int64[np.ndarray, " N+1"]
    protected: Bool[np.ndarray, " U"]
    sentences: Int64[np.ndarray, " U"]


def split_words(
    texts: Sequence[str], *, protection: bool = True, sentences: bool = True, protect: Sequence[str] = ()
) -> WordBatch:
    """Split texts into words.

    Args:
        texts: N texts.
        protection: mark protected words; without, none is.
        sentences: find the sentences, which takes most of the time; without, each text is one.
        protect: words and phrases to protect besides.

    Returns:
        The N texts as a `WordBatch`.

    Example:
        >>> batch = split_words(["Don't pay 3.50 €.", "你好"])
        >>> [batch.source[a:b] for a, b in zip(batch.starts, batch.ends)]
        ["Don't", 'pay', '3.50', '€', '.', '你', '好']
        >>> batch.offsets.tolist(), batch.protected.tolist()
        ([0, 5, 7], [True, False, True, False, False, False, False])
    """
    source = "\n".join((*texts, ""))
    characters = np.frombuffer(source.encode("utf-32-le", "surrogatepass"), np.int32)
    if source.isascii():  # one byte a character: translate is ten times as fast as a look-up in numpy
        classes = np.frombuffer(source.encode().translate(_ascii_table()), np.uint8)
    else:
        classes = character_table().take(characters)
    starts, ends = _edges(characters, classes)
    sizes = np.fromiter(map(len, texts), np.int64, len(texts)) + 1
    text_starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    offsets = np.searchsorted(starts, text_starts)
    num_words = np.diff(offsets)
    wholes = np.empty((0, 2), np.int64)
    if sentences or protection:
        wholes = whole_spans(source, text_starts, classes, protect)
    if sentences:
        # ICU takes no lone surrogates, which broken text may have.
        readable = source if source.isascii() else _SURROGATE.sub("\ufffd", source)
        boundaries = sentence_boundaries(readable, characters.view(np.uint32))
        boundaries = np.union1d(boundaries[~within(wholes, len(characters))[boundaries]], text_starts)
        numbers = np.searchsorted(boundaries, ends - 1, side="right")
    else:
        numbers = np.repeat(np.arange(len(texts)), num_words)
    protected = np.zeros(len(starts), np.bool_)
    if protection:
        count = running_count(protected_characters(source, characters.view(np.uint32), classes, wholes))
        protected = count[ends] > count[starts]
    return WordBatch(source, characters, text_starts, starts, ends, offsets, protected, numbers)


def _edges(
    characters: Int32[np.ndarray, " C"], classes: UInt8[np.ndarray, " C"]
) -> tuple[Int64[np.ndarray, " U"], Int64[np.ndarray, " U"]]:
    """Where words begin and end."""
    kinds = classes & CLASS
    joined = np.zeros(len(kinds), np.bool_)  # to the character before
    wide = np.flatnonzero(characters >= _FIRST_EXTENDING)  # few, where most of the text is Latin
    marks = wide[_extending().take(characters[wide])]
    if marks.size:
        # A mark is of the kind of the character that it is on, the one before its run of marks.
        begins = np.diff(marks, prepend=-2) != 1
        on = np.maximum.accumulate(np.where(begins, marks, 0)) - 1
        takes = (on >= 0) & (kinds[marks] != SPACE) & (kinds[on] != SPACE)
        kinds[marks[takes]] = kinds[on[takes]]
        joined[marks] = True
    text, letter = kinds != SPACE, kinds == WORD
    joined[1:] |= letter[1:] & letter[:-1]
    # An apostrophe between letters joins them, and a point between digits.
    quotes = np.flatnonzero((characters == _APOSTROPHES[0]) | (characters == _APOSTROPHES[1]))
    quotes = quotes[(quotes > 0) & (quotes + 1 < len(kinds))]
    quotes = quotes[letter[quotes - 1] & letter[quotes + 1]]
    for places in (quotes, between_digits(characters, classes, ".,")):
        joined[places] = joined[places + 1] = True
    joiners = wide[characters[wide] == _JOINER]
    joiners = joiners[joiners + 1 < len(kinds)]
    joined[joiners[kinds[joiners + 1] == PUNCTUATION] + 1] = True
    letters = characters[wide]
    flags = wide[(letters >= _REGIONAL.start) & (letters < _REGIONAL.stop)]
    if flags.size:  # pairs of letters, counted from the first of a run
        begins = np.diff(flags, prepend=-2) != 1
        rank = np.arange(flags.size) - np.maximum.accumulate(np.where(begins, np.arange(flags.size), 0))
        joined[flags[rank % 2 == 1]] = True
    joined[:1] = False
    joined[1:] &= text[:-1]  # nothing is joined to a space
    starts = text & ~joined
    ends = np.empty_like(starts)
    ends[:-1] = text[:-1] & ~(joined[1:] & text[1:])
    ends[-1:] = text[-1:]
    return np.flatnonzero(starts), np.flatnonzero(ends) + 1


@cache
def _ascii_table() -> bytes:
    """The first 256 entries of the character table."""
    return character_table()[:256].tobytes()


@cache
def _extending() -> Bool[np.ndarray, " 1114112"]:
    """Which code points belong to the character before: marks, joiners, variation and skin-tone signs."""
    table = np.zeros(0x110000, np.bool_)
    for code in range(_FIRST_EXTENDING, 0x110000):
        if unicodedata.category(chr(code)) in ("Mn", "Me", "Mc", "Cf") and code != _ZERO_WIDTH_SPACE:
            table[code] = True
    table[_EMOJI_MODIFIERS.start : _EMOJI_MODIFIERS.stop] = True
    table.setflags(write=False)
    return table
