"""Vectors of tokens from what stands near them: PPMI and a truncated SVD, no training.

    PPMI(w, c) = max(0, log(p(w, c) / (p(w) q(c)))),    q(c) proportional to count(c)^0.75
    U S V^T = PPMI;    vectors = U S^0.5

Tokens that stand in the same surroundings get like vectors, also rare ones, which a run of some minutes
meets too seldom to learn them from nothing.

Source: Levy and Goldberg 2014, "Neural word embedding as implicit matrix factorization" (PPMI and SVD); Levy,
Goldberg and Dagan 2015, "Improving distributional similarity" (the power 0.75, which lifts the share of rare
contexts that PMI would otherwise favour; the square root of S).
"""

from collections.abc import Iterator
from math import gcd
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from llmagentos.tokens._batch import TokenBatch, concatenated

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["TokenSource", "cooccurrence_vectors", "ppmi", "scattered"]

# On each side, within a text. With 10 untrained vectors lost 0.9 of 10-NN on Banking77 and 0.6 on CLINC150.
_WINDOW: Final = 5
_DIMENSIONS: Final = 300
# More tell little that is new: counting 19 M took 12 s of a core and 0.4 GB, and the decomposition 14 s.
_MOST_TOKENS: Final = 20_000_000
# Adding to all counts takes as long for a few as for many.
_TOKENS_AT_ONCE: Final = 1_000_000
_CHUNK: Final = 1_024


class TokenSource(Protocol):
    """What is read of a `TokenStore`, or of plain strings."""

    @property
    def num_documents(self) -> int:
        """How many texts."""

    def batch(self, indices: Int64[np.ndarray, " B"]) -> TokenBatch:
        """The texts at `indices`."""


def cooccurrence_vectors(
    source: TokenSource, vocabulary_size: int, *, dimension: int = _DIMENSIONS
) -> Float32[np.ndarray, "V k"]:
    """Vectors of tokens from the five tokens before and behind them.

    The first direction is left out: it says how frequent a token is.

    Args:
        source: texts; of very many, some 20 million tokens are read.
        vocabulary_size: V, above every token.
        dimension: k, less where the vocabulary is smaller.

    Returns:
        float32 (V, k), rows of length 1, or 0 for tokens that were not seen beside another. The same texts
        give the same, but for the last bits with another number of threads.

    Example:
        >>> class Texts:
        ...     num_documents = 2
        ...     def batch(self, indices):
        ...         tokens = np.array([[0, 1], [0, 2]])[indices].ravel().astype(np.int32)
        ...         flags = np.zeros(tokens.size, np.uint8)
        ...         return TokenBatch(tokens=tokens, offsets=np.arange(0, tokens.size + 1, 2), flags=flags)
        >>> vectors = cooccurrence_vectors(Texts(), 4, dimension=2)
        >>> vectors.shape, vectors[3].tolist()
        ((4, 2), [0.0, 0.0])
    """
    # scipy.sparse and scikit-learn take half a second to import, and only this function needs them.
    from scipy.sparse import coo_array, csr_array
    from sklearn.decomposition import TruncatedSVD

    shape = (vocabulary_size, vocabulary_size)
    counts: Any = csr_array(shape, dtype=np.float32)
    for batch in _large_batches(source):
        texts = np.repeat(np.arange(len(batch.lengths)), batch.lengths)
        together = [texts[distance:] == texts[:-distance] for distance in range(1, _WINDOW + 1)]
        left = np.concatenate([batch.tokens[: len(same)][same] for same in together])
        right = np.concatenate([batch.tokens[len(texts) - len(same) :][same] for same in together])
        counts += coo_array((np.ones(left.size, np.float32), (left, right)), shape=shape).tocsr()
    vectors = np.zeros((vocabulary_size, min(dimension, vocabulary_size - 1)), np.float32)
    if counts.nnz == 0 or vectors.shape[1] < 1:
        return vectors
    matrix = ppmi((counts + counts.T).tocsr())
    decomposition = TruncatedSVD(vectors.shape[1] + 1, n_iter=2, random_state=0)
    scaled = decomposition.fit_transform(matrix)  # U S
    vectors[:] = (scaled / np.sqrt(np.maximum(decomposition.singular_values_, 1e-12)))[:, 1:]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.where(lengths > 1e-6, vectors / np.maximum(lengths, 1e-6), 0.0)
    return unit.astype(np.float32)


def _large_batches(source: TokenSource) -> Iterator[TokenBatch]:
    """The first 20 million tokens, a million at a time."""
    waiting: list[TokenBatch] = []
    num_waiting = read = 0
    for batch in scattered(source):
        waiting.append(batch)
        num_waiting += len(batch.tokens)
        read += len(batch.tokens)
        if num_waiting >= _TOKENS_AT_ONCE:
            yield concatenated(waiting)
            waiting, num_waiting = [], 0
        if read >= _MOST_TOKENS:
            break
    if waiting:
        yield concatenated(waiting)


def scattered(source: TokenSource) -> Iterator[TokenBatch]:
    """All texts in a fixed scattered order (an affine permutation), so that the first stand for all.

    Args:
        source: the texts.

    Yields:
        Batches of up to 1,024 texts.
    """
    total = source.num_documents
    step = max(1, int(total * 0.6180339887))
    while gcd(step, total) != 1 and step > 1:
        step -= 1
    for first in range(0, total, _CHUNK):
        yield source.batch(np.arange(first, min(first + _CHUNK, total)) * step % total)


def ppmi(counts: "csr_array") -> "csr_array":
    """Positive pointwise mutual information of rows with columns.

    Args:
        counts: (V, C), how often each word stood in each context.

    Returns:
        (V, C), 0 where a pair is as frequent as chance or less.
    """
    counts.sum_duplicates()
    of_word = np.asarray(counts.sum(axis=1)).ravel()
    of_context = np.asarray(counts.sum(axis=0)).ravel() ** 0.75
    share = of_context / max(float(of_context.sum()), 1.0)
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    values = np.log(counts.data / (of_word[rows] * share[counts.indices]))
    found = counts.copy()
    found.data = np.maximum(values, 0.0)
    found.eliminate_zeros()
    return found
