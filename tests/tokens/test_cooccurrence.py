"""Vectors of tokens from their neighbours, beside the formula in plain numpy."""

import math

import numpy as np
import pytest
from scipy.sparse import csr_array

from llmagentos.tokens import TokenBatch, cooccurrence_vectors, ppmi, scattered


class Texts:
    """Texts of token ids."""

    def __init__(self, texts: list[list[int]]) -> None:
        self._texts = texts
        self.num_documents = len(texts)

    def batch(self, indices: np.ndarray) -> TokenBatch:
        chosen = [self._texts[index] for index in indices.tolist()]
        tokens = np.array([token for text in chosen for token in text], np.int32)
        offsets = np.cumsum([0, *map(len, chosen)])
        return TokenBatch(tokens=tokens, offsets=offsets, flags=np.zeros(tokens.size, np.uint8))


def test_ppmi_is_that_of_the_papers() -> None:
    counts = np.array([[4.0, 0.0, 1.0], [1.0, 3.0, 0.0]])
    found = ppmi(csr_array(counts)).toarray()
    q = counts.sum(axis=0) ** 0.75 / (counts.sum(axis=0) ** 0.75).sum()
    for word in range(2):
        for context in range(3):
            p = counts[word, context] / counts[word].sum()
            expected = max(0.0, math.log(p / q[context])) if p else 0.0
            assert found[word, context] == pytest.approx(expected, rel=1e-6)


def test_vectors_are_the_decomposition_of_what_stands_near() -> None:
    generator = np.random.default_rng(0)
    texts = [generator.integers(0, 12, size).tolist() for size in generator.integers(1, 30, 200)]
    counts = np.zeros((13, 13))  # token 12 is never seen
    for text in texts:
        for place, token in enumerate(text):
            for other in text[max(0, place - 5) : place] + text[place + 1 : place + 6]:
                counts[token, other] += 1
    left, values, _ = np.linalg.svd(ppmi(csr_array(counts)).toarray())
    expected = (left * np.sqrt(values))[:, 1:5]
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-6)
    found = cooccurrence_vectors(Texts(texts), 13, dimension=4)
    assert found.dtype == np.float32 and found.shape == (13, 4)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=0.02)
    assert not found[12].any()
    assert np.array_equal(found, cooccurrence_vectors(Texts(texts), 13, dimension=4))


def test_words_of_like_surroundings_are_near() -> None:
    generator = np.random.default_rng(1)
    # 0 and 1 stand among 2 to 9, 10 and 11 among 12 to 19.
    texts = [
        [int(generator.choice(word)), *generator.choice(others, 4).tolist()]
        for word, others in [([0, 1], range(2, 10)), ([10, 11], range(12, 20))] * 300
    ]
    found = cooccurrence_vectors(Texts(texts), 20, dimension=3)
    assert found[0] @ found[1] > 0.9 > found[0] @ found[10]


def test_texts_of_one_token_have_no_neighbours() -> None:
    cases: list[list[list[int]]] = [[[0], [1], []], [[0], []], [[]]]
    for texts in cases:
        assert not cooccurrence_vectors(Texts(texts), 2).any()


def test_scattered_gives_each_text_once() -> None:
    texts = [[number] for number in range(5_000)]
    seen = [token for batch in scattered(Texts(texts)) for token in batch.tokens.tolist()]
    assert sorted(seen) == list(range(5_000))
    assert abs(np.mean(seen[:100]) - 2_500) < 300
