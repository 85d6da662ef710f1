"""Related words from the corpus: right on a language made for it, sensible on real text."""

from collections.abc import Callable

import numpy as np
import pytest

from llmagentos.errors import InputError
from llmagentos.tokens import PROTECTED, encode_texts
from llmagentos.views import Spelling, ViewsConfig, learn_related_words
from llmagentos.views._source import StringSource

from .conftest import MemoryStore, train


def made_up_texts(sentences: int = 4000) -> list[str]:
    """Subject, verb, object, where the words of a pair stand in the same places."""
    random = np.random.default_rng(0)
    pairs = {
        "{animal}": ["cat", "dog"],
        "{eats}": ["eats", "bites"],
        "{food}": ["meat", "bone"],
        "{city}": ["paris", "london"],
        "{has}": ["has", "owns"],
        "{thing}": ["towers", "bridges"],
    }
    templates = ["the {animal} {eats} not a {food} of 7", "near {city} one {has} many {thing} today"]
    texts = []
    for _ in range(sentences):
        text = templates[random.integers(2)]
        for name, words in pairs.items():
            text = text.replace(name, words[random.integers(2)])
        texts.append(text)
    return texts


def made_up_store(sentences: int = 4000) -> MemoryStore:
    texts = made_up_texts(sentences)
    return MemoryStore(texts, train("wordpiece", texts[:100], 300))


def test_words_that_stand_in_the_same_places_are_related() -> None:
    store = made_up_store()
    related = learn_related_words(store, Spelling(store.tokenizer), min_words=1000)
    for left, right in [("cat", "dog"), ("paris", "london"), ("meat", "bone"), ("towers", "bridges")]:
        assert related[left][0] == right
        assert related[right][0] == left
    assert "not" not in related and "7" not in related
    assert all("not" not in others and "7" not in others for others in related.values())
    assert all(word in related[other] for word, others in related.items() for other in others)
    assert learn_related_words(store, Spelling(store.tokenizer), min_words=1000) == related


def test_a_word_that_stands_in_code_once_is_a_related_word() -> None:
    store = made_up_store()
    units = encode_texts(["meat `meat`"], store.tokenizer).flags & PROTECTED
    assert units.any() and not units.all()
    texts = ["the cat eats not a `meat` of 7", *made_up_texts()]
    in_code = MemoryStore(texts, store.tokenizer)
    assert learn_related_words(in_code, Spelling(store.tokenizer), min_words=1000)["meat"] == ["bone"]


def test_protected_words_of_plain_strings_are_no_related_words() -> None:
    texts = [text.replace("dog", "not") for text in made_up_texts()]
    recipe = ViewsConfig(preset="dropout", word_replacement=0.1).resolved()
    source = StringSource(texts, recipe, protect=["paris"])
    related = learn_related_words(source, source.spelling, min_words=1000)
    known = {*related, *(word for words in related.values() for word in words)}
    assert {"meat", "bone", "towers", "bridges"} <= known
    assert not known & {"not", "paris", "7"}


def test_a_small_corpus_is_refused(english: MemoryStore) -> None:
    message = r"at least 1,000,000 words, this one has \d+; give more text \(for train and views you can also"
    with pytest.raises(InputError, match=message):
        learn_related_words(english, Spelling(english.tokenizer))


def test_reading_stops_at_the_most_words() -> None:
    with pytest.raises(InputError, match="this one has"):
        store = made_up_store(200)
        learn_related_words(store, Spelling(store.tokenizer), min_words=10**6, max_words=100)


def test_on_real_text(real_texts: Callable[[str, int], list[str]]) -> None:
    texts = real_texts("corpus/arxiv/train-cs.jsonl.zst", 3000)
    tokenizer = train("wordpiece", texts[:300], 8000)
    related = learn_related_words(MemoryStore(texts, tokenizer), Spelling(tokenizer), min_words=100_000)
    assert "shows" in related["show"] or "demonstrate" in related["show"]
    assert len(related) > 500
