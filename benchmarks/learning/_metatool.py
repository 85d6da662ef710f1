"""MetaTool: the tool that serves a request."""

import random
from collections.abc import Mapping, Sequence

from benchmarks._texts import hashed
from benchmarks.learning._near import near_duplicates
from benchmarks.learning._split import Half, Row, Split, ToolTask
from llmagentos.evaluation import RetrievalTask


def metatool_split(
    task: RetrievalTask, ids: Sequence[str], tools: Sequence[Row], *, number: int = 1_200
) -> Split:
    """Requests with an even hash of their id choose, the others report.

    Args:
        task: all requests and tools.
        ids: the id of each request.
        tools: the tools as rows to train on.
        number: requests a half, drawn as `../shared/score.py` draws.

    Returns:
        Task metatool; the training rows are the tools and half of the choosing requests, without the tool
        that serves them. No request of a task has a near-duplicate among them or in the other half.
    """
    places: dict[Half, list[int]] = {"choose": [], "report": []}
    for place, one in enumerate(ids):
        places["report" if hashed(one) % 2 else "choose"].append(place)
    places = {half: random.Random(0).sample(found, len(found)) for half, found in places.items()}
    middle = len(places["choose"]) // 2
    learned, places["choose"] = places["choose"][middle:], places["choose"][:middle]
    told = [*task.documents, *(task.queries[place] for place in learned)]
    kept, removed = {}, {}
    for half, found in places.items():
        # The reporting half gives way: what it shares with the choosing half is not reported.
        others = told if half == "choose" else [*told, *(task.queries[place] for place in places["choose"])]
        near = near_duplicates([task.queries[place] for place in found], others)
        fresh = [place for index, place in enumerate(found) if index not in near]
        kept[half], removed[half] = fresh[:number], len(near)
    return Split(
        tasks={half: {"metatool": _part(task, found)} for half, found in kept.items()},
        training=(*tools, *({"id": ids[place], "text": task.queries[place]} for place in sorted(learned))),
        removed=removed,
    )


def macro_weights(relevant: Sequence[Mapping[str, int]]) -> list[float]:
    """The weight of each request so that the mean is the mean over tools of their mean; they add up to n.

    A request that several tools serve counts for each of them.

    Examples:
        >>> macro_weights([{"a": 1}, {"a": 1}, {"b": 1}])
        [0.75, 0.75, 1.5]
    """
    asked: dict[str, int] = {}
    for tools in relevant:
        for tool in tools:
            asked[tool] = asked.get(tool, 0) + 1
    return [len(relevant) / len(asked) * sum(1 / asked[tool] for tool in tools) for tools in relevant]


def _part(task: RetrievalTask, places: Sequence[int]) -> ToolTask:
    return ToolTask(
        name="request -> tool, macro-averaged per tool",
        ranking=RetrievalTask(
            name=task.name,
            source=task.source,
            queries=tuple(task.queries[place] for place in places),
            documents=task.documents,
            document_ids=task.document_ids,
            relevant=tuple(task.relevant[place] for place in places),
        ),
    )
