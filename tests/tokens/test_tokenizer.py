"""Trained tokenizers: the same each time, whatever the order of the text, and of use on little text."""

import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from typing import Literal

import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from llmagentos.errors import ConfigError, InputError
from llmagentos.tokens import TokensConfig, _tokenizer, train_tokenizer

from .conftest import TEXTS, documents, read_texts, texts

Kind = Literal["unigram", "wordpiece"]
BOTH = pytest.mark.parametrize("kind", ["unigram", "wordpiece"])


def pieces(tokenizer: Tokenizer) -> list[str]:
    """The vocabulary by id."""
    vocabulary = tokenizer.get_vocab()
    return sorted(vocabulary, key=lambda piece: vocabulary[piece])


def words_of(given_texts: list[str]) -> Counter[str]:
    """The words as a tokenizer for other than Chinese text sees them."""
    return _tokenizer.counted_words(given_texts, _tokenizer.word_cutter())


@BOTH
def test_the_order_of_the_texts_does_not_matter(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tokenizer, "_SAMPLE_BYTES", 700)  # so that the sample is a part
    config = TokensConfig(kind=kind)
    orders = [TEXTS, TEXTS[::-1], sorted(TEXTS), [*TEXTS[5:], *TEXTS[:5]]]
    assert len({train_tokenizer(documents(order), config).to_str() for order in orders}) == 1


def test_every_process_makes_the_same_tokenizer() -> None:
    code = """
        import sys
        from llmagentos.corpus import Document
        from llmagentos.tokens import TokensConfig, train_tokenizer
        given = [Document(id=text, text=text) for text in sys.stdin.read().split("\\0")]
        for kind in ("unigram", "wordpiece"):
            print(train_tokenizer(given, TokensConfig(kind=kind)).to_str())
    """
    text = "\0".join(
        [*TEXTS, *(f"{a}{b}{c}" for a in "abc中文" for b in "defぁ" for c in ("ghi", "ing", "s"))]
    )
    results = []
    for seed, threads, parallel in (("0", "1", "false"), ("1", "3", "true"), ("2", "2", "true")):
        settings = {
            "PYTHONHASHSEED": seed,
            "RAYON_NUM_THREADS": threads,
            "TOKENIZERS_PARALLELISM": parallel,
        }
        command = [sys.executable, "-c", textwrap.dedent(code)]
        results.append(
            subprocess.run(
                command,
                input=text,
                text=True,
                capture_output=True,
                check=True,
                env={**os.environ, **settings},
            ).stdout
        )
    assert results[0] and results[0] == results[1] == results[2]


@BOTH
def test_what_is_trained(kind: Kind) -> None:
    tokenizer = train_tokenizer(
        documents([*TEXTS, "[brackets]"]), TokensConfig(kind=kind, vocabulary_size=700)
    )
    assert tokenizer.token_to_id("[UNK]") == 0
    assert sorted(tokenizer.get_vocab().values()) == list(range(tokenizer.get_vocab_size()))
    assert tokenizer.get_vocab_size() <= 700
    assert not tokenizer.get_added_tokens_decoder()
    assert tokenizer.truncation is None and tokenizer.padding is None and tokenizer.post_processor is None
    known = tokenizer.encode_batch(TEXTS)
    assert not any(0 in encoding.ids for encoding in known)
    assert tokenizer.encode("DOGS").ids == tokenizer.encode("dogs").ids
    assert tokenizer.encode("[UNK]").tokens[0] == "["


@BOTH
def test_a_character_that_was_never_seen_is_unknown(kind: Kind) -> None:
    tokenizer = train_tokenizer(documents(["only these letters"]), TokensConfig(kind=kind))
    assert tokenizer.encode("\u0416").ids == [0]


def test_a_long_clause_is_not_unknown() -> None:
    clause = "机器学习模型" * 40
    tokenizer = train_tokenizer(documents([clause, "学习机器"]), TokensConfig(kind="wordpiece"))
    assert 0 not in tokenizer.encode(clause[:300]).ids


def test_the_vocabulary_holds_all_characters_and_the_most_used_pieces() -> None:
    texts = ["running runner runs", "jumping jumper jumps", "walking walker walks"] * 3
    whole = train_tokenizer(documents(texts), TokensConfig())
    letters = set("".join(texts).replace(" ", ""))
    small = _tokenizer._train_unigram(words_of(texts), len(letters) + 4)
    assert letters <= set(small.get_vocab()) <= set(whole.get_vocab())
    assert small.get_vocab_size() == len(letters) + 4


def test_in_much_text_pieces_are_what_words_share(monkeypatch: pytest.MonkeyPatch) -> None:
    given = documents(["sunflower learning, learns learned"] * 19)
    few = train_tokenizer(given, TokensConfig())
    assert few.encode("sunflower").tokens == ["sunflower"]
    monkeypatch.setattr(_tokenizer, "_FEW_WORDS", 0)
    many = train_tokenizer(given, TokensConfig())
    assert "sunflower" not in many.get_vocab() and "learn" in many.get_vocab()
    given = documents(["sunflower learning, learns learned"] * 20)
    often = train_tokenizer(given, TokensConfig())
    assert often.encode("sunflower learning flower").tokens[:2] == ["sunflower", "learning"]


@pytest.mark.parametrize(("size", "least"), [(1_000, 0.25), (100_000, 0.65), (1_000_000, 0.75)])
def test_words_of_little_text_are_not_cut_into_letters(size: int, least: float) -> None:
    texts = read_texts("arxiv/train-cs.jsonl.zst", 1200)
    held, given, total = texts[:100], [], 0
    for text in texts[100:]:
        given.append(text[: size - total])
        total += len(given[-1])
        if total >= size:
            break
    tokenizer = train_tokenizer(documents(given), TokensConfig())
    words = [word for text in held for word in text.split() if word.isalpha() and len(word) > 1]
    whole = sum(len(encoding.ids) == 1 for encoding in tokenizer.encode_batch(words)) / len(words)
    assert whole > least


@pytest.mark.parametrize("text", ["a", "!", "中", "a" * 3000, "\u0301", "😀", "aa aa bb"])
@BOTH
def test_hardly_any_text(kind: Kind, text: str) -> None:
    tokenizer = train_tokenizer(documents([text]), TokensConfig(kind=kind))
    assert 0 not in tokenizer.encode(text[:300]).ids


@pytest.mark.parametrize("texts", [[], [""], [" ", "\n"]])
def test_no_text(texts: list[str]) -> None:
    with pytest.raises(InputError, match="no training text"):
        train_tokenizer(documents(texts), TokensConfig())


def test_fewer_entries_than_characters() -> None:
    text = "".join(chr(0xAC00 + number) for number in range(400))
    with pytest.raises(ConfigError, match=r"at least 402.*got 300.*tokens\.vocabulary_size"):
        train_tokenizer(documents([text]), TokensConfig(vocabulary_size=300))


def test_wordpiece_has_two_entries_for_a_character_and_keeps_its_bound() -> None:
    text = "".join(chr(0xAC00 + number) for number in range(400))
    message = r"at least 801, .* 400 different characters and 399 of them also inside words, got 800"
    with pytest.raises(ConfigError, match=message):
        train_tokenizer(documents([text]), TokensConfig(kind="wordpiece", vocabulary_size=800))
    config = TokensConfig(kind="wordpiece", vocabulary_size=801)
    assert train_tokenizer(documents([text]), config).get_vocab_size() <= 801


def test_the_vocabulary_is_chosen_by_script() -> None:
    english = _tokenizer._vocabulary_size(words_of(TEXTS[:2]), TokensConfig())
    chinese = _tokenizer._vocabulary_size(words_of([TEXTS[2]] * 9), TokensConfig())
    assert (english, chinese) == (30_000, 8_000)


def test_the_sample_is_the_texts_with_the_smallest_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tokenizer, "_SAMPLE_BYTES", 1000)
    texts = [f"{number:050d}" for number in range(500)]
    sample = _tokenizer.sampled_texts(documents(texts))
    assert len(sample) == 20
    assert sample == sorted(texts, key=lambda t: xxhash.xxh3_64_intdigest(t.encode()))[:20]
    assert _tokenizer.sampled_texts(documents(texts[::-1])) == sample
    monkeypatch.setattr(_tokenizer, "_SAMPLE_BYTES", 40_000)
    monkeypatch.setattr(_tokenizer, "_UNSPACED_SAMPLE_BYTES", 8_000)
    assert _tokenizer._cost_bytes("中" * 10) == 150


@settings(max_examples=25, deadline=None)
@given(st.lists(texts, min_size=1, max_size=5))
@example(["0\x1f"])
def test_any_text_can_be_learned(given_texts: list[str]) -> None:
    for kind in ("unigram", "wordpiece"):
        try:
            tokenizer = train_tokenizer(documents(given_texts), TokensConfig(kind=kind))
        except InputError:
            assert not any(text.strip() for text in given_texts)
            continue
        assert not any(0 in encoding.ids for encoding in tokenizer.encode_batch(given_texts))
        json.loads(tokenizer.to_str())
        assert pieces(tokenizer)[0] == "[UNK]"
