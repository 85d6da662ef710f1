"""What a model does on a task: one value per query, pair or text, ready to be resampled.

Scores are the mean (or the correlation, or the V-measure) of these values; keeping the values is what
makes intervals and paired differences possible.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from llmagentos.errors import ModelError
from llmagentos.evaluation._bootstrap import Sample, ranks
from llmagentos.evaluation._ranking import Ints, rank_metrics, top_documents
from llmagentos.evaluation._tasks import FOLDS, ClassificationTask, RetrievalTask, STSTask, Task

Vectors = npt.NDArray[np.float32]


class Encodes(Protocol):
    """Anything that turns n texts into an array of shape (n, D): our models and any other."""

    def encode(self, texts: list[str], /) -> npt.NDArray[np.floating]:
        """One row per text, shape (n, D)."""
        ...


def measure(model: Encodes, task: Task, label: str) -> dict[str, Sample]:
    """The per-item values of every metric of the task, in the order in which they are reported."""
    if isinstance(task, RetrievalTask):
        queries, documents = (
            unit_vectors(model, task.queries, label),
            unit_vectors(model, task.documents, label),
        )
        return retrieval_samples(task, top_documents(queries, documents))
    if isinstance(task, STSTask):
        vectors = unit_vectors(model, task.left + task.right, label)
        left, right = vectors[: len(task.left)], vectors[len(task.left) :]
        return sts_samples(task, (left * right).sum(axis=1))
    vectors = unit_vectors(model, task.texts, label)
    return classification_samples(
        task, fold_hits(task, logistic_regression(), vectors), clusters(task, vectors)
    )


def unit_vectors(model: Encodes, texts: Sequence[str], label: str) -> Vectors:
    """The texts' vectors scaled to length 1, float32, shape (n, D).

    Raises:
        ModelError: the model gives another number of rows, or values that are not finite.
    """
    vectors = np.asarray(model.encode(list(texts)), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise ModelError(
            f"encode of {label} must give one row per text, shape ({len(texts)}, D), got {vectors.shape}; "
            "give a model whose encode(texts) returns a two-dimensional array"
        )
    broken = int((~np.isfinite(vectors).all(axis=1)).sum())
    if broken:
        raise ModelError(
            f"{label} gives NaN or infinite values for {broken} of {len(texts)} texts and cannot be scored; "
            "its weights are damaged or its training diverged: train again or restore an earlier version"
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled


def retrieval_samples(task: RetrievalTask, ranked: Ints) -> dict[str, Sample]:
    """nDCG@10, MRR@10 and recall@10 per query; the task's primary metric first."""
    found = rank_metrics(ranked, task.document_ids, task.relevant)
    order = [task.primary, *(name for name in found if name != task.primary)]
    return {name: Sample(found[name]) for name in order}


def sts_samples(task: STSTask, similarities: npt.ArrayLike) -> dict[str, Sample]:
    """Ranks of the similarities beside the ranks of the human scores."""
    return {"spearman": Sample(ranks(similarities), ranks(task.gold), "spearman")}


def classification_samples(task: ClassificationTask, hits: Sample, found: Ints) -> dict[str, Sample]:
    """Correct or not per text, and its cluster beside its label."""
    _, labels = np.unique(np.array(task.labels), return_inverse=True)
    v_measure = Sample(found.astype(np.float64), labels.astype(np.float64), "v_measure")
    return {"accuracy": hits, "v_measure": v_measure}


def fold_hits(task: ClassificationTask, classifier: Any, features: Any) -> Sample:
    """Whether each text is labelled right by a classifier that did not see it, stratified 5-fold, n values.

    Each text weighs n / (5 * size of its fold), so that the mean is the mean of the five accuracies,
    as cross-validation is usually reported. The folds follow the order of the rows, without shuffling.
    """
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold

    labels = np.array(task.labels)
    hits, weights = np.zeros(len(labels)), np.zeros(len(labels))
    with warnings.catch_warnings():
        # Rare labels are noted on the task already; a fit that stops at max_iter is what is defined.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        for train, test in StratifiedKFold(FOLDS).split(labels, labels):
            fitted = clone(classifier).fit(features[train], labels[train])
            hits[test] = fitted.predict(features[test]) == labels[test]
            weights[test] = len(labels) / (FOLDS * len(test))
    return Sample(hits, weights=weights)


def clusters(task: ClassificationTask, features: Any) -> Ints:
    """Cluster number of every text: k-means with k = number of labels, seed 0, shape (n,)."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Fewer different vectors than labels: what k-means then finds is the answer.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(n_clusters=len(set(task.labels)), random_state=0).fit_predict(features)
    return np.asarray(found, dtype=np.int64)


def logistic_regression() -> Any:
    """The classifier of frozen vectors, unfitted."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10, max_iter=1000)
