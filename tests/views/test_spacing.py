"""Words that have moved have the tokens that the tokenizer gives them in their new places."""

import re

import numpy as np
import pytest
from tokenizers import pre_tokenizers

from llmagentos.views import Views, ViewsConfig

from .conftest import MemoryStore, train

WRAPPED = [
    "The quick brown\nfox jumps over\n    the lazy dog and\nthe other one too",
    "We pay here.\nAnother sentence moves.\nThe lazy dog runs. Pods run.",
    "It's simple to go on. \nWe say that it's done. \n\nDon't wait",
]
TEXTS = [
    'The quick (brown) fox; it runs, and runs. So does a well-known "dog". Nobody else, none!',
    "One two (three) four five-six, seven. Eight nine",
    "对比学习 is good。模型 (model) 很好！",
]
CONFIGS = {
    "swap": ViewsConfig(preset="dropout", word_swap=0.8),
    "reorder": ViewsConfig(preset="dropout", sentence_reordering=1.0),
    "repeat": ViewsConfig(preset="dropout", repetition=0.5),
    "all three": ViewsConfig(preset="dropout", word_swap=0.5, sentence_reordering=1.0, repetition=0.3),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
@pytest.mark.parametrize("kind", ["bytes", "metaspace"])
def test_tokens_are_those_of_the_view_as_a_text(kind: str, config: ViewsConfig) -> None:
    tokenizer = train(kind, TEXTS, 330)
    store = MemoryStore(TEXTS, tokenizer)
    views = Views(store, config)
    wrong = 0
    for seed in range(20):
        batch = views.views(np.arange(len(TEXTS)), seed=seed, epoch=0, max_tokens=500)
        for view in (batch.a, batch.b):
            for begin, end in zip(view.offsets[:-1], view.offsets[1:], strict=True):
                tokens = view.tokens[begin:end].tolist()
                text = tokenizer.decode(tokens)
                assert "  " not in text and not any(
                    glued in text for glued in ("TheThe", "quickThe", "OneOne", "twoOne", "EightOne")
                )
                wrong += tokenizer.encode(text).ids != tokens
    # A piece of SentencePiece may hold punctuation and word, which are not cut anew when one of them moves.
    assert wrong <= (0 if kind == "bytes" else 40)


@pytest.mark.parametrize("prefix", [False, True])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_line_ends_stay_where_they_are(config: ViewsConfig, prefix: bool) -> None:
    tokenizer = train("bytes", WRAPPED, 330)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    views = Views(MemoryStore(WRAPPED, tokenizer), config)
    known = set(re.findall(r"\w+", " ".join(WRAPPED)))
    for seed in range(20):
        batch = views.views(np.arange(3), seed=seed, epoch=0, max_tokens=500)
        for row, (begin, end) in enumerate(zip(batch.a.offsets[:-1], batch.a.offsets[1:], strict=True)):
            tokens = batch.a.tokens[begin:end].tolist()
            text = tokenizer.decode(tokens)
            assert set(re.findall(r"\w+", text)) <= known, text
            assert text.count("\n") == WRAPPED[row].count("\n")
            assert tokenizer.encode(text).ids == tokens


@pytest.mark.parametrize("kind", ["bytes", "metaspace"])
def test_a_view_begins_as_a_text_does(kind: str) -> None:
    tokenizer = train(kind, TEXTS, 330)
    for config in (ViewsConfig(preset="span"), ViewsConfig(preset="dropout", word_deletion=0.6)):
        views = Views(MemoryStore(TEXTS[:2], tokenizer), config)
        for seed in range(20):
            batch = views.views(np.arange(2), seed=seed, epoch=0, max_tokens=500)
            for begin in batch.a.offsets[:-1]:
                first = str(tokenizer.id_to_token(batch.a.tokens[begin]))
                assert first.startswith("\u2581") if kind == "metaspace" else not first.startswith("\u0120")


def test_what_one_operation_does_does_not_depend_on_another_that_changes_nothing() -> None:
    texts = ["模型GPT 好"]
    store = MemoryStore(texts, train("metaspace", texts * 3, 60))
    related = {"型": ["天"]}
    alone = ViewsConfig(preset="dropout", word_replacement=1.0)
    both = ViewsConfig(preset="dropout", word_replacement=1.0, word_deletion=1e-12)
    found = [
        Views(store, config, related=related).views(np.arange(1), seed=0, epoch=0, max_tokens=50).a.tokens
        for config in (alone, both)
    ]
    assert found[0].tolist() == found[1].tolist()


def test_a_deletion_never_glues_two_words() -> None:
    tokenizer = train("bytes", TEXTS, 330)
    views = Views(MemoryStore(TEXTS, tokenizer), ViewsConfig(preset="dropout", word_deletion=0.5))
    known = "The quick brown fox it runs and So does a well known dog Nobody else none "
    known += "One two three four five six seven Eight nine"
    for seed in range(30):
        batch = views.views(np.arange(2), seed=seed, epoch=0, max_tokens=500)
        for begin, end in zip(batch.a.offsets[:-1], batch.a.offsets[1:], strict=True):
            words = tokenizer.decode(batch.a.tokens[begin:end].tolist())
            for mark in '();,.-"!':
                words = words.replace(mark, " ")
            assert set(words.split()) <= set(known.split())


def test_wordpiece_drops_and_adds_the_sign_that_a_word_goes_on() -> None:
    from ..tokens.conftest import minilm

    tokenizer = minilm()
    texts = ["ひらがな カタカナ"]
    views = Views(MemoryStore(texts, tokenizer), ViewsConfig(preset="dropout", word_swap=1.0))
    batch = views.views(np.zeros(50, dtype=np.int64), seed=1, epoch=0, max_tokens=50)
    first = {str(tokenizer.id_to_token(batch.a.tokens[begin])) for begin in batch.a.offsets[:-1]}
    assert not any(token.startswith("##") for token in first)
