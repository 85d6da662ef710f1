"""The edit log tells the truth, and the pieces show it."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from llmagentos.views import Explanation, Views, ViewsConfig

from ..tokens.conftest import minilm
from .conftest import CHINESE, ENGLISH, MemoryStore, train
from .test_views import EVERYTHING, RELATED

ALONE = ViewsConfig(preset="dropout")


def explained(store: MemoryStore, config: ViewsConfig, row: int, seed: int = 0) -> Explanation:
    views = Views(store, config, related=RELATED)
    found = views.explain(np.arange(store.num_documents), seed=seed, max_tokens=60)
    return found[row][0]


def test_an_untouched_text_reads_as_it_was(english: MemoryStore) -> None:
    found = explained(english, ALONE, 0)
    assert found.original == found.view == ENGLISH[0].lower()
    assert found.edits == []
    assert [piece.mark for piece in found.pieces] == ["kept"]


@pytest.mark.parametrize("kind", ["metaspace", "bytes"])
def test_tokenizers_that_keep_spaces_read_back_exactly(kind: str) -> None:
    texts = ['Well-known (odd) spacing, it\'s "fine" - a/b', *ENGLISH]
    found = explained(MemoryStore(texts, train(kind, texts)), ALONE, 0)
    assert found.original == texts[0]


def test_chinese_reads_back_without_spaces(chinese: MemoryStore) -> None:
    wide = str.maketrans({"！": "!", "，": ","})
    for row in range(2):
        assert explained(chinese, ALONE, row).original == CHINESE[row].translate(wide)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("row", range(4))
def test_pieces_hold_the_whole_view_and_edits_lead_from_text_to_view(
    english: MemoryStore, row: int, seed: int
) -> None:
    found = explained(english, EVERYTHING, row, seed)
    shown = [piece.text for piece in found.pieces if piece.mark in ("kept", "moved", "added")]
    squeezed = "".join(shown).replace(" ", "")
    assert squeezed == found.view.replace(" ", "")
    # The changes in the number of characters, edit by edit, add up to the whole change.
    change = sum(len(edit.after.replace(" ", "")) - len(edit.before.replace(" ", "")) for edit in found.edits)
    assert change == len(squeezed) - len(found.original.replace(" ", ""))


def test_each_operation_is_logged_under_its_name(english: MemoryStore) -> None:
    names = {"word_swap", "word_deletion", "repetition", "character_noise", "sentence_reordering"}
    for name in sorted(names):
        rate = 1.0 if name == "sentence_reordering" else 0.4
        config = TypeAdapter(ViewsConfig).validate_python({"preset": "dropout", name: rate})
        edits = [edit for seed in range(3) for edit in explained(english, config, 0, seed).edits]
        assert {edit.operation for edit in edits} == {name}
        words = ENGLISH[0].lower()
        assert all(edit.before in words for edit in edits)
        if name == "word_deletion":
            assert {edit.after for edit in edits} == {""}
        if name == "repetition":
            assert all(edit.after == f"{edit.before} {edit.before}" for edit in edits)
        if name in ("word_swap", "sentence_reordering"):
            assert all(edit.moved and edit.after == edit.before for edit in edits)


def test_replacements_name_the_unit_and_both_words(english: MemoryStore) -> None:
    config = ViewsConfig(preset="dropout", word_replacement=1.0)
    found = explained(english, config, 0)
    assert [(edit.unit, edit.before, edit.after) for edit in found.edits] == [
        (0, "the", "a"),
        (3, "fox", "dog"),
        (15, "the", "a"),
    ]
    assert found.view.startswith("a quick brown dog does not")
    assert [(piece.text, piece.mark) for piece in found.pieces[:2]] == [("the", "removed"), (" a", "added")]


def test_a_crop_is_shown_by_what_it_leaves_out(english: MemoryStore) -> None:
    found = explained(english, ViewsConfig(preset="crop"), 1)
    omitted = [edit for edit in found.edits if edit.operation == "crop"]
    assert omitted and all(edit.after == "" for edit in omitted)
    assert found.view in found.original
    assert any(piece.mark == "omitted" for piece in found.pieces)


def test_the_token_budget_is_logged_too(english: MemoryStore) -> None:
    views = Views(english, ALONE)
    found, _ = views.explain(np.arange(4), max_tokens=5)[0]
    assert {edit.operation for edit in found.edits} == {"max_tokens"}
    assert found.pieces[-1].mark == "omitted"


def test_text_without_spaces_reads_as_it_was_also_from_pieces_that_go_on() -> None:
    text = "カタカナ 中国 train"
    found = explained(MemoryStore([text], minilm()), ALONE, 0)
    assert found.original.replace(" ", "") == text.replace(" ", "")
