"""Which queries training helped, and which it made worse: the examples behind a score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmagentos.evaluation._measure import Encodes, unit_vectors
from llmagentos.evaluation._tasks import RetrievalTask

_QUERIES_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class RankChange:
    """A query whose own text moved.

    Attributes:
        query: what was asked.
        wanted: the first of its relevant texts.
        before: rank of the best relevant text before training, from 1.
        after: the same after training.
        first: the text that stands first after training; the wanted one where `after` is 1.
    """

    query: str
    wanted: str
    before: int
    after: int
    first: str


@dataclass(frozen=True, kw_only=True)
class RankChanges:
    """The queries that moved furthest, and how many moved at all.

    Attributes:
        better: largest gain in reciprocal rank first.
        worse: largest loss first.
        num_better: queries whose rank is smaller after training.
        num_worse: queries whose rank is larger.
        num_queries: all.
    """

    better: tuple[RankChange, ...]
    worse: tuple[RankChange, ...]
    num_better: int
    num_worse: int
    num_queries: int


def rank_changes(before: Encodes, after: Encodes, task: RetrievalTask, *, number: int = 4) -> RankChanges:
    """What training did to single queries.

    Args:
        before: the encoder before training.
        after: the trained one.
        task: n texts; a query's rank is that of its best relevant text among all of them, ties last.
        number: >= 0, shown of each kind.

    Returns:
        The queries with the largest change of 1 / rank, in both directions; of equal ones the first.

    Examples:
        >>> class Length:
        ...     def encode(self, texts):
        ...         return np.array([[1.0, len(text)] for text in texts])
        >>> class Letter:
        ...     def encode(self, texts):
        ...         return np.array([[1.0 * text.count(c) for c in "abc"] for text in texts])
        >>> task = RetrievalTask(
        ...     name="toy", source="-", queries=("a",), documents=("aaaa", "b"), document_ids=("0", "1"),
        ...     relevant=({"0": 1},), primary="mrr@10"
        ... )
        >>> found = rank_changes(Length(), Letter(), task)
        >>> found.num_better, found.better[0].before, found.better[0].after
        (1, 2, 1)
    """
    places = {name: place for place, name in enumerate(task.document_ids)}
    wanted = [[places[name] for name in judged if name in places] for judged in task.relevant]
    old, _ = _ranks(before, task, wanted, "before")
    new, first = _ranks(after, task, wanted, "after")
    gain = 1 / new - 1 / old

    def examples(order: npt.NDArray[np.int64], sign: int) -> tuple[RankChange, ...]:
        return tuple(
            RankChange(
                query=task.queries[row],
                wanted=task.documents[wanted[row][0]],
                before=int(old[row]),
                after=int(new[row]),
                first=task.documents[first[row]],
            )
            for row in order[:number].tolist()
            if sign * gain[row] > 0
        )

    return RankChanges(
        better=examples(np.argsort(-gain, kind="stable"), 1),
        worse=examples(np.argsort(gain, kind="stable"), -1),
        num_better=int((new < old).sum()),
        num_worse=int((new > old).sum()),
        num_queries=len(task.queries),
    )


def _ranks(
    model: Encodes, task: RetrievalTask, wanted: Sequence[Sequence[int]], label: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rank of each query's best relevant text, n + 1 where it has none, and the text that stands first."""
    queries = unit_vectors(model, task.queries, label)
    documents = unit_vectors(model, task.documents, label)
    ranks = np.full(len(queries), len(documents) + 1, np.int64)
    first = np.zeros(len(queries), np.int64)
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        scores = queries[start : start + _QUERIES_AT_ONCE] @ documents.T
        first[start : start + len(scores)] = scores.argmax(axis=1)
        for row, row_scores in enumerate(scores, start=start):
            if own := wanted[row]:
                best = row_scores[own].max()
                ranks[row] = 1 + (row_scores >= best).sum() - (row_scores[own] >= best).sum()
    return ranks, first
