"""Pairs that the structure of texts gives, found in texts of every kind."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmagentos.corpus import CorpusConfig, Document, structural_pairs
from llmagentos.corpus._preparing import cut_document


def found(documents: Iterable[Document]) -> list[tuple[str, str, str]]:
    return [(pair.kind, pair.first, pair.second) for pair in structural_pairs(documents)]


def said(*lines: tuple[str, str], group: str = "log") -> list[Document]:
    """A conversation, its texts named "0", "1" and so on."""
    return [
        Document(id=str(number), text=text, group=group, speaker=speaker)
        for number, (speaker, text) in enumerate(lines)
    ]


def test_a_title_and_its_text() -> None:
    document = Document(id="a", title="Boiling", text="Water boils at 100 degrees.", group="g")
    (pair,) = structural_pairs([document])
    assert (pair.kind, pair.first, pair.second) == ("title", "Boiling", "Water boils at 100 degrees.")
    assert (pair.text, pair.group) == (document.text, "g")


def test_a_title_that_is_the_text_is_no_pair() -> None:
    assert found([Document(id="a", title="Boiling", text="Boiling")]) == []


def test_headings_inside_a_text() -> None:
    text = "Before all.\n\n# Install\nUse the package.\n\n## Linux\nFrom the archive.\n"
    assert found([Document(id="a", text=text)]) == [
        ("heading", "Install", "Use the package."),
        ("heading", "Install > Linux", "From the archive."),
    ]


def test_questions_and_answers() -> None:
    text = "Q: Does it float?\nA: On water it does.\n\nQ: And on oil?\nA: No.\nIt sinks."
    assert found([Document(id="a", text=text)]) == [
        ("question", "Does it float?", "On water it does."),
        ("question", "And on oil?", "No.\nIt sinks."),
    ]


def test_chinese_questions_and_answers() -> None:
    assert found([Document(id="a", text="问：能浮吗？\n答：在水上能。")]) == [
        ("question", "能浮吗？", "在水上能。")
    ]


def test_a_question_without_an_answer_is_no_pair() -> None:
    assert found([Document(id="a", text="Q: Does it float?\nNobody knows.")]) == []


def test_a_reply_is_told_by_the_name_before_it() -> None:
    talk = said(
        ("ann", "Does it boot?"),
        ("eve", "Lunch, anyone?"),
        ("bob", "ann: it does"),
        ("joe", "@Eve, yes please"),
    )
    assert found(talk) == [
        ("turn", "Does it boot?", "Lunch, anyone?"),  # two have spoken so far
        ("reply", "Does it boot?", "it does"),
        ("reply", "Lunch, anyone?", "yes please"),
    ]


def test_a_name_that_nobody_has_is_part_of_the_text() -> None:
    talk = said(("ann", "It fails."), ("bob", "error: no such file"))
    assert found(talk) == [("turn", "It fails.", "error: no such file")]


def test_reply_to_names_the_answered_text() -> None:
    talk = said(("ann", "First question?"), ("ann", "Second question?"), ("bob", "Yes to the first."))
    talk[2] = replace(talk[2], reply_to="0")
    assert found(talk) == [
        ("continuation", "First question?", "Second question?"),
        ("reply", "First question?", "Yes to the first."),
    ]


def test_a_reply_to_what_is_not_there_is_a_turn_at_most() -> None:
    talk = said(("ann", "A question?"), ("bob", "An answer."))
    assert found([talk[0], replace(talk[1], reply_to="missing")]) == [("turn", "A question?", "An answer.")]


def test_what_a_speaker_goes_on_with_is_no_turn() -> None:
    assert found(said(("ann", "One thing."), ("ann", "And another."))) == [
        ("continuation", "One thing.", "And another.")
    ]


@pytest.mark.parametrize(("between", "expected"), [(4, 1), (5, 0)])
def test_a_continuation_comes_soon(between: int, expected: int) -> None:
    others = [(f"other{number}", f"Something else {number}.") for number in range(between)]
    talk = said(("ann", "One thing."), *others, ("ann", "And another."))
    assert sum(kind == "continuation" for kind, *_ in found(talk)) == expected


def test_adjacent_messages_of_many_speakers_are_no_turns() -> None:
    talk = said(("ann", "One."), ("bob", "Two."), ("joe", "Three."), ("eve", "Four."))
    assert found(talk) == [("turn", "One.", "Two.")]


def test_without_speakers_a_group_is_a_conversation_of_two() -> None:
    assert found(said(("", "Hello there."), ("", "Hello to you."))) == [
        ("turn", "Hello there.", "Hello to you.")
    ]


def test_conversations_may_be_interleaved() -> None:
    first = said(("ann", "One?"), ("bob", "One."), group="a")
    second = said(("joe", "Two?"), ("eve", "Two."), group="b")
    woven = [first[0], second[0], first[1], second[1]]
    assert found(woven) == [("turn", "One?", "One."), ("turn", "Two?", "Two.")]


def test_passages_of_one_text_are_no_conversation() -> None:
    document = Document(id="a", text="One sentence here. " * 20)
    parts = cut_document(document, CorpusConfig(max_characters=200))
    assert len(parts) > 1
    assert found([part for part in parts if isinstance(part, Document)]) == []


def test_of_a_text_that_was_cut_the_title_belongs_to_the_first_passage() -> None:
    document = Document(id="a", title="A long one", text="One sentence here. " * 60)
    parts = [p for p in cut_document(document, CorpusConfig(max_characters=150)) if isinstance(p, Document)]
    assert len(parts) > 5
    assert found(parts) == [("title", "A long one", parts[0].text)]


def test_an_id_with_a_number_sign_is_an_id_like_any_other() -> None:
    talk = said(("ann", "Does it boot?"), ("bob", "It does."))
    named = [replace(one, id=f"log#{number}") for number, one in enumerate(talk, start=1)]
    assert found(named) == [("turn", "Does it boot?", "It does.")]


lines = st.lists(st.tuples(st.sampled_from(["", "ann", "bob", "eve"]), st.text(max_size=30)), max_size=12)


@given(lines)
def test_any_talk_gives_pairs_of_different_visible_texts(talk: list[tuple[str, str]]) -> None:
    for pair in structural_pairs(said(*talk)):
        assert pair.first and pair.second and pair.first != pair.second
        assert pair.first == pair.first.strip() and pair.second in pair.text
