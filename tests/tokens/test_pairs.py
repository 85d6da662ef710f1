"""Pairs beside a token store: whatever row a side is in, its tokens are the tokenizer's."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from llmagentos.corpus import Document, TextPair
from llmagentos.errors import InputError, OutputError
from llmagentos.tokens import (
    PairStore,
    TokenBatch,
    TokensConfig,
    TokenStore,
    build_pairs,
    build_store,
    train_tokenizer,
)
from llmagentos.tokens._store import text_hash

TEXTS = ["Water boils at 100 degrees.", "Ice melts at zero.", "Steam is hot water."]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    documents = [Document(id=text, text=text, group="lab") for text in TEXTS]
    tokenizer = train_tokenizer(documents, TokensConfig(vocabulary_size=300))
    return build_store(documents, tokenizer, tmp_path_factory.mktemp("store") / "store")


def pair(first: str, second: str, *, text: str = "", group: str = "") -> TextPair:
    return TextPair(kind="title", first=first, second=second, text=text or second, group=group)


def texts_of(batch: TokenBatch, tokenizer: Tokenizer) -> list[list[int]]:
    return [part.tolist() for part in np.split(batch.tokens, batch.offsets[1:-1])]


def ids(texts: list[str], tokenizer: Tokenizer) -> list[list[int]]:
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def test_sides_are_documents_or_not(store: TokenStore, tmp_path: Path) -> None:
    given = [
        pair("boiling", TEXTS[0]),
        pair(TEXTS[1], TEXTS[2]),
        pair("hot", "melts"),
        pair("boiling", TEXTS[1]),
    ]
    built = build_pairs(given, store, tmp_path / "pairs")
    assert built is not None and len(built) == 4
    for asked in ([0, 1, 2, 3], [3, 1], [2, 2, 0], []):
        first, second = built.batch(np.array(asked, np.int64))
        if asked:
            assert texts_of(first, store.tokenizer) == ids([given[i].first for i in asked], store.tokenizer)
            assert texts_of(second, store.tokenizer) == ids([given[i].second for i in asked], store.tokenizer)
        assert len(first) == len(second) == len(asked)
        assert (first.flags[first.offsets[:-1]] == 3).all()


def test_hash_and_group_are_those_of_the_document(store: TokenStore, tmp_path: Path) -> None:
    given = [pair("melting", "Ice melts", text=TEXTS[1], group="lab"), pair("boiling", TEXTS[0])]
    built = build_pairs(given, store, tmp_path / "pairs")
    assert built is not None
    assert built.hashes.tolist() == store.hashes[[1, 0]].tolist()
    assert built.groups.tolist() == [int(store.groups[0]), text_hash("boiling")]


def test_a_title_of_many_texts_is_no_title(store: TokenStore, tmp_path: Path) -> None:
    shared = [pair("abstract", f"water boils {number}") for number in range(6)]
    answers = [pair(f"is it hot {number}", "steam") for number in range(6)]
    few = [pair("melting", f"ice melts {number}") for number in range(5)]
    built = build_pairs([*shared, *answers, *few], store, tmp_path / "pairs")
    assert built is not None and len(built) == 5
    assert set(built.groups.tolist()) == {text_hash("melting")}


def test_a_side_without_a_token_costs_its_pair_alone(store: TokenStore, tmp_path: Path) -> None:
    given = [pair("hot", " "), pair("boiling", TEXTS[0]), pair(" ", "melts")]
    built = build_pairs(given, store, tmp_path / "pairs")
    assert built is not None and len(built) == 1
    first, _ = built.batch(np.array([0]))
    assert texts_of(first, store.tokenizer) == ids(["boiling"], store.tokenizer)


def test_pairs_of_documents_alone_need_no_texts_of_their_own(store: TokenStore, tmp_path: Path) -> None:
    built = build_pairs([pair(TEXTS[0], TEXTS[1])], store, tmp_path / "pairs")
    assert built is not None and not (tmp_path / "pairs" / "texts").exists()
    assert built.num_by_kind == {"title": 1}


@pytest.mark.parametrize("given", [[], [pair(" ", "  ")]])
def test_no_pairs_leave_nothing(given: list[TextPair], store: TokenStore, tmp_path: Path) -> None:
    assert build_pairs(given, store, tmp_path / "pairs") is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(store: TokenStore, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        build_pairs([pair("a", "b")], store, tmp_path)


def test_damaged_pairs_are_refused(store: TokenStore, tmp_path: Path) -> None:
    build_pairs([pair("boiling", TEXTS[0])], store, tmp_path / "pairs")
    (tmp_path / "pairs" / "rows.bin").write_bytes(b"1234")
    with pytest.raises(InputError, match="no complete pairs"):
        PairStore(tmp_path / "pairs", store)
