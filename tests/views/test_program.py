"""Chains, choices and bounds: who goes through what, as often as asked, whatever the batch."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from llmagentos.config import Config
from llmagentos.errors import ConfigError
from llmagentos.views import Amount, Chain, OneOf, Operation, SomeOf, Views, ViewsConfig
from llmagentos.views._operations import Bounds, drawn, mask_spans
from llmagentos.views._random import ragged_random

from .conftest import MemoryStore, keys, quick, seeds, words

DELETE, SWAP = Operation("word_deletion", 0.3), Operation("word_swap", 1.0)
REPEAT, REORDER = Operation("repetition", 1.0), Operation("sentence_reordering", 1.0)
TEXT = "one two three four five six seven eight. Nine ten eleven twelve."
N = 3000


def views_of(*links: Any, number: int = N) -> Views:
    return Views([TEXT] * number, ViewsConfig(preset="dropout", chain=links))


def changed(views: Views) -> tuple[np.ndarray, np.ndarray]:
    """Of each first view: whether words were said twice, and whether sentences changed places."""
    first = [a for a, _ in views.strings()]
    return np.array(["one one" in view for view in first]), np.array(
        [view.startswith("Nine") for view in first]
    )


def test_a_probability_is_the_share_of_texts() -> None:
    twice, _ = changed(views_of(Chain((REPEAT,), probability=0.3)))
    assert binomtest(int(twice.sum()), N, 0.3).pvalue > 0.001


def test_one_of_takes_exactly_one_by_weight() -> None:
    twice, moved = changed(views_of(OneOf((REPEAT, REORDER), weights=(3, 1))))
    assert not (twice & moved).any()
    assert binomtest(int(twice.sum()), N, 0.75).pvalue > 0.001
    assert binomtest(int(moved.sum()), N, 0.25 / 2).pvalue > 0.001  # half of the shuffles change nothing


def test_some_of_takes_as_many_as_it_says() -> None:
    links = (REPEAT, Operation("sentence_reordering", 0.0), Operation("word_swap", 0.0))
    twice, _ = changed(views_of(SomeOf(links, at_least=1, at_most=2)))
    assert binomtest(int(twice.sum()), N, 0.5).pvalue > 0.001  # (1 or 2) of 3
    twice, moved = changed(views_of(SomeOf((REPEAT, REORDER), at_least=2)))
    assert twice.all() and 0.4 < moved.mean() < 0.6
    twice, _ = changed(views_of(SomeOf((REPEAT,), at_least=0, at_most=0)))
    assert not twice.any()


def test_choices_of_the_two_views_and_of_neighbouring_texts_are_independent() -> None:
    pairs = views_of(OneOf((REPEAT, REORDER))).strings()
    a, b = (np.array(["one one" in pair[side] for pair in pairs]) for side in (0, 1))
    assert chisquare(np.bincount(2 * a + b, minlength=4)).pvalue > 0.001
    assert chisquare(np.bincount(2 * a[1:] + a[:-1], minlength=4)).pvalue > 0.001


links = st.recursive(
    st.sampled_from([DELETE, SWAP, REPEAT, REORDER, Operation("character_noise", Amount(0.2, 1, 3))]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: Chain(two, probability=0.5)),
        st.tuples(inner, inner).map(lambda two: OneOf(two, weights=(1.0, 3.0))),
        st.tuples(inner, inner).map(SomeOf),
    ),
    max_leaves=5,
)


@quick
@given(link=links, seed=seeds)
def test_any_chain_is_a_pure_function_of_the_text_s_place(link: Any, seed: int) -> None:
    views = views_of(link, number=9)
    together = views.strings(seed=seed)
    assert [views.strings([place], seed=seed)[0] for place in range(9)] == together
    assert all(a.strip() and b.strip() for a, b in together)


@quick
@given(link=links, seed=seeds)
def test_any_chain_on_tokens_is_explained(english: MemoryStore, link: Any, seed: int) -> None:
    views = Views(english, ViewsConfig(preset="dropout", chain=(link,)))
    batch = views.views(np.arange(4), seed=seed, epoch=0, max_tokens=90)
    for row, (first, _) in enumerate(views.explain(np.arange(4), seed=seed, max_tokens=90)):
        shown = "".join(piece.text for piece in first.pieces if piece.mark in ("kept", "moved", "added"))
        assert shown.replace(" ", "") == first.view.replace(" ", "")
        tokens = batch.a.tokens[batch.a.offsets[row] : batch.a.offsets[row + 1]].tolist()
        assert first.view.replace(" ", "") == english.tokenizer.decode(tokens).replace("##", "").replace(
            " ", ""
        )


def test_bounds_hold_and_the_rate_between_them() -> None:
    offsets = np.arange(0, 20_001, 20)
    random = ragged_random(keys(1000), offsets)
    count = np.diff(np.searchsorted(drawn(random, offsets, 0.1, Bounds(2, 3)), offsets))
    assert set(count.tolist()) == {2, 3}
    free = np.diff(np.searchsorted(drawn(random, offsets, 0.1, Bounds()), offsets))
    wide = np.diff(np.searchsorted(drawn(random, offsets, 0.1, Bounds(0, 20)), offsets))
    assert np.array_equal(free, wide)
    assert np.array_equal(count, np.clip(free, 2, 3))


def test_bounds_are_met_as_far_as_a_text_has_units() -> None:
    offsets = np.array([0, 1, 1, 4])
    eligible = np.array([True, False, True, False])
    places = drawn(ragged_random(keys(3), offsets), offsets, 0.0, Bounds(2), eligible.__getitem__)
    assert places.tolist() == [0, 2]


@pytest.mark.parametrize(
    "name", ["word_deletion", "repetition", "character_noise", "span_masking", "word_swap"]
)
def test_every_operation_keeps_its_bounds(name: Any) -> None:
    text = " ".join(chr(97 + k % 26) * (3 + k) for k in range(30))
    views = Views([text] * 200, ViewsConfig(preset="dropout", chain=(Operation(name, Amount(0.5, 4, 6)),)))
    for first, _ in views.explain(np.arange(200)):
        assert 4 <= len(first.edits) <= 6


def test_a_swap_with_bounds_finds_its_pairs_wherever_they_are() -> None:
    views = Views(["hello world"] * 99, ViewsConfig(preset="dropout", word_swap=Amount(0.0, at_least=2)))
    assert {first for first, _ in views.strings()} == {"world hello"}
    with pytest.raises(ConfigError, match="word_swap moves words in pairs"):
        ViewsConfig(preset="dropout", word_swap=Amount(0.5, 3, 3)).resolved()


def test_replacement_counts_only_words_that_have_related_words() -> None:
    config = ViewsConfig(preset="dropout", chain=(Operation("word_replacement", Amount(0.0, 2, 2)),))
    related = {word: ["other"] for word in ("two", "five", "eleven")}
    views = Views([TEXT] * 50, config, related=related)
    assert {first.count("other") for first, _ in views.strings()} == {2}


def test_span_masking_hides_the_share_asked_for_in_spans() -> None:
    text = " ".join(f"w{chr(97 + k // 26)}{chr(97 + k % 26)}" for k in range(400))
    views = Views([text] * 200, ViewsConfig(preset="dropout", span_masking=0.2))
    lengths: Counter[int] = Counter()
    kept = 0
    for first, _ in views.strings():
        words = first.split()
        kept += len(words)
        places = np.array([26 * (ord(word[1]) - 97) + ord(word[2]) - 97 for word in words])
        lengths.update((np.diff(places)[np.diff(places) > 1] - 1).tolist())
    assert abs(1 - kept / 80_000 - 0.2) < 0.01
    mean = sum(size * count for size, count in lengths.items()) / lengths.total()
    assert 3.8 < mean < 4.8  # 3.8 for one span; two that touch are one longer gap


@pytest.mark.parametrize("size", [4, 30])
@pytest.mark.parametrize("rate", [0.15, 0.8])
def test_the_share_that_is_masked_does_not_depend_on_the_length(rate: float, size: int) -> None:
    units = words(size, 4000)
    hidden = mask_spans(units, rate, keys(4000), mask_token=7).ids != units.ids
    per_place = hidden.reshape(4000, size).mean(axis=0)
    assert np.abs(per_place - rate).max() < 4 * np.sqrt(rate * (1 - rate) / 4000)


@pytest.mark.parametrize("chain", [(REPEAT, REPEAT), (REPEAT, Operation("character_noise", 0.5), REPEAT)])
def test_what_is_said_three_times_is_explained(english: MemoryStore, chain: tuple[Operation, ...]) -> None:
    views = Views(english, ViewsConfig(preset="dropout", chain=chain))
    for seed in range(10):
        for first, _ in views.explain(np.arange(4), seed=seed):
            shown = "".join(piece.text for piece in first.pieces if piece.mark in ("kept", "moved", "added"))
            assert shown.replace(" ", "") == first.view.replace(" ", "")
            assert {edit.operation for edit in first.edits} <= {"repetition", "character_noise"}


def test_span_masking_uses_the_mask_token_where_there_is_one() -> None:
    from ..tokens.conftest import minilm

    tokenizer = minilm()
    store = MemoryStore(["the model learns 3 useful features from unlabelled text"], tokenizer)
    views = Views(store, ViewsConfig(preset="dropout", span_masking=0.5))
    mask, plain = tokenizer.token_to_id("[MASK]"), store.batch(np.arange(1))
    batch = views.views(np.zeros(50, dtype=np.int64), seed=0, epoch=0, max_tokens=50)
    assert (batch.a.tokens == mask).any()
    rows = batch.a.tokens.reshape(-1, len(plain.tokens))  # as many tokens as before
    assert ((rows == plain.tokens) | (rows == mask)).all()
    protected = np.flatnonzero(plain.flags & 4)
    assert (rows[:, protected] == plain.tokens[protected]).all()
    found = {edit.after for first, _ in views.explain(np.arange(1)) for edit in first.edits}
    assert found <= {"[MASK]", "[MASK] [MASK]", "[MASK] [MASK] [MASK]"} and found


def test_a_chain_can_be_written_in_toml_and_read_back() -> None:
    text = """
    [views]
    preset = "span"
    chain = [
        { operation = "word_replacement", amount = { rate = 0.1, at_most = 5 } },
        { one_of = [
            { operation = "word_deletion", amount = 0.1 },
            { chain = [{ operation = "word_swap", amount = 0.2 }], probability = 0.5 },
        ], weights = [2, 1], probability = 0.5 },
        { some_of = [{ operation = "repetition", amount = 0.1 }], at_least = 0 },
    ]
    """
    config = Config.from_toml(text)
    assert config.views.chain is not None
    assert config.views.chain[0] == Operation("word_replacement", Amount(0.1, at_most=5))
    assert Config.from_toml(config.to_toml()) == config
    assert config.override(["views.crop_min=0.2"]).views.chain == config.views.chain


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "views.chain=[{operatio='word_swap'}]",
            "chain must be a table with operation, chain, one_of or some_of",
        ),
        ("views.chain=[{operation='word_swp', amount=0.1}]", "chain must be 'sentence_reordering', "),
        ("views.word_swap={rate=2}", "word_swap must be <= 1, got 2"),
        ("views.word_swap=1.5", "word_swap must be <= 1, got 1.5"),
        (
            "views.word_swap={rate=0.1, at_least=3, at_most=1}",
            "at_most must not be below at_least, got 1 and 3",
        ),
        ("views.chain=[{one_of=[]}]", "at least 1 item"),
        (
            "views.chain=[{one_of=[{operation='word_swap', amount=0.1}], weights=[1, 2]}]",
            r"weights of one_of must be 1 numbers >= 0",
        ),
        (
            "views.chain=[{some_of=[{operation='word_swap', amount=0.1}], at_least=2}]",
            "some_of needs 0 <= at_least <= at_most <= 1, got 2 and 1",
        ),
        (
            "views.word_deletion={rate=0.1, at_lest=2}",
            "word_deletion has no part at_lest; 0.05 to 0.3 is usual",
        ),
        ("views.chain=[{operation='word_swap'}]", "chain lacks its part amount; a list such as"),
        ("views.chain=[]", "at least 1 item"),
        (
            "views.chain=[{operation='word_swap', amount={rate=0.1, at_most=1}}]",
            "an even number > 0 must lie between",
        ),
    ],
)
def test_wrong_chains_are_refused_in_one_sentence(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config().override([setting])


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"views\.word_swap and views\.chain cannot both be given"):
        ViewsConfig(word_swap=0.1, chain=(DELETE,)).resolved()
    with pytest.raises(ConfigError, match="crop_relation is adjacent, but preset dropout takes no crops"):
        ViewsConfig(preset="dropout", crop_relation="adjacent").resolved()
