"""Sentences are ICU's, but for abbreviations, whichever texts go through ICU together."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmagentos.tokens._abbreviations import BEFORE_NUMBERS, GOES_ON, MAY_END
from llmagentos.tokens._characters import code_points
from llmagentos.tokens._sentences import sentence_boundaries, sentence_starts

from . import reference
from .conftest import TEXTS, quick, read_texts, texts

_abbreviated = st.lists(
    st.sampled_from(
        [
            *sorted(GOES_ON | BEFORE_NUMBERS | MAY_END),
            *(
                " ",
                ". ",
                ".  ",
                ".\u00a0",
                ".\n",
                "The",
                "Smith",
                "J",
                "I",
                "é",
                "7",
                "中",
                '"',
                "(",
                "a.b",
                "U.S",
            ),
        ]
    ),
    max_size=12,
).map("".join)


@quick
@given(st.one_of(texts, _abbreviated))
@example("é. Next")
@example("3D. Next")
@example("file.c. Next")
def test_sentences_of_any_text(text: str) -> None:
    assert sentence_starts(text) == reference.sentence_starts(text)


@quick
@given(st.lists(st.one_of(texts, _abbreviated), max_size=5))
@example(["a.", "B", "", "c\r", "\nD. ", "E"])
@example(["😀 a.", "𠀀 B. C"])
def test_a_text_has_the_same_sentences_among_others(given_texts: list[str]) -> None:
    joined = "\n".join((*given_texts, ""))
    boundaries = set(sentence_boundaries(joined, code_points(joined)).tolist())
    base = 0
    for text in given_texts:
        inside = {place - base for place in boundaries if base <= place < base + len(text)}
        assert sorted(inside | {0} if text else inside) == sentence_starts(text)
        base += len(text) + 1


@pytest.mark.parametrize("name", ["techdocs/peps.jsonl.zst", "zh_laws/laws.jsonl.zst"])
def test_sentences_of_real_text(name: str) -> None:
    for text in read_texts(name, 5):
        assert sentence_starts(text[:20_000]) == reference.sentence_starts(text[:20_000])


def test_sentences_with_characters_beyond_the_basic_plane() -> None:
    assert sentence_starts("😀😀 a. 𠀀 b. C") == [0, 6, 11]
    assert [sentence_starts(text)[:1] for text in TEXTS] == [[0] if text else [] for text in TEXTS]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Ask Dr. Smith now.",
            "Mr. and Mrs. Jones met Ms. Lee.",
            "So said Prof.  Chen.",
            "In St. Petersburg.",
        ),
        *("Rust vs. Go.", "A tool, e.g. Kubernetes.", "That is, i.e. Docker.", "Many (cf. Smith)."),
        *("J. R. R. Tolkien wrote.", "By J.-P. Sartre.", "The U.S. Government acts.", "A Ph.D. Student."),
        *("See Fig. 3 Left.", "By Eq. 4 Above.", "In No. 5 Main Street.", "Read Sec. 2 First."),
        *("It has approx. 5 MB.", "Acme Inc. Headquarters.", "Sammy Davis Jr. Day.", "Foo Ltd. Company."),
        *(
            "The Physics dept. Chair.",
            "z. B. Berlin, d.h. Bonn.",
            "Er bzw. Anna, ca. 5 Liter, Nr. 7 Alt.",
        ),
        *("M. Dupont et Mme. Curie.", "Roe v. Wade was one.", '"Dr. "Bones" McCoy".'),
    ],
)
def test_an_abbreviation_does_not_end_a_sentence(text: str) -> None:
    assert sentence_starts(text) == [0]


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("Lines end anywhere\nand go on,\n\tindented or not. So", [0, 48]),
        ("This ends.\nbut it was wrapped", [0, 11]),
        ("A heading\n\nand text", [0, 10, 11]),
        ("A heading\nThe text", [0, 10]),
        ("As follows:\nfirst", [0, 12]),
        ("Größe\nüber alles", [0]),
        ("第一行\nand", [0]),
        ("a\r\nb", [0]),
        ("Ask Dr.\nSmith now. Ok", [0, 19]),
        ("Ends etc.\n\nSmith", [0, 10, 11]),
        ("\nb", [0, 1]),
        ("a\n ", [0, 2]),
    ],
)
def test_a_line_end_inside_a_sentence_does_not_end_it(text: str, starts: list[int]) -> None:
    assert sentence_starts(text) == starts


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(
            ("Cats, dogs, etc. ", "The next."),
            ("Bought by Acme Inc. ", "It sells."),
            ("At 5 p.m. ", "We met."),
        ),
        *(("He said No. ", "Then we left."), ("So do I. ", "Nobody knew."), ("In the U.S. ", "There it is.")),
        *(
            ("It took 5 ms. ", "Then more."),
            ("Read file.c. ", "Nothing else."),
            ("It is 3D. ", "Look there."),
        ),
        *(("plan C. ", "Our team left."), ("Smith et al. ", "This shows."), ("选项 A. ", "他说。")),
    ],
)
def test_a_sentence_ends_where_nothing_speaks_against_it(first: str, second: str) -> None:
    assert sentence_starts(first + second) == [0, len(first)]
