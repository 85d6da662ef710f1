"""Character noise: one edit, of a real word, in the language's own characters."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare
from tokenizers import Tokenizer

from llmagentos.tokens import PROTECTED, encode_texts
from llmagentos.views._noise import Misspelling, TokenMisspelling, add_character_noise
from llmagentos.views._spelling import Spelling
from llmagentos.views._units import UnitBatch

from ..tokens.conftest import minilm
from .conftest import CHINESE, ENGLISH, MemoryStore, keys, same, train


def words_of(units: UnitBatch, spelling: Spelling) -> list[str]:
    pool = units.pool
    read = [
        spelling.read(pool.tokens[pool.starts[k] : pool.starts[k] + pool.lengths[k]].tolist())
        for k in units.ids
    ]
    return ["" if found is None else found[1] for found in read]


def noisy_of(
    units: UnitBatch,
    rate: float,
    keys: np.ndarray,
    tokenizer: Tokenizer | None = None,
    max_unit_tokens: int = 512,
    misspelling: Misspelling | None = None,
) -> UnitBatch:
    if misspelling is None:
        assert tokenizer is not None
        misspelling = TokenMisspelling(Spelling(tokenizer))
    return add_character_noise(units, rate, keys, max_unit_tokens=max_unit_tokens, misspelling=misspelling)


def edit_of(before: str, after: str) -> str:
    """Which single edit makes one word of the other."""
    if len(after) == len(before) + 1:
        return "insert" if any(after[:k] + after[k + 1 :] == before for k in range(len(after))) else "other"
    if len(after) == len(before) - 1:
        return "delete" if any(before[:k] + before[k + 1 :] == after for k in range(len(before))) else "other"
    different = [k for k, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    if len(different) == 1:
        return "substitute"
    swapped = len(different) == 2 and [before[k] for k in different] == [after[k] for k in different[::-1]]
    return "transpose" if swapped and different[1] == different[0] + 1 else "other"


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "metaspace", "bytes"])
def test_each_changed_word_has_one_edit_and_every_kind_occurs(kind: str) -> None:
    tokenizer = train(kind, ENGLISH)
    texts = encode_texts(ENGLISH * 20, tokenizer)
    units = UnitBatch.from_tokens(texts)
    noisy = noisy_of(units, 1.0, keys(len(units)), tokenizer)
    spelling = Spelling(tokenizer)
    pairs = zip(words_of(units, spelling), words_of(noisy, spelling), strict=True)
    kinds = Counter(edit_of(before, after) for before, after in pairs if before != after)
    assert set(kinds) == {"insert", "delete", "substitute", "transpose"}
    assert min(kinds.values()) > 0.1 * kinds.total()
    # Only words are misspelt: punctuation, and what is protected, stays.
    changed = noisy.ids != units.ids
    assert not units.pool.protected(units.ids[changed]).any()
    assert all(any(c.isalpha() for c in words_of(units, spelling)[k]) for k in np.flatnonzero(changed)[:60])


def test_protected_units_survive(english: MemoryStore) -> None:
    texts = english.batch(np.arange(4))
    view = noisy_of(UnitBatch.from_tokens(texts), 1.0, keys(4), english.tokenizer).to_tokens()
    assert (texts.flags & PROTECTED).any()
    for batch in (texts, view):
        assert set(np.diff(batch.offsets) > 0) == {True}
    kept = texts.tokens[(texts.flags & PROTECTED) != 0]
    assert np.array_equal(view.tokens[(view.flags & PROTECTED) != 0], kept)


def test_chinese_noise_uses_chinese_characters(chinese: MemoryStore) -> None:
    texts = UnitBatch.from_tokens(chinese.batch(np.array([0, 1] * 10)))
    noisy = noisy_of(texts, 1.0, keys(20), chinese.tokenizer)
    words = "".join(words_of(noisy, Spelling(chinese.tokenizer)))
    assert (noisy.ids != texts.ids).mean() > 0.5
    assert {char for char in words if char.isalpha()} <= set("".join(CHINESE))


@pytest.mark.parametrize("text", ["中国人大小日本", "カタカナ テキスト", "a high speed train"])
def test_misspelt_words_have_the_tokens_that_the_tokenizer_gives_them(text: str) -> None:
    tokenizer = minilm()
    texts = UnitBatch.from_tokens(encode_texts([text] * 20, tokenizer))
    noisy = noisy_of(texts, 1.0, keys(20), tokenizer)
    spelling = Spelling(tokenizer)
    batch = noisy.to_tokens()
    for row in range(20):
        written = ""
        for span in noisy.ids[noisy.offsets[row] : noisy.offsets[row + 1]]:
            begin = noisy.pool.starts[span]
            read = spelling.read(noisy.pool.tokens[begin : begin + noisy.pool.lengths[span]].tolist())
            assert read is not None
            written += read[1] if read[0] else f" {read[1]}"
        tokens = batch.tokens[batch.offsets[row] : batch.offsets[row + 1]].tolist()
        assert tokenizer.encode(written, add_special_tokens=False).ids == tokens
    assert (noisy.ids != texts.ids).mean() > 0.5


def test_rate_is_the_share_of_words_that_change(english: MemoryStore) -> None:
    texts = UnitBatch.from_tokens(english.batch(np.zeros(800, dtype=np.int64)))
    changed = noisy_of(texts, 0.2, keys(800), english.tokenizer).ids != texts.ids
    # Which words can be misspelt at all (some misspellings have no tokens): a rate of one tells.
    always = noisy_of(texts, 1.0, keys(800), english.tokenizer).ids != texts.ids
    assert binomtest(int((changed & always).sum()), int(always.sum()), 0.2).pvalue > 0.001
    per_unit = (changed.reshape(800, -1).sum(axis=0), always.reshape(800, -1).mean(axis=0))
    tried = per_unit[0][per_unit[1] > 0.999]
    assert chisquare(tried).pvalue > 0.001


def test_a_warm_cache_changes_nothing(english: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = UnitBatch.from_tokens(english.batch(np.arange(4)))
    warm = TokenMisspelling(Spelling(english.tokenizer))
    for seed in range(5):
        noisy_of(texts, 0.7, keys(4, seed), misspelling=warm)
    monkeypatch.setattr("llmagentos.views._names._MOST_SPELLINGS", 3)
    cold = TokenMisspelling(Spelling(english.tokenizer))
    for seed in range(5):
        first = noisy_of(texts, 0.7, keys(4, seed), misspelling=warm).to_tokens()
        assert same(noisy_of(texts, 0.7, keys(4, seed), misspelling=cold).to_tokens(), first)


def test_misspellings_that_are_too_long_are_not_used(english: MemoryStore) -> None:
    texts = UnitBatch.from_tokens(english.batch(np.arange(4)), max_unit_tokens=1)
    noisy = noisy_of(texts, 1.0, keys(4), english.tokenizer, max_unit_tokens=1)
    assert noisy.pool.lengths.max() == 1
