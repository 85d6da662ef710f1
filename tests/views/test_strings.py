"""Plain strings in, plain strings out: exact, pure, and sparing what is protected."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmagentos.errors import ConfigError, InputError
from llmagentos.tokens import split_words
from llmagentos.views import Views, ViewsConfig

from .conftest import CHINESE, ENGLISH, MemoryStore, quick, seeds

RELATED = {"fox": ["dog"], "text": ["written words"], "习": ["会"]}
EVERYTHING = ViewsConfig(
    preset="span",
    sentence_reordering=0.5,
    word_replacement=0.3,
    word_swap=0.3,
    word_deletion=0.3,
    repetition=0.3,
    character_noise=0.3,
    span_masking=0.2,
)
OFF = ViewsConfig(preset="dropout")
MIXED = [
    *ENGLISH,
    *CHINESE,
    "  Leading, and trailing \n\n",
    "tabs\tand\r\nline ends\u2028stay",
    "👩‍💻 e\u0301 مرحبا بالعالم, שלום! `x = f(1)` https://a.b/c?d=1 naïve don't 3.14 🇩🇪🇫🇷",
    "ไทยไม่มีช่องว่าง カタカナ と ひらがな 한국어 문장",
    "",
    " \n",
]


@quick
@given(texts=st.lists(st.text(max_size=80), min_size=1, max_size=5), seed=seeds)
def test_with_everything_off_a_text_comes_out_as_it_went_in(texts: list[str], seed: int) -> None:
    assert Views(texts, OFF).strings(seed=seed) == [(text, text) for text in texts]


def test_mixed_text_comes_out_as_it_went_in() -> None:
    assert [a for a, _ in Views(MIXED, OFF).strings()] == MIXED


def test_text_that_is_no_valid_unicode_survives() -> None:
    texts = ["a lone \ud800 surrogate, and more words behind it"]
    assert Views(texts, OFF).strings() == [(texts[0], texts[0])]
    Views(texts, EVERYTHING, related=RELATED).strings()


@quick
@given(seed=seeds, epoch=st.integers(0, 1000), order=st.permutations(range(len(MIXED))))
def test_views_do_not_depend_on_batch_or_order(seed: int, epoch: int, order: list[int]) -> None:
    views = Views(MIXED, EVERYTHING, related=RELATED)
    together = views.strings(order, seed=seed, epoch=epoch)
    assert [views.strings([place], seed=seed, epoch=epoch)[0] for place in order] == together
    assert Views(MIXED, EVERYTHING, related=RELATED).strings(order, seed=seed, epoch=epoch) == together


def test_epochs_seeds_and_the_two_views_differ() -> None:
    views = Views(ENGLISH[:2], EVERYTHING, related=RELATED)
    found = [text for s in (0, 1) for e in (0, 1) for pair in views.strings(seed=s, epoch=e) for text in pair]
    assert len(set(found)) == len(found)


texts_of_words = st.lists(
    st.sampled_from(["one", "two", "three,", "four.", "五六", "Seven!\n", "(8)"]), max_size=20
)


@quick
@given(words=texts_of_words, seed=seeds)
def test_moving_keeps_the_words_and_the_white_space(words: list[str], seed: int) -> None:
    text = " ".join(words)
    views = Views([text], ViewsConfig(preset="dropout", sentence_reordering=1.0, word_swap=0.7))
    for view in views.strings(seed=seed)[0]:
        assert Counter(_words(view)) == Counter(_words(text))
        if "五" not in text:  # where scripts mix, two words may meet and need a space
            assert Counter(re.findall(r"\s+", view)) == Counter(re.findall(r"\s+", text))


@quick
@given(words=texts_of_words, seed=seeds)
def test_swapping_leaves_the_white_space_where_it_is(words: list[str], seed: int) -> None:
    text = "  ".join(word for word in words if word != "五六")
    for view in Views([text], ViewsConfig(preset="dropout", word_swap=0.9)).strings(seed=seed)[0]:
        assert re.findall(r"\s+", view) == re.findall(r"\s+", text)


def _words(text: str) -> list[str]:
    batch = split_words([text])
    return [batch.source[a:b] for a, b in zip(batch.starts, batch.ends, strict=True)]


@quick
@given(words=texts_of_words, seed=seeds)
def test_deletion_keeps_order_and_empties_no_text(words: list[str], seed: int) -> None:
    text = " ".join(words)
    for view in Views([text], ViewsConfig(preset="dropout", word_deletion=0.9)).strings(seed=seed)[0]:
        rest = iter("".join(text.split()))
        assert all(char in rest for char in "".join(view.split()))
        assert bool(view.strip()) == bool(text.strip())


@quick
@given(seed=seeds)
def test_protected_words_survive_everything_but_the_crop(seed: int) -> None:
    protected = [
        "3.50",
        "http://a.org/x?y=1",
        "a.b@c.org",
        "`f(x)`",
        "not",
        "never",
        "don't",
        "2026",
        "Kubernetes",
    ]
    text = "Words " + " words and words ".join(protected) + " 我们不去，没有钱。"
    config = ViewsConfig(
        preset="dropout",
        word_replacement=1.0,
        word_deletion=0.9,
        repetition=0.5,
        character_noise=1.0,
        span_masking=0.5,
        word_swap=0.3,
    )
    related = {word: ["other"] for word in [*protected, "words"]}
    for view in Views([text], config, related=related, protect=["kubernetes"]).strings(seed=seed)[0]:
        for word in [*protected, "不", "没"]:
            parts = _words(word)
            assert Counter(_words(view)) >= Counter(parts), word


def test_sentences_move_whole_and_an_abbreviation_ends_none() -> None:
    text = "Ask Dr. Smith. He knows e.g. this. It rains!"
    views = Views([text], ViewsConfig(preset="dropout", sentence_reordering=1.0))
    found = {view for seed in range(40) for view in views.strings(seed=seed)[0]}
    parts = ["Ask Dr. Smith.", "He knows e.g. this.", "It rains!"]
    assert len(found) == 6
    assert all(all(part in view for part in parts) for view in found)


def test_a_word_said_twice_has_a_space_where_its_script_has_spaces() -> None:
    views = Views(["word", "字"], ViewsConfig(preset="dropout", repetition=1.0))
    assert views.strings() == [("word word", "word word"), ("字字", "字字")]


def test_noise_is_one_edit_with_letters_of_the_texts() -> None:
    texts = ["abba babab", "цвет", "東京"]
    views = Views(texts, ViewsConfig(preset="dropout", character_noise=1.0))
    found = [view for seed in range(50) for pair in views.strings(seed=seed) for view in pair]
    assert set("".join(found)) <= set("".join(texts)) | {" "}
    assert len(set(found)) > 30


def test_related_words_take_the_place_of_words() -> None:
    views = Views(
        ["The fox, a (fox)!", "学习"], ViewsConfig(preset="dropout", word_replacement=1.0), related=RELATED
    )
    assert views.strings() == [("The dog, a (dog)!", "The dog, a (dog)!"), ("学会", "学会")]


def test_crops_begin_and_end_with_a_word() -> None:
    views = Views(["  " + " ".join(map(str, range(100))) + "\n"], ViewsConfig(preset="crop"))
    for seed in range(20):
        for view in views.strings(seed=seed)[0]:
            numbers = [int(word) for word in view.split()]
            assert numbers == list(range(numbers[0], numbers[-1] + 1)) and 10 <= len(numbers) <= 50
            assert view.strip() == view or numbers[0] == 0 or numbers[-1] == 99


def test_the_longest_view_counts_characters_of_words() -> None:
    views = Views(["one two three four"], OFF)
    assert views.strings(max_characters=7)[0] == ("one two", "one two")
    assert views.strings(max_characters=2)[0] == ("on", "on")


def test_explanations_say_what_was_changed() -> None:
    views = Views(
        ["The fox runs.  It hides."], ViewsConfig(preset="dropout", word_replacement=1.0), related=RELATED
    )
    found, _ = views.explain(np.arange(1))[0]
    assert found.original == "The fox runs.  It hides."
    assert found.view == "The dog runs.  It hides."
    assert [(edit.unit, edit.before, edit.after) for edit in found.edits] == [(1, "fox", "dog")]


@quick
@given(seed=seeds)
def test_explanations_are_of_the_same_views(seed: int) -> None:
    views = Views(MIXED, EVERYTHING, related=RELATED)
    found = [(first.view, second.view) for first, second in views.explain(seed=seed)]
    assert found == views.strings(seed=seed)
    assert [first.original for first, _ in views.explain(seed=seed)] == MIXED


def test_noise_that_changes_nothing_is_no_edit() -> None:
    views = Views(["Words, 12 (and) more. 你 a!"], ViewsConfig(preset="dropout", character_noise=1.0))
    edits = [edit for seed in range(20) for first, _ in views.explain(seed=seed) for edit in first.edits]
    assert edits and all(edit.before != edit.after for edit in edits)


@quick
@given(seed=seeds)
def test_swapping_tears_nothing_protected_apart(seed: int) -> None:
    text = "Have a cup of coffee at https://example.com/x today or do not have it now"
    views = Views([text], ViewsConfig(preset="dropout", word_swap=1.0), protect=["cup of coffee"])
    for view in views.strings(seed=seed)[0]:
        assert "cup of coffee" in view and "https://example.com/x" in view
        assert view.split().index("not") == text.split().index("not")


def test_it_says_that_there_is_no_tokenizer() -> None:
    assert "plain strings, split by the built-in rule" in repr(Views(["a"], OFF))
    assert "the same text twice" in repr(Views(["a"], OFF))


def test_wrong_use_is_refused_with_the_way_out(english: MemoryStore) -> None:
    with pytest.raises(InputError, match=r"single string; put it into a list"):
        Views("a text")
    with pytest.raises(InputError, match="text 1 is NoneType"):
        Views(["a", None], OFF).strings()  # type: ignore[list-item]  # wrong on purpose
    with pytest.raises(InputError, match="there is no text 2; indices of these texts are 0 to 1"):
        Views(["a", "b"], OFF).strings([0, 2])
    with pytest.raises(ConfigError, match=r"plain strings and have no tokens; call strings\(\)"):
        Views(["a"], OFF).views(np.arange(1), seed=0, epoch=0, max_tokens=9)
    with pytest.raises(ConfigError, match=r"a token store are tokens; call views\(\)"):
        Views(english, OFF).strings()
    with pytest.raises(ConfigError, match="max_characters must be at least 1, got 0"):
        Views(["a"], OFF).strings(max_characters=0)
    with pytest.raises(InputError, match="views read texts by their place, which generator has not"):
        Views(text for text in ["a"])  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InputError, match="protect must be a list of words and phrases, got 'coffee'"):
        Views(["a"], protect="coffee")
    with pytest.raises(InputError, match="protect must be a list"):
        Views(["a"], protect=[" "])
    with pytest.raises(ConfigError, match="config must be a ViewsConfig, got 'seed'"):
        Views(["a"], "seed")  # type: ignore[arg-type]  # wrong on purpose
    for wrong in ([0.5], [True], 0, ["a"], [[0]]):
        with pytest.raises(InputError, match="indices must be a list of whole numbers"):
            Views(["a"], OFF).strings(wrong)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InputError, match="there is no text -1"):
        Views(["a"], OFF).explain([-1])
    with pytest.raises(ConfigError, match="give protect to build_store"):
        Views(english, OFF, protect=["fox"])


def test_no_texts_make_no_views() -> None:
    assert Views([], EVERYTHING, related=RELATED).strings() == []
