import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from llmagentos.evaluation import _ranking
from llmagentos.evaluation._ranking import rank_metrics, top_documents, top_of_rows

few_values = st.integers(-2, 2)
matrices = st.integers(1, 40).flatmap(
    lambda width: st.lists(st.lists(few_values, min_size=width, max_size=width), min_size=1, max_size=5)
)


@given(matrices, st.integers(1, 12))
def test_top_of_rows_is_a_stable_sort(rows: list[list[int]], k: int) -> None:
    scores = np.array(rows, dtype=np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(top_of_rows(scores, k), expected)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 9))
def test_blocks_change_nothing(seed: int, num_documents: int, num_queries: int) -> None:
    rng = np.random.default_rng(seed)
    # Small whole numbers: many ties, and every inner product is exact in any order.
    queries = rng.integers(-1, 2, size=(num_queries, 3)).astype(np.float32)
    documents = rng.integers(-1, 2, size=(num_documents, 3)).astype(np.float32)
    expected = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :10]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ranking, "_SCORES_AT_ONCE", 24)
        patch.setattr(_ranking, "_QUERIES_AT_ONCE", 2)
        np.testing.assert_array_equal(top_documents(queries, documents), expected)


def test_metrics_are_those_of_a_plain_loop_and_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    ids = [str(i) for i in range(30)]
    scores = rng.normal(size=(20, 30))
    grades = [{str(i): int(g) for i, g in enumerate(rng.integers(0, 4, 30)) if g > 0} for _ in range(20)]
    found = rank_metrics(top_of_rows(scores), ids, grades)
    for row, judged in enumerate(grades):
        order = sorted(range(30), key=lambda j: (-scores[row, j], j))[:10]
        first = next((1 / (rank + 1) for rank, j in enumerate(order) if str(j) in judged), 0.0)
        hits = sum(str(j) in judged for j in order) / len(judged)
        gains = np.array([2.0 ** judged.get(one, 0) - 1 for one in ids])
        assert found["mrr@10"][row] == pytest.approx(first)
        assert found["recall@10"][row] == pytest.approx(hits)
        assert found["ndcg@10"][row] == pytest.approx(ndcg_score([gains], [scores[row]], k=10))


def test_closed_forms() -> None:
    ranked = np.array([[0, 1, 2], [2, 1, 0], [1, 2, 3]])
    found = rank_metrics(ranked, ["a", "b", "c", "d"], [{"a": 1}, {"a": 3}, {"a": 1, "lost": 2}])
    np.testing.assert_allclose(found["ndcg@10"], [1, 1 / math.log2(4), 0])
    np.testing.assert_allclose(found["mrr@10"], [1, 1 / 3, 0])
    np.testing.assert_allclose(found["recall@10"], [1, 1, 0])


def test_what_was_judged_but_lost_counts_against() -> None:
    found = rank_metrics(np.array([[0]]), ["a"], [{"a": 1, "lost": 1}])
    assert found["recall@10"][0] == 0.5
    assert found["ndcg@10"][0] == pytest.approx(1 / (1 + 1 / math.log2(3)))
