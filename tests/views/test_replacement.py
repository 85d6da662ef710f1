"""Word replacement from a dictionary, and the dictionary file."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from llmagentos.errors import InputError
from llmagentos.tokens import encode_texts
from llmagentos.views import read_dictionary, write_dictionary
from llmagentos.views._replacement import Replacement
from llmagentos.views._spelling import Spelling
from llmagentos.views._traits import token_traits
from llmagentos.views._units import UnitBatch

from ..tokens.conftest import minilm
from .conftest import CHINESE, ENGLISH, MemoryStore, keys, train

RELATED = {"fox": ["dog", "tree"], "Networks": ["methods"], "7": ["always"], "lazy": ["unlabelled"]}


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "metaspace", "bytes"])
def test_words_are_replaced_whole_and_keep_their_space(kind: str) -> None:
    texts = ["the old fox, (fox) 7 lazy", "fox sleeps"]
    tokenizer = train(kind, ENGLISH + texts)
    units = UnitBatch.from_tokens(encode_texts(texts, tokenizer))
    replaced = (
        Replacement(RELATED, Spelling(tokenizer)).apply(units, 1.0, keys(2), max_unit_tokens=512).to_tokens()
    )
    expected = [
        [f"the old {a}, ({b}) 7 unlabelled" for a in RELATED["fox"] for b in RELATED["fox"]],
        [f"{a} sleeps" for a in RELATED["fox"]],
    ]
    for row, candidates in enumerate(expected):
        tokens = replaced.tokens[replaced.offsets[row] : replaced.offsets[row + 1]].tolist()
        if kind == "metaspace":
            # Glued punctuation is one pre-token with its word, which another word may cut elsewhere.
            assert tokenizer.decode(tokens) in candidates
        else:
            assert tokens in [tokenizer.encode(text).ids for text in candidates]


def test_words_behind_a_line_end_are_replaced_and_the_line_end_stays() -> None:
    texts = ["a dog\nfox runs\n\n  fox\n", "the lazy fox"]
    tokenizer = train("bytes", ENGLISH + texts)
    units = UnitBatch.from_tokens(encode_texts(texts, tokenizer), traits=token_traits(tokenizer))
    replacement = Replacement({"fox": ["tree"], "lazy": ["dog"]}, Spelling(tokenizer))
    view = replacement.apply(units, 1.0, keys(2), max_unit_tokens=512).to_tokens()
    expected = encode_texts(["a dog\ntree runs\n\n  tree\n", "the dog tree"], tokenizer)
    assert view.tokens.tolist() == expected.tokens.tolist()
    assert (
        view.offsets.tolist() == expected.offsets.tolist() and view.flags.tolist() == expected.flags.tolist()
    )


def test_words_are_matched_as_the_tokenizer_sees_them(english: MemoryStore) -> None:
    # At the beginning of a word; in scripts without spaces also behind another.
    assert len(Replacement({"NETWORKS": ["Methods"]}, Spelling(english.tokenizer))) == 1
    assert len(Replacement({"漢": ["methods"]}, Spelling(english.tokenizer))) == 0
    assert len(Replacement({"fox": ["漢", "fox"]}, Spelling(english.tokenizer))) == 0


def test_a_related_expression_may_have_several_words(english: MemoryStore) -> None:
    units = UnitBatch.from_tokens(encode_texts(["a fox"], english.tokenizer))
    view = (
        Replacement({"fox": ["quick dog"]}, Spelling(english.tokenizer))
        .apply(units, 1.0, keys(1), max_unit_tokens=9)
        .to_tokens()
    )
    assert view.tokens.tolist() == english.tokenizer.encode("a quick dog").ids


@pytest.mark.parametrize(
    ("related", "text", "expected"),
    [
        ({"fast": ["high-speed"]}, "a fast train", "a high-speed train"),
        ({"国": ["大人"]}, "中国日本", "中大人日本"),
        ({"国": ["ナナ"]}, "中国中国中国中国", "中ナナ中ナナ中ナナ中ナナ"),
        ({"タ": ["ナナ"]}, "カタカ", "カナナカ"),
    ],
)
def test_what_is_written_is_what_the_tokenizer_makes_of_it(
    related: dict[str, list[str]], text: str, expected: str
) -> None:
    tokenizer = minilm()
    units = UnitBatch.from_tokens(encode_texts([text], tokenizer))
    view = Replacement(related, Spelling(tokenizer)).apply(units, 1.0, keys(1), max_unit_tokens=9).to_tokens()
    assert view.tokens.tolist() == tokenizer.encode(expected, add_special_tokens=False).ids


def test_chinese_words_are_replaced(chinese: MemoryStore) -> None:
    text = chinese.tokenizer.encode(CHINESE[0])
    word = max(text.tokens, key=len)
    units = UnitBatch.from_tokens(chinese.batch(np.array([0])))
    view = (
        Replacement({word: ["京"]}, Spelling(chinese.tokenizer))
        .apply(units, 1.0, keys(1), max_unit_tokens=9)
        .to_tokens()
    )
    assert chinese.tokenizer.decode(view.tokens.tolist()).replace(" ", "") == CHINESE[0].replace(
        word, "京"
    ).replace("！", "!").replace("，", ",")


def test_rate_and_choice(english: MemoryStore) -> None:
    tokenizer = english.tokenizer
    units = UnitBatch.from_tokens(encode_texts(["fox " * 100] * 100, tokenizer))
    others = ["dog", "tree", "text", "work"]
    replaced = Replacement({"fox": others}, Spelling(tokenizer)).apply(
        units, 0.3, keys(100), max_unit_tokens=512
    )
    changed = replaced.ids != units.ids
    assert binomtest(int(changed.sum()), 10_000, 0.3).pvalue > 0.001
    new = replaced.pool.tokens[replaced.pool.starts[replaced.ids[changed]]]
    assert chisquare(np.unique(new, return_counts=True)[1]).pvalue > 0.001
    assert np.unique(new).size == 4


def test_dictionary_file_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "words.tsv"
    write_dictionary(RELATED, path)
    assert read_dictionary(path) == RELATED
    path.write_text("北京\t首都|京城\n\n北京\t燕京\n", encoding="utf-8")
    assert read_dictionary(path) == {"北京": ["首都", "京城", "燕京"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"word synonym\n", "line 1 of the dictionary"),
        (b"a\tb\nword\t |\n", "line 2 of the dictionary"),
        (b"word\tnoun\tsynonym\n", "line 1 of the dictionary"),
        (b"\xff\xfe", "cannot be read"),
        (b"\n", "holds no word"),
    ],
)
def test_bad_dictionaries_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "words.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_dictionary(path)


def test_a_missing_dictionary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_dictionary(tmp_path / "none.tsv")
