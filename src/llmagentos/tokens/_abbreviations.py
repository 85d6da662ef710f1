"""Abbreviations whose full stop does not end a sentence: titles, initials, "e.g.", "No. 5".

ICU ends a sentence at a full stop with a space behind it, unless the next word begins in lower case.
So only a capital letter, a digit or a quotation mark behind an abbreviation is a question, and it is
answered by the kind of the abbreviation:

    always goes on    Dr. Smith, e.g. Kubernetes, z. B. Berlin
    before a number   No. 5, Fig. 3, Nr. 7
    may end           etc., Inc., U.S. and initials: goes on, unless the next word is one that begins
                      sentences and no names: "J. R. Smith" and "the U.S. Government" are one
                      sentence, "etc. The next" and "Acme Inc. It sells" are two

Merging too much costs a longer sentence, cutting too much gives views of half a name.
"""

import re
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64, UInt32

GOES_ON: Final = frozenset(
    (
        *("Dr", "Mr", "Mrs", "Ms", "Prof", "Rev", "Gen", "Sen", "Gov", "Capt", "Lt", "Col", "Sgt"),
        *("vs", "e.g", "i.e", "cf", "Cf", "approx"),
        *("Mme", "Mlle", "bzw", "ca", "vgl", "Vgl", "z.B", "d.h"),
    )
)
BEFORE_NUMBERS: Final = frozenset(
    (
        *("No", "Nos", "Fig", "fig", "Figs", "Eq", "eq", "Eqs", "Sec", "Ch", "Vol", "vol", "pp", "p"),
        *("Nr", "Abs", "Art", "Bd", "Kap", "S"),
    )
)
MAY_END: Final = frozenset(
    (
        *("St", "etc", "al", "Inc", "Ltd", "Corp", "Co", "Jr", "Sr", "dept", "Dept", "Ph.D", "a.m", "p.m"),
        *("usw", "inkl", "ggf", "z", "v"),
    )
)
BEGIN_SENTENCES: Final = frozenset(
    (
        *(
            "A",
            "An",
            "The",
            "This",
            "That",
            "These",
            "Those",
            "There",
            "It",
            "He",
            "She",
            "We",
            "You",
            "They",
        ),
        *(
            "Our",
            "Its",
            "His",
            "Her",
            "My",
            "Your",
            "Then",
            "Now",
            "Here",
            "Next",
            "Also",
            "Not",
            "No",
            "Yes",
        ),
        *("I", "In", "On", "At", "As", "If", "For", "To", "When", "While", "But", "And", "So", "However"),
        *("Der", "Die", "Das", "Es", "Ein", "Eine", "Wir", "Le", "La", "Les", "Il", "Elle", "Un", "Une"),
    )
)

_WORD: Final = re.compile(r"(?<![\w.])[^\W\d_]+(?:\.[^\W\d_]+)*\Z")
_INITIALS: Final = re.compile(r"(?:[A-Z]\.)*[A-HJ-Z]")  # "So do I. Then" ends
_NEXT: Final = re.compile(r"[ \t]*[^\w\s]*(\w+)")
_BLANKS: Final = 2  # people who typed on machines put two spaces between sentences
_REACH: Final = 32

# The letters behind the last dot of an abbreviation, last first, are one 64-bit integer: so all full
# stops of a chunk are looked at together, and Python only looks at those that may be abbreviations.
_LONGEST: Final = 6
_ENDINGS: Final = np.array(
    sorted(
        int.from_bytes(word.split(".")[-1][::-1].encode(), "little")
        for word in GOES_ON | BEFORE_NUMBERS | MAY_END
    ),
    np.uint64,
)


def inside_sentences(
    text: str, characters: UInt32[np.ndarray, " C"], starts: Int64[np.ndarray, " S"]
) -> Bool[np.ndarray, " S"]:
    """Which of ICU's sentences begin behind an abbreviation, so that they are none.

    Args:
        text: C characters.
        characters: uint32 (C,), their code points.
        starts: int64 (S,), where sentences begin, increasing.

    Returns:
        bool (S,).

    Example:
        >>> from llmagentos.tokens._characters import code_points
        >>> text = "See Dr. Smith. He left."
        >>> inside_sentences(text, code_points(text), np.array([0, 8, 15])).tolist()
        [False, True, False]
    """
    stops = starts - 1
    line_end = characters[stops] == ord("\n")  # of wrapped text; an empty line ends a sentence
    stops = stops - (line_end & (stops > 0))
    stops = stops - (line_end & (characters[stops] == ord("\r")) & (stops > 0))
    for _ in range(_BLANKS):
        blank = (characters[stops] == ord(" ")) | (characters[stops] == 0xA0)
        stops = stops - (blank & (stops > 0))
    candidates = np.flatnonzero((characters[stops] == ord(".")) & (stops > 0) & (stops < starts - 1))
    stops = stops[candidates]
    keys = np.zeros(len(stops), np.uint64)
    letters = np.ones(len(stops), bool)
    for place in range(1, _LONGEST + 2):
        letter = characters[np.maximum(stops - place, 0)]
        letters &= (stops >= place) & ((letter | np.uint32(0x20)) - ord("a") < 26)
        keys |= np.where(letters, letter, 0).astype(np.uint64) << np.uint64(8 * (place - 1))
    one_letter = (keys > 0) & (keys < 256)
    inside = np.zeros(len(starts), bool)
    short = one_letter | np.isin(keys, _ENDINGS)
    for number, stop in zip(candidates[short].tolist(), stops[short].tolist(), strict=True):
        start = int(starts[number])
        inside[number] = _goes_on(text[max(stop - _REACH, 0) : stop], text[start : start + _REACH])
    return inside


def _goes_on(before: str, behind: str) -> bool:
    """Whether the sentence goes on over the full stop between the two texts."""
    word, following = _WORD.search(before), _NEXT.match(behind)
    if word is None or following is None:
        return False
    abbreviation, first = word.group(), following.group(1)
    if abbreviation in GOES_ON:
        return True
    if abbreviation in BEFORE_NUMBERS and first[0].isdigit():
        return True
    if abbreviation in MAY_END or _INITIALS.fullmatch(abbreviation):
        return first[0].isupper() and first not in BEGIN_SENTENCES
    return False
