"""Units: nothing is lost on the way from tokens to units and back."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from tokenizers import Tokenizer

from llmagentos.tokens import TokenBatch, encode_texts
from llmagentos.views._units import UnitBatch, hash_spans

from .conftest import CHINESE, ENGLISH, batches, quick, ragged, rows, same, train


@quick
@given(batches)
def test_there_and_back_is_the_identity(batch: TokenBatch) -> None:
    assert same(UnitBatch.from_tokens(batch).to_tokens(), batch)


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "metaspace", "bytes"])
def test_identity_on_the_tokenizer_s_own_output(kind: str) -> None:
    texts = [*ENGLISH, *CHINESE, "", "naïve café 😀 a_b(c) don't"]
    tokenizer: Tokenizer = train(kind, ENGLISH + CHINESE)
    view = UnitBatch.from_tokens(encode_texts(texts, tokenizer)).to_tokens()
    assert rows(view) == [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def test_identity_on_real_text(real_texts: Callable[[str, int], list[str]]) -> None:
    texts = real_texts("corpus/techdocs/peps.jsonl.zst", 20)
    batch = encode_texts(texts, train("wordpiece", texts[:5], 1000))
    assert same(UnitBatch.from_tokens(batch).to_tokens(), batch)


def test_a_unit_that_no_view_could_hold_is_cut() -> None:
    batch = ragged([[[(4, True), (1, False)]], [[(2, False)]]])
    assert rows(UnitBatch.from_tokens(batch, max_unit_tokens=2).to_tokens()) == [[0, 1, 4], [5, 6]]


def test_equal_words_have_equal_names_and_others_not() -> None:
    tokens = np.array([1, 2, 1, 2, 2, 1, 3, 1], dtype=np.int32)
    names = hash_spans(tokens, np.array([0, 2, 4, 6, 7]), np.array([2, 2, 2, 1, 1]))
    assert names[0] == names[1]
    assert np.unique(names).size == 4
    many = np.arange(20_000, dtype=np.int32)
    assert np.unique(hash_spans(many, np.arange(19_999), np.full(19_999, 2))).size == 19_999


def test_new_spans_stand_for_old_units() -> None:
    units = UnitBatch.from_tokens(ragged([[[(1, False), (2, True)], [(1, False)]]]))
    pool = units.pool.extended(np.array([90, 91, 92], dtype=np.int32), np.array([1, 2]), np.array([2, 1]))
    ids = np.array([0, 4, 3])
    view = UnitBatch(pool=pool, ids=ids, places=ids, offsets=np.array([0, 3])).to_tokens()
    assert view.tokens.tolist() == [0, 91, 92, 90]
    assert view.flags.tolist() == [3, 5, 4, 3]
    again = pool.extended(np.array([93], dtype=np.int32), np.array([1]), np.array([4]))
    assert again.origins(np.arange(6)).tolist() == [0, 1, 2, 2, 1, 1]
