"""The table of characters against Unicode itself."""

import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from llmagentos.tokens._characters import CLASS, DIGIT, UNSPACED, character_table, code_points

from . import reference
from .conftest import quick

NAMES = ["word", "space", "punctuation", "unspaced"]


def test_every_character_of_the_basic_plane_has_the_class_of_its_category_and_script() -> None:
    table = character_table()
    differing = [
        unicodedata.name(chr(code), "?")
        for code in range(0x10000)
        if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs")
        and NAMES[table[code] & CLASS] != reference.kind(chr(code))
    ]
    assert not differing


def test_beyond_the_basic_plane() -> None:
    table = character_table()
    assert all(table[ord(c)] & CLASS == UNSPACED for c in "𠀀𪜀𰀀𛀀")
    assert table[0x2EBF0] & CLASS == UNSPACED  # Han of Unicode 15.1: unassigned in Python 3.11
    assert NAMES[table[ord("😀")] & CLASS] == "punctuation"
    assert table[ord("𝟙")] & DIGIT
    assert len(table) == sys.maxunicode + 1


@quick
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_code_points(text: str) -> None:
    assert code_points(text).tolist() == [ord(character) for character in text]
