"""What the unit rule needs to know of a character: one table over all of Unicode.

A table look-up per character keeps the unit rule vectorised: a chunk of texts is one array of code
points, and one gather classifies it.
"""

import sys
import unicodedata
from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8, UInt32

WORD: Final = 0
"""A letter, digit or mark of a script that is written with spaces, and what joins letters unseen."""
SPACE: Final = 1
"""White space and control characters, and the zero-width space."""
PUNCTUATION: Final = 2
"""Punctuation and symbols."""
UNSPACED: Final = 3
"""A letter of a script that is written without spaces between words."""
CLASS: Final = 3
"""Mask of the class bits."""
DIGIT: Final = 4
"""Bit: a decimal digit or another number."""
NEGATION: Final = 8
"""Bit: a Chinese character that negates."""

# Scripts without spaces between words (Unicode Line Breaking Algorithm, UAX 14, classes ID and SA):
# Han, Kana, Bopomofo, Yi, Thai, Lao, Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham, Tai Viet.
# Hangul is written with spaces.
_UNSPACED_RANGES: Final = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x1950, 0x19DF),
    (0x1A20, 0x1AAF),
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3031, 0x312F),
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAADF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x16FE0, 0x18CFF),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)

_CHINESE_NEGATIONS: Final = "不没沒无無非未别別莫勿毋否"


@cache
def character_table() -> UInt8[np.ndarray, " 1114112"]:
    """Class and bits of every code point, uint8 (1,114,112,); built once, in about 0.3 s.

    Example:
        >>> table = character_table()
        >>> [int(table[ord(c)] & CLASS) for c in "a ,中"] == [WORD, SPACE, PUNCTUATION, UNSPACED]
        True
        >>> bool(table[ord("7")] & DIGIT), bool(table[ord("不")] & NEGATION)
        (True, True)
    """
    categories = [unicodedata.category(chr(code)) for code in range(sys.maxunicode + 1)]
    initial = np.array([ord(category[0]) for category in categories], np.uint8)
    # Format characters stand inside words: soft hyphens, the joiners of Persian and Hindi, marks of
    # direction. Letters that are younger than this Python's Unicode have no category yet.
    table = np.full(len(initial), WORD, np.uint8)
    table[(initial == ord("P")) | (initial == ord("S"))] = PUNCTUATION
    table[(initial == ord("Z")) | (np.array(categories) == "Cc")] = SPACE
    table[0x200B] = SPACE  # the zero-width space ends a word
    for first, last in _UNSPACED_RANGES:
        block = table[first : last + 1]
        block[block == WORD] = UNSPACED
    table[initial == ord("N")] |= DIGIT
    table[[ord(character) for character in _CHINESE_NEGATIONS]] |= NEGATION
    table.setflags(write=False)
    return table


def code_points(text: str) -> np.ndarray:
    """The code points of a text, uint32 (characters,).

    Example:
        >>> code_points("aé").tolist()
        [97, 233]
    """
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def running_count(marked: Bool[np.ndarray, " C"]) -> Int32[np.ndarray, " C+1"]:
    """How many characters before each place are marked: `count[b] - count[a]` are so in [a, b).

    Example:
        >>> running_count(np.array([True, False, True])).tolist()
        [0, 1, 1, 2]
    """
    count = np.zeros(len(marked) + 1, np.int32)
    np.cumsum(marked, dtype=np.int32, out=count[1:])
    return count


def between_digits(
    characters: Int32[np.ndarray, " C"] | UInt32[np.ndarray, " C"],
    classes: UInt8[np.ndarray, " C"],
    signs: str,
) -> Int64[np.ndarray, " K"]:
    """Where a sign stands between two digits, with which it is one number.

    Args:
        characters: int32 or uint32 (C,), code points.
        classes: uint8 (C,), the character table's entry for each.
        signs: what to look for.

    Returns:
        int64 (K,), increasing.
    """
    digits = classes & DIGIT != 0
    places = np.flatnonzero(digits[:-2] & digits[2:]) + 1
    return places[np.isin(characters[places], [ord(sign) for sign in signs])]


def character_classes(text: str) -> UInt8[np.ndarray, " C"]:
    """The class of each character of a text: WORD, SPACE, PUNCTUATION or UNSPACED, uint8 (C,).

    Example:
        >>> character_classes("a ,中").tolist() == [WORD, SPACE, PUNCTUATION, UNSPACED]
        True
    """
    return character_table()[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)] & CLASS
