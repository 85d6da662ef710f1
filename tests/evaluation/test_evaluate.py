import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from llmagentos.errors import InputError, ModelError
from llmagentos.evaluation import ClassificationTask, Encodes, RetrievalTask, STSTask, evaluate

STS = STSTask(
    name="pairs",
    source="-",
    left=("aab", "abc", "xyz", "hello", "world", "cat"),
    right=("aab", "abd", "abc", "hella", "qqqqq", "dog"),
    gold=(5, 3, 0, 4, 1, 0),
)
RETRIEVAL = RetrievalTask(
    name="search",
    source="-",
    queries=("aaa b", "zzz y"),
    documents=("a b", "z y", "q"),
    document_ids=("a", "z", "q"),
    relevant=({"a": 2}, {"z": 1}),
)
CLASSES = ClassificationTask(
    name="kinds",
    source="-",
    labels=("vowels",) * 10 + ("consonants",) * 10,
    texts=tuple("aeiou"[i % 5] * (i + 1) for i in range(10))
    + tuple("bcdfg"[i % 5] * (i + 1) for i in range(10)),
)


class Constant:
    """What a collapsed model gives."""

    def encode(self, texts: list[str], /) -> npt.NDArray[np.float64]:
        return np.ones((len(texts), 4))


class Broken:
    """A model whose output has the wrong shape or values."""

    def __init__(self, vectors: npt.NDArray[np.float64]) -> None:
        self.vectors = vectors

    def encode(self, texts: list[str], /) -> npt.NDArray[np.float64]:
        return self.vectors


def test_scores_of_all_kinds(letters: Encodes) -> None:
    report = evaluate(letters, [RETRIEVAL, STS, CLASSES], label="letters")
    search, pairs, kinds = report.results
    assert search.metrics == ("ndcg@10", "mrr@10", "recall@10") and search.score("ndcg@10").value == 100
    assert search.score("ndcg@10").low == search.score("ndcg@10").high == 100
    assert pairs.metrics == ("spearman",)
    assert pairs.score("spearman").low <= pairs.score("spearman").value <= pairs.score("spearman").high
    assert kinds.metrics == ("accuracy", "v_measure")
    assert (search.size, pairs.size, kinds.size) == (
        "2 queries, 3 documents",
        "6 pairs",
        "20 texts, 2 labels",
    )


def test_intervals_of_labels_stay_within_their_range(letters: Encodes) -> None:
    # 23 texts: folds of different sizes, whose texts weigh differently.
    labels = ("vowels",) * 12 + ("consonants",) * 11
    texts = tuple("a" * (i + 1) for i in range(12)) + tuple("b" * (i + 1) for i in range(11))
    task = ClassificationTask(name="easy", source="-", labels=labels, texts=texts)
    for score in evaluate(letters, [task]).results[0].scores:
        assert [score.value, score.low, score.high] == pytest.approx([100, 100, 100])
    mixed = tuple("ab"[i % 3 == 0] * (i % 4 + 1) for i in range(23))
    for score in evaluate(letters, [replace(task, texts=mixed)]).results[0].scores:
        assert 0 <= score.low <= score.value <= score.high <= 100


def test_bm25_says_where_it_has_no_score(letters: Encodes) -> None:
    search, pairs = evaluate(letters, [RETRIEVAL, STS], baselines=["bm25", "tfidf"]).results
    assert search.notes == ()
    assert pairs.notes == ("bm25 ranks documents; it has no score here",)


def test_a_collapsed_model_scores_as_at_chance() -> None:
    report = evaluate(Constant(), [STS, CLASSES])
    assert report.result("pairs").score("spearman").value == 0
    assert report.result("kinds").score("accuracy").value == 50
    assert report.result("kinds").score("v_measure").value == 0
    assert report.headline == ()


def test_a_model_that_knows_nothing_is_below_its_floors(noise: Encodes) -> None:
    many = replace(
        RETRIEVAL,
        queries=tuple(f"word{i} of text" for i in range(60)),
        documents=tuple(f"text about word{i}" for i in range(60)),
        document_ids=tuple(map(str, range(60))),
        relevant=tuple({str(i): 1} for i in range(60)),
    )
    report = evaluate(noise, [many])
    result = report.results[0]
    floor = result.best_floor("ndcg@10")
    assert floor is not None and floor.score("ndcg@10").value == 100
    assert result.is_below_floor("ndcg@10") and report.headline == ()
    assert floor.difference("ndcg@10").high < 0 and floor.difference("ndcg@10").probability == 0


def test_a_headline_is_above_the_best_floor() -> None:
    class Knows:
        """Places texts by what they mean, which no floor can see."""

        def encode(self, texts: list[str], /) -> npt.NDArray[np.float64]:
            angles = [math.pi * int(text.split()[1]) / 40 for text in texts]
            return np.array([[math.cos(angle), math.sin(angle)] for angle in angles])

    rng = np.random.default_rng(0)
    left, right = rng.integers(100, 140, size=(2, 200))
    task = STSTask(
        name="meaning",
        source="-",
        left=tuple(f"a {i}" for i in left),
        right=tuple(f"b {i}" for i in right),
        gold=tuple(float(-abs(i - j)) for i, j in zip(left, right, strict=True)),
    )
    report = evaluate(Knows(), [task])
    (headline,) = report.headline
    assert headline.score.value > 99.5 and headline.margin.low > 0
    assert str(headline).startswith(f"meaning: Spearman {headline.score.value:.1f} [")
    assert "over " + headline.floor in str(headline)


def test_baselines_are_measured_on_the_same_items(letters: Encodes, noise: Encodes) -> None:
    report = evaluate(letters, [STS], baselines={"same": letters, "noise": noise})
    same, other = (one for one in report.results[0].comparisons if one.role == "baseline")
    assert (same.label, other.label) == ("same", "noise")
    gap = same.difference("spearman")
    assert (gap.value, gap.low, gap.high, gap.probability) == (0, 0, 0, 0.5)
    score = report.results[0].score("spearman").value
    assert other.difference("spearman").value == pytest.approx(score - other.score("spearman").value)
    named = evaluate(letters, [STS], baselines=["bm25", "tfidf", ("noise", noise)])
    assert named.results[0].comparisons[-1] == other


def test_the_seed_decides_everything(letters: Encodes) -> None:
    assert evaluate(letters, [STS], seed=1).to_dict() == evaluate(letters, [STS], seed=1).to_dict()
    assert evaluate(letters, [STS], seed=1).to_dict() != evaluate(letters, [STS], seed=2).to_dict()


def test_progress_counts_to_the_end(letters: Encodes, noise: Encodes) -> None:
    seen: list[tuple[int, int, str]] = []
    evaluate(
        letters,
        [STS, RETRIEVAL],
        baselines={"noise": noise},
        on_progress=lambda done, total, what: seen.append((done, total, what)),
    )
    assert [done for done, _, _ in seen] == list(range(7)) and {total for _, total, _ in seen} == {6}
    assert seen[0][2] == "pairs: trivial floors" and seen[2][2] == "pairs: noise" and seen[-1][2] == "done"


def test_bad_requests_are_one_sentence(letters: Encodes) -> None:
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate(letters, [])
    with pytest.raises(InputError, match="unknown baseline 'bm52': by name there are bm25 and tfidf"):
        evaluate(letters, [STS], baselines=["bm52"])
    with pytest.raises(InputError, match="two models are called 'model'"):
        evaluate(letters, [STS], baselines={"model": letters})


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((3, 2)), r"one row per text, shape \(12, D\), got \(3, 2\)"),
        (np.ones(12), "one row per text"),
        (np.full((12, 2), np.nan), "NaN or infinite values for 12 of 12 texts"),
    ],
)
def test_models_that_break_the_contract_are_refused(vectors: npt.NDArray[np.float64], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        evaluate(Broken(vectors), [STS], label="broken")


def test_folds_weigh_the_same_as_in_cross_validation(letters: Encodes) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    rng = np.random.default_rng(0)
    texts = tuple("".join(rng.choice(list("abc"), 6)) for _ in range(33))
    labels = tuple(max("abc", key=text.count) for text in texts)
    task = ClassificationTask(name="x", source="-", labels=labels, texts=texts)
    vectors = np.asarray(letters.encode(list(texts)), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = cross_val_score(LogisticRegression(C=10, max_iter=1000), vectors, labels, cv=5).mean()
    assert evaluate(letters, [task]).results[0].score("accuracy").value == pytest.approx(100 * expected)
