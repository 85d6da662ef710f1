"""Scores by hand, beside scikit-learn and beside the independent judge."""

import importlib.util
import json
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from benchmarks._provenance import DATA, JUDGE
from benchmarks._tasks import retrieval, sts
from benchmarks._texts import read_rows
from benchmarks.learning._kept import Kept
from benchmarks.learning._methods import Bm25, Tfidf, of_model, of_words
from benchmarks.learning._score import draw, score, svm_floor, vote
from benchmarks.learning._split import LabelledTask, NeighbourTask
from llmagentos.evaluation import STSTask

TEXTS = ["a red cat", "a red dog and a cat", "blue skies", "the sea is blue", "red", ""]


class Letters:
    """The counts of letters."""

    def encode(self, texts: list[str], /) -> npt.NDArray[np.float32]:
        return np.array([[text.count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts], np.float32)


@pytest.mark.parametrize("analyzer", ["word", "char"])
def test_tfidf_is_scikit_learns_where_the_corpus_is_the_texts(analyzer: Literal["word", "char"]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    expected = TfidfVectorizer(sublinear_tf=True, analyzer=analyzer).fit_transform(TEXTS).toarray()
    found = Tfidf(TEXTS, analyzer).vectors(TEXTS).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_words_that_the_corpus_lacks_weigh_most() -> None:
    found = of_words(["red cat", "red dog"]).similarities(["red zebra"], ["red", "zebra"])
    assert found[0, 1] > found[0, 0]


def test_ten_nearest_vote_and_ties_go_to_the_nearest() -> None:
    labels = list("abbaabbbaac")
    falling = -np.arange(11.0)[None]
    assert vote(falling, labels) == ["a"]  # 5 and 5 of the first ten
    assert vote(falling, ["b", *labels[1:]]) == ["b"]
    assert vote(falling[:, ::-1], labels, k=1) == ["c"]
    assert vote(np.zeros((1, 3)), ["b", "a", "a"], k=2) == ["b"]  # as near: the first in order


def test_a_text_does_not_vote_for_itself() -> None:
    task = NeighbourTask(name="", texts=("aa", "ab", "b", "bc"), labels=("x", "x", "y", "y"))
    found = score(of_model(Letters(), "letters"), {"knn": task})["knn"]
    # With three others, of which two have the other label, every vote is wrong.
    assert found.values.tolist() == [0.0] * 4


def test_sentence_pairs_by_scipy() -> None:
    task = STSTask(
        name="", source="", left=("cat", "dog", "sea"), right=("act", "god x", "zoo"), gold=(5, 4, 0)
    )
    model = of_model(Letters(), "letters")
    found = score(model, {"sts": task})["sts"]
    cosines = model.of_pairs(task.left, task.right)
    assert found.value == pytest.approx(100 * spearmanr(cosines, task.gold).statistic)
    assert found.over(found).value == 0


def test_labels_in_three_ways() -> None:
    texts = tuple(f"{kind * 5} {n}" for kind in "abc" for n in "defghijklmn")
    labels = tuple(text[0] for text in texts)
    for way in ("neighbours", "few", "all"):
        task = LabelledTask(
            name="", way=way, train_texts=texts, train_labels=labels, texts=("aaa", "c"), labels=("a", "b")
        )
        assert score(of_model(Letters(), "letters"), {"x": task})["x"].values.tolist() == [1.0, 0.0]
        assert score(of_words(texts, "char"), {"x": task})["x"].values.tolist() == [1.0, 0.0]
    words = LabelledTask(
        name="", way="all",
        train_texts=("red cat", "red", "sea", "blue sea"), train_labels=("r", "r", "s", "s"),
        texts=("red", "a sea"), labels=("r", "s"),
    )  # fmt: skip
    assert svm_floor(words).value == 100


def test_draws_are_balanced_and_repeat() -> None:
    labels = ["x"] * 20 + ["y"] * 3
    found = draw(labels, 1)
    assert found == draw(labels, 1) != draw(labels, 2)
    assert [labels[place] for place in found] == ["x"] * 5 + ["y"] * 3 and len(set(found)) == 8


def test_kept_vectors_are_made_once(tmp_path: Path) -> None:
    calls = []

    class Counting(Letters):
        def encode(self, texts: list[str], /) -> npt.NDArray[np.float32]:
            calls.append(texts)
            return super().encode(texts)

    kept = Kept(Counting(), tmp_path)
    expected = Letters().encode(["b", "a", "b"])
    np.testing.assert_array_equal(kept.encode(["b", "a", "b"]), expected)
    kept.encode(["a", "c"])
    np.testing.assert_array_equal(Kept(Counting(), tmp_path).encode(["b", "a", "b", "c"])[:3], expected)
    assert calls == [["b", "a"], ["c"]]


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not on this machine")
def test_halves_of_the_chinese_pairs() -> None:
    odd, even = (sts("eval/sts_zh/lcqmc-dev.tsv", rows) for rows in ("odd", "even"))
    assert len(odd.gold) == len(even.gold) == 4_401
    assert odd.left[0] == "开初婚未育证明怎么弄？" and even.left[0] == "谁知道她是网络美女吗？"


@pytest.mark.skipif(not DATA.exists() or not JUDGE.exists(), reason="../shared is not on this machine")
def test_the_judge_agrees_on_titles(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("judge", JUDGE)
    assert spec is not None and spec.loader is not None
    judge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judge)
    rows = list(islice(read_rows("corpus/arxiv/stream2019-cs.jsonl.zst"), 300))
    path = tmp_path / "papers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = retrieval("titles", [(row["title"], row["text"]) for row in rows])
    for method, theirs in ((Bm25(), judge.Bm25()), (of_words(task.documents), judge.Tfidf())):
        expected = judge.title(theirs, path, 0)["mrr@10"]
        assert score(method, {"titles": task})["titles"].value == pytest.approx(expected, abs=0.01)
