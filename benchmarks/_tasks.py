"""Evaluation tasks as the benchmarks make them, in the form of `llmagentos.evaluation`."""

from collections.abc import Sequence
from typing import Literal

from benchmarks._provenance import data_path
from llmagentos.evaluation import RetrievalTask, STSTask, load_task


def retrieval(name: str, pairs: Sequence[tuple[str, str]]) -> RetrievalTask:
    """Find the second of each pair by the first, among all seconds."""
    ids = tuple(map(str, range(len(pairs))))
    return RetrievalTask(
        name=name,
        source="-",
        queries=tuple(query for query, _ in pairs),
        documents=tuple(text for _, text in pairs),
        document_ids=ids,
        relevant=tuple({one: 1} for one in ids),
        primary="mrr@10",
    )


def sts(name: str, rows: Literal["all", "odd", "even"] = "all") -> STSTask:
    """Sentence pairs of a file; of a file with both halves the odd data rows (the first, third, ...) choose
    and the even ones report.
    """
    task = load_task(data_path(name))
    assert isinstance(task, STSTask)
    if rows == "all":
        return task
    half = slice(0 if rows == "odd" else 1, None, 2)
    return STSTask(
        name=f"{task.name}, {rows} rows",
        source=task.source,
        left=task.left[half],
        right=task.right[half],
        gold=task.gold[half],
    )
