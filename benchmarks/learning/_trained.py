"""A model trained by the command line, scored on tasks beside what it is compared with."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks._command import steps, train
from benchmarks.learning._floors import with_interval, with_intervals
from benchmarks.learning._methods import Method, of_model
from benchmarks.learning._score import Scored, score
from benchmarks.learning._split import Task

Others = Mapping[str, Callable[[Mapping[str, Task]], Mapping[str, Scored]]]
"""By name, what scores some of the tasks; called for those that it is compared on alone."""


def by(method: Method) -> Callable[[Mapping[str, Task]], Mapping[str, Scored]]:
    """A method as one of the `Others`."""
    return lambda tasks: score(method, tasks)


def trained(
    name: str,
    folder: Path,
    inputs: Sequence[str | Path],
    tasks: Mapping[str, Task],
    others: Others,
    against: Mapping[str, Sequence[str]],
    *options: str,
) -> dict[str, float]:
    """Train and score.

    Args:
        name: of the unit; figures are called learning-NAME-TASK and learning-NAME-TASK-over-OTHER.
        folder: to work in.
        inputs: files, or names in ../shared/data.
        tasks: of one half.
        others: what it is compared with.
        against: the names of those for each task that has any.
        options: of `llmagentos train`.

    Returns:
        The figures with their intervals, by how much the intervals are apart from the others', the minutes of
        the whole command, and as details the scores of the others and how far the run came.
    """
    from llmagentos import EmbeddingModel

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    out = folder / "model"
    minutes = train(inputs, out, *options)
    own = score(of_model(EmbeddingModel.load(out), name), tasks)
    found = {f"learning-{name}-minutes": minutes, **named_task(name, own), **steps(out)}
    for label, measure in others.items():
        wanted = {task: tasks[task] for task, labels in against.items() if label in labels}
        for task, one in measure(wanted).items():
            found[f"{task}, {label}"] = one.value
            found |= with_interval(f"learning-{name}-{task}-over-{label}", own[task].over(one))
            # Above 0 where the two 95% intervals do not overlap, which is harder than a difference above 0.
            apart = own[task].interval().low - one.interval().high
            found[f"learning-{name}-{task}-apart-from-{label}"] = 100 * apart
    return found


def named_task(name: str, scores: Mapping[str, Scored]) -> dict[str, float]:
    """`learning-NAME-TASK` with its interval."""
    return with_intervals({f"learning-{name}-{task}": one for task, one in scores.items()})
