"""Retrieval metrics, and the ten best documents of every query without the whole score matrix.

A judge sorts each row of a (queries, documents) matrix. For a large corpus that matrix does not fit,
so scores are computed in blocks and only the best ten are kept; equal scores are ordered by the
document's position, exactly as a stable sort of the whole row would.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Scores = npt.NDArray[np.floating]

DEPTH = 10
# 16 M float32 scores: 64 MB a block.
_SCORES_AT_ONCE = 16_000_000
_QUERIES_AT_ONCE = 512


def top_documents(queries: Scores, documents: Scores, k: int = DEPTH) -> Ints:
    """Indices of the k documents with the highest inner product per query.

    Args:
        queries: shape (q, D), float32.
        documents: shape (n, D), float32.
        k: >= 1.

    Returns:
        shape (q, min(k, n)), best first; equal scores in the order of the documents.

    Examples:
        >>> top_documents(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)[[1, 0, 0]], k=2)
        array([[1, 2],
               [0, 1]])
    """
    found = []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        block = queries[start : start + _QUERIES_AT_ONCE]
        width = max(k, _SCORES_AT_ONCE // len(block))
        indices = np.empty((len(block), 0), dtype=np.int64)
        scores = np.empty((len(block), 0), dtype=np.float32)
        for first in range(0, len(documents), width):
            new = block @ documents[first : first + width].T
            top = top_of_rows(new, k)
            # Candidates so far stand first, and a stable sort keeps them first among equals.
            indices = np.concatenate([indices, top + first], axis=1)
            scores = np.concatenate([scores, np.take_along_axis(new, top, axis=1)], axis=1)
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            indices, scores = (
                np.take_along_axis(indices, order, axis=1),
                np.take_along_axis(scores, order, axis=1),
            )
        found.append(indices)
    return np.concatenate(found) if found else np.empty((0, min(k, len(documents))), dtype=np.int64)


def top_of_rows(scores: Scores, k: int = DEPTH) -> Ints:
    """`np.argsort(-scores, axis=1, kind="stable")[:, :k]` without sorting whole rows.

    Examples:
        >>> top_of_rows(np.array([[1.0, 3.0, 3.0, 2.0, 3.0]]), k=2)
        array([[1, 2]])
    """
    k = min(k, scores.shape[1])
    if k == scores.shape[1]:
        return np.argsort(-scores, axis=1, kind="stable").astype(np.int64)
    best = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    values = np.take_along_axis(scores, best, axis=1)
    # argpartition takes any of the documents that share the k-th score; a stable sort takes the first.
    last = values.min(axis=1)
    for row in np.flatnonzero((scores >= last[:, None]).sum(axis=1) > k):
        tied = np.flatnonzero(scores[row] >= last[row])
        best[row] = np.sort(tied[np.argsort(-scores[row, tied], kind="stable")[:k]])
        values[row] = scores[row, best[row]]
    return np.take_along_axis(best, np.argsort(-values, axis=1, kind="stable"), axis=1).astype(np.int64)


def rank_metrics(
    ranked: Ints, document_ids: Sequence[str], relevant: Sequence[Mapping[str, int]]
) -> dict[str, npt.NDArray[np.float64]]:
    """nDCG@10, MRR@10 and recall@10 of every query.

    nDCG = sum_i (2^g_i - 1) / log2(i + 1) over the ranks i = 1..10, divided by the same sum for the
    ideal order; MRR = 1 / rank of the first relevant document, 0 beyond rank 10; recall = relevant
    documents among the ten, divided by all relevant ones.

    Args:
        ranked: shape (q, <= 10), document indices, best first.
        document_ids: n ids, by index.
        relevant: q mappings from id to grade > 0, none empty.

    Returns:
        Three arrays of shape (q,), in [0, 1]; near 0 at chance.

    Source: Burges et al., ICML 2005 (exponential gain); Voorhees, TREC-8 (reciprocal rank).

    Examples:
        >>> found = rank_metrics(np.array([[1, 0]]), ["a", "b"], [{"a": 1}])
        >>> {name: round(float(values[0]), 3) for name, values in found.items()}
        {'ndcg@10': 0.631, 'mrr@10': 0.5, 'recall@10': 1.0}
    """
    width = ranked.shape[1]
    grades = np.array(
        [[judged.get(document_ids[j], 0) for j in row] for row, judged in zip(ranked, relevant, strict=True)],
        dtype=np.float64,
    ).reshape(len(relevant), width)
    discounts = 1 / np.log2(np.arange(DEPTH) + 2)
    ideal = np.zeros((len(relevant), DEPTH))
    for row, judged in enumerate(relevant):
        best = sorted(judged.values(), reverse=True)[:DEPTH]
        ideal[row, : len(best)] = best
    gained = ((2**grades - 1) * discounts[:width]).sum(axis=1)
    found = grades > 0
    first = np.argmax(found, axis=1)
    return {
        "ndcg@10": gained / ((2**ideal - 1) * discounts).sum(axis=1),
        "mrr@10": np.where(found.any(axis=1), 1 / (first + 1), 0.0),
        "recall@10": found.sum(axis=1) / np.array([len(judged) for judged in relevant]),
    }
