"""Scores of a method on the suite, one value an item, so that intervals and paired differences follow."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.learning._metatool import macro_weights
from benchmarks.learning._methods import ByVectors, Method, Scores
from benchmarks.learning._split import LabelledTask, NeighbourTask, Task, ToolTask
from llmagentos.evaluation import (
    Difference,
    Interval,
    RetrievalTask,
    STSTask,
    bootstrap_interval,
    paired_bootstrap,
)
from llmagentos.evaluation._floors import tfidf_vectorizer
from llmagentos.evaluation._measure import logistic_regression
from llmagentos.evaluation._ranking import rank_metrics, top_of_rows

NEIGHBOURS = 10
DRAWS = 5  # of 5 texts a label, seeds 0 to 4
EACH = 5
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scored:
    """One value an item. The score is their mean, or their rank correlation with `gold`."""

    values: Floats
    gold: Floats | None = None

    @property
    def value(self) -> float:
        """The score x 100."""
        return 100 * self.interval(resamples=1).value

    def interval(self, *, resamples: int = 1000) -> Interval:
        """The score with its 95% bootstrap interval, not x 100."""
        return bootstrap_interval(self.values, gold=self.gold, resamples=resamples)

    def over(self, other: "Scored") -> Difference:
        """This less the other on the same items, with its paired interval, not x 100."""
        return paired_bootstrap(self.values, other.values, gold=self.gold)


def score(method: Method, tasks: Mapping[str, Task]) -> dict[str, Scored]:
    """A method on tasks, by their names.

    Args:
        method: `of_model(model, label)` for anything with `encode`, or a floor.
        tasks: of one half. Sentence pairs and labelled texts need a method that has vectors.

    Returns:
        Retrieval: reciprocal ranks or nDCG within 10, as the task's `primary` says. Tools: nDCG@10 times the
        weight that makes the mean macro-averaged. Neighbours and labels: right or not. Pairs: cosines.
    """
    return {name: _score(method, task) for name, task in tasks.items()}


def _score(method: Method, task: Task) -> Scored:
    if isinstance(task, RetrievalTask):
        ranked = top_of_rows(method.similarities(task.queries, task.documents))
        return Scored(rank_metrics(ranked, task.document_ids, task.relevant)[task.primary])
    if isinstance(task, ToolTask):
        found = _score(method, task.ranking)
        return Scored(found.values * np.array(macro_weights(task.ranking.relevant)))
    if isinstance(task, NeighbourTask):
        similarities = np.array(method.similarities(task.texts, task.texts))
        np.fill_diagonal(similarities, -np.inf)
        others = min(NEIGHBOURS, len(task.texts) - 1)  # itself comes last, and must not vote
        return Scored(_hits(vote(similarities, task.labels, others), task.labels))
    assert isinstance(method, ByVectors), "pairs and labels need vectors"
    if isinstance(task, STSTask):
        return Scored(method.of_pairs(task.left, task.right).astype(np.float64), np.array(task.gold))
    return Scored(_labelled(method, task))


def vote(similarities: Scores, labels: Sequence[str], k: int = NEIGHBOURS) -> list[str]:
    """The label that most of the k nearest have; of labels with as many, that of the nearest of them.

    Args:
        similarities: shape (texts, neighbours).
        labels: of the neighbours.
        k: how many vote; of neighbours just as near, the first in order.

    Examples:
        >>> vote(np.array([[0.9, 0.8, 0.7, 0.6, 0.1]]), ["a", "b", "b", "a", "b"], k=4)
        ['a']
    """
    # max gives the first of several largest, and dict.fromkeys keeps the order, which is nearest first.
    rows = ([labels[place] for place in row] for row in top_of_rows(similarities, k))
    return [max(dict.fromkeys(near), key=near.count) for near in rows]


def draw(labels: Sequence[str], seed: int, each: int = EACH) -> list[int]:
    """The places of `each` texts of every label, all where a label has fewer."""
    random = np.random.default_rng(seed)
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    return [int(place) for _, found in sorted(places.items()) for place in random.permutation(found)[:each]]


def _labelled(method: ByVectors, task: LabelledTask) -> Floats:
    rows = method.vectors([*task.train_texts, *task.texts])
    known, asked = rows[: len(task.train_texts)], rows[len(task.train_texts) :]
    if task.way == "neighbours":
        product = asked @ known.T
        dense = product if isinstance(product, np.ndarray) else product.toarray()
        return _hits(vote(dense, task.train_labels), task.labels)
    if task.way == "all":
        return _hits(_predict(logistic_regression(), known, task.train_labels, asked), task.labels)
    found = []
    for seed in range(DRAWS):
        places = draw(task.train_labels, seed)
        labels = [task.train_labels[place] for place in places]
        found.append(_hits(_predict(logistic_regression(), known[places], labels, asked), task.labels))
    mean: Floats = np.stack(found).mean(axis=0)
    return mean


def svm_floor(task: LabelledTask) -> Scored:
    """Word 1-2-gram TF-IDF fitted on the training texts, and a linear SVM on all of them."""
    from sklearn.svm import LinearSVC

    vectorizer = tfidf_vectorizer({"ngram_range": (1, 2)}).fit(task.train_texts)
    known, asked = vectorizer.transform(task.train_texts), vectorizer.transform(task.texts)
    return Scored(_hits(_predict(LinearSVC(random_state=0), known, task.train_labels, asked), task.labels))


def _predict(classifier: Any, known: Any, labels: Sequence[str], asked: Any) -> list[str]:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that stops at max_iter is what is defined
        return list(classifier.fit(known, np.array(labels)).predict(asked))


def _hits(found: Sequence[str], labels: Sequence[str]) -> Floats:
    return np.array([one == other for one, other in zip(found, labels, strict=True)], dtype=np.float64)
