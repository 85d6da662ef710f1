"""Cleaning keeps what a text says; cutting loses nothing but white space."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmagentos.corpus._cleaning import clean_text, clean_title, has_at_least, passages

ANY_TEXT = st.text(st.characters(), max_size=300)
SPACED = st.text(st.sampled_from("ab 词。.!? \n\t\u3000\xa0\u0301\r\u2028\x00\ud800"), max_size=300)


@given(ANY_TEXT | SPACED)
@settings(max_examples=200, deadline=None)
def test_cleaning_is_idempotent_and_gives_uniform_text(text: str) -> None:
    clean, repaired = clean_text(text)
    assert clean_text(clean) == (clean, False)
    assert clean == clean.strip()
    assert unicodedata.is_normalized("NFC", clean)
    assert "  " not in clean and "\n\n\n" not in clean and " \n" not in clean and "\n " not in clean
    assert not any(unicodedata.category(character) == "Cc" for character in clean if character != "\n")
    clean.encode("utf-8")
    assert repaired == any("\ud800" <= character <= "\udfff" for character in text)


@given(ANY_TEXT)
@settings(max_examples=100, deadline=None)
def test_visible_characters_stay(text: str) -> None:
    def visible(value: str) -> str:
        removed = {"Cc", "Cs", "Zs", "Zl", "Zp"}
        kept = (
            c
            for c in value
            if unicodedata.category(c) not in removed and c not in "\xad\ufeff\ufffe\uffff\ufffd"
        )
        return unicodedata.normalize("NFC", "".join(kept))

    assert visible(clean_text(text)[0]) == visible(text)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("x² and ½ stay", "x² and ½ stay"),
        ("全角，标点。", "全角，标点。"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("exam\xadple \ufeffhere", "example here"),
        ("\u3000\u3000中文段落", "中文段落"),
        ("one\n \t\n\n\ntwo", "one\n\ntwo"),
        (
            "family \U0001f468\u200d\U0001f469\u200d\U0001f467",
            "family \U0001f468\u200d\U0001f469\u200d\U0001f467",
        ),
    ],
)
def test_what_changes_and_what_does_not(text: str, clean: str) -> None:
    assert clean_text(text) == (clean, False)


@pytest.mark.parametrize("mark", ["\u0301", "\u0316\u0301", "\u0344"])
def test_many_marks_in_a_row_are_cut_and_take_no_quadratic_time(mark: str) -> None:
    clean, _ = clean_text("e" + mark * 100_000 + " and more")
    assert clean.endswith(" and more") and len(clean) <= 1 + 30 + len(" and more")
    assert clean_text(clean) == (clean, False)
    assert clean_text("x" + "\u0316" * 30)[0] == "x" + "\u0316" * 30


def test_lone_surrogates_are_replaced_and_reported() -> None:
    assert clean_text("bad \ud83d pair") == ("bad \ufffd pair", True)
    assert clean_title("a\n\nb \udc00") == ("a b \ufffd", True)


@given(st.text(st.sampled_from("aé词ア한 \n"), max_size=60), st.integers(1, 60))
def test_wide_characters_count_as_three(text: str, minimum: int) -> None:
    weight = sum(3 if character in "词ア한" else 1 for character in text)
    assert has_at_least(text, minimum) == (weight >= minimum)


@given(st.text(st.sampled_from("abcdefgh词语句。.!? \n”"), max_size=3000), st.integers(100, 400))
@settings(max_examples=150, deadline=None)
def test_passages_hold_the_whole_text_and_are_short_enough(text: str, maximum: int) -> None:
    text, _ = clean_text(text)
    parts = passages(text, maximum)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(0 < len(part) <= maximum and part == part.strip() for part in parts)
    if 0 < len(text) <= maximum:
        assert parts == [text]


def test_cuts_prefer_paragraphs_then_lines_then_sentences_then_words() -> None:
    sentence = "This is a sentence of words."
    paragraph = " ".join([sentence] * 5)
    assert passages(f"{paragraph}\n\n{paragraph}", 200) == [paragraph, paragraph]
    assert passages(f"{paragraph}\n{paragraph}", 200) == [paragraph, paragraph]
    assert all(part.endswith(".") for part in passages(" ".join([sentence] * 40), 200))
    assert all(part.endswith("。") for part in passages("这是一个中文句子。" * 60, 100))
    assert all(set(part.split()) == {"word"} for part in passages("word " * 200, 100))
    assert [len(part) for part in passages("x" * 250, 100)] == [84, 83, 83]


def test_no_passage_is_a_tiny_rest() -> None:
    text = " ".join(f"Sentence number {number} is here." for number in range(500))
    assert min(len(part) for part in passages(text, 1000)) > 250
