"""Texts become passages: clean, long enough, and known to be of one text."""

import json
from pathlib import Path

from llmagentos.corpus import (
    CorpusConfig,
    Document,
    Skipped,
    build_corpus,
    clean_document,
    cut_document,
)

LONG = " ".join(f"Sentence number {number} is here." for number in range(20))
CUT = CorpusConfig(max_characters=200)


def test_a_document_can_be_written_afterwards() -> None:
    broken = Document(
        id="a\ud800", text="b\ud800", title="c\ud800\n", source="d\ud800", group="e\ud800", time="f\ud800"
    )
    document, repaired = clean_document(broken)
    assert repaired and document == Document(
        id="a\ufffd", text="b\ufffd", title="c\ufffd", source="d\ufffd", group="e\ufffd", time="f\ufffd"
    )
    assert clean_document(document) == (document, False)


def test_what_is_not_kept_has_a_reason() -> None:
    assert cut_document(Document(id="a", text=""), CUT) == [Skipped(reason="empty text", location="a")]
    config = CorpusConfig(min_characters=80, max_characters=100)
    parts = cut_document(Document(id="a", text=f"{'x' * 95}\n\n{'y' * 60}"), config)
    assert [part.id if isinstance(part, Document) else part for part in parts] == [
        "a#1",
        Skipped(reason="shorter than 80 characters", location="a#2"),
    ]
    whole = Document(id="a", text="A text that is long enough.", group="g")
    assert cut_document(whole, CUT) == [whole]


def test_passages_of_one_text_share_a_group_that_no_other_text_has(tmp_path: Path) -> None:
    """Also where the ids are the same: texts that are masked as negatives of each other teach nothing."""
    for number in range(3):
        (tmp_path / f"{number}").mkdir()
        row = {"id": "same", "text": f"Text {number}. {LONG}"} | ({"group": "session"} if number == 2 else {})
        (tmp_path / f"{number}" / "x.jsonl").write_text(json.dumps(row))
    inputs = [tmp_path / f"{number}" / "x.jsonl" for number in range(3)]
    corpus = build_corpus(inputs, tmp_path / "corpus", CUT)
    groups: dict[str, list[str]] = {}
    for one in (*corpus.training(), *corpus.heldout()):
        groups.setdefault(one.group, []).append(one.id)
    assert len(groups) == 3 and "session" in groups
    # What the first text has in common with the others is a duplicate there.
    assert max(map(len, groups.values())) > 2
    short = [Document(id=f"{n}", text=f"This is the text with number {n}.") for n in range(3)]
    assert {one.group for one in build_corpus(short, tmp_path / "short", CUT).training()} == {""}
