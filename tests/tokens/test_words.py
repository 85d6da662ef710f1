"""The built-in rule for texts without a tokenizer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmagentos.tokens import SPACE, character_classes, split_words


def words(text: str) -> list[str]:
    batch = split_words([text])
    return [batch.source[a:b] for a, b in zip(batch.starts, batch.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A self-made man, it's 3.14 or 1,000.", "A|self|-|made|man|,|it's|3.14|or|1,000|."),
        ("don’t 'quote' rock'n'roll x' 'y", "don’t|'|quote|'|rock'n'roll|x|'|'|y"),
        ("对比学习，不需要3个。", "对|比|学|习|，|不|需|要|3|个|。"),
        ("e\u0301te\u0301 नमस्ते مرحبا", "e\u0301te\u0301|नमस्ते|مرحبا"),
        ("👩‍💻👍🏽🇩🇪🇫🇷☀️ok", "👩‍💻|👍🏽|🇩🇪|🇫🇷|☀️|ok"),
        ("ก็ดี", "ก็|ดี"),
        ("한국어 문장", "한국어|문장"),
        ("3. 4 .5 6,", "3|.|4|.|5|6|,"),
        ("zero\u200bwidth", "zero|width"),
        ("", ""),
    ],
)
def test_words_of_many_scripts(text: str, expected: str) -> None:
    found = words(text)
    if text == "ก็ดี":  # a vowel sign stays with its consonant; what else is one unit is not said
        assert "".join(found) == text and found[0] == "ก็"
        return
    assert found == [word for word in expected.split("|") if word]


@given(st.lists(st.text(max_size=40), max_size=6))
def test_words_hold_all_that_is_no_white_space_once(texts: list[str]) -> None:
    batch = split_words(texts)
    assert len(batch.offsets) == len(texts) + 1
    for row, text in enumerate(texts):
        begin, end = batch.offsets[row : row + 2]
        base = batch.text_starts[row]
        covered = [
            place - base
            for a, b in zip(batch.starts[begin:end], batch.ends[begin:end], strict=True)
            for place in range(a, b)
        ]
        classes = character_classes(text)
        assert covered == [place for place in range(len(text)) if classes[place] != SPACE]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_a_text_does_not_depend_on_its_batch(texts: list[str]) -> None:
    together = split_words(texts)
    for row, text in enumerate(texts):
        alone = split_words([text])
        begin, end = together.offsets[row : row + 2]
        base = together.text_starts[row]
        assert (together.starts[begin:end] - base).tolist() == alone.starts.tolist()
        assert (together.ends[begin:end] - base).tolist() == alone.ends.tolist()
        assert together.protected[begin:end].tolist() == alone.protected.tolist()
        numbers = together.sentences[begin:end]
        assert (numbers - numbers[:1]).tolist() == (alone.sentences - alone.sentences[:1]).tolist()


@given(st.text(alphabet="\u0301\u200d\ufeff🏽☀a 中", max_size=6))
def test_marks_at_the_beginning_belong_to_their_own_text(text: str) -> None:
    alone, behind = split_words([text]), split_words(["x", text])
    assert (behind.starts[behind.offsets[1] :] - 2).tolist() == alone.starts.tolist()


def test_no_sentence_ends_inside_code_or_an_address() -> None:
    text = "Before it. ```\nA = 1\nB = 2\n``` After. Run `x. Y = 1. Z` now. See https://exa.mple/how?Who Ok."
    batch = split_words([text])
    assert len(set(batch.sentences.tolist())) == 4


def test_what_is_not_asked_for_is_not_marked() -> None:
    batch = split_words(["Not 3. And more."], protection=False, sentences=False)
    assert not batch.protected.any()
    assert set(batch.sentences.tolist()) == {0}
