"""Measure a model on tasks, beside trivial floors and baselines, on the same items."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version

from llmagentos.errors import InputError
from llmagentos.evaluation._bootstrap import Difference, Interval, Sample, compare
from llmagentos.evaluation._floors import Floor, floors
from llmagentos.evaluation._measure import Encodes, measure
from llmagentos.evaluation._report import Comparison, EvaluationReport, Score, ScoreDifference, TaskResult
from llmagentos.evaluation._tasks import Task

Progress = Callable[[int, int, str], None]
Baselines = Mapping[str, Encodes] | Iterable[str | tuple[str, Encodes]]

_RESAMPLES = 1000
_CONFIDENCE = 0.95
# Floors of every retrieval task already; asking for them by name is allowed and changes no score.
_NAMED = ("bm25", "tfidf")
_NOT_RANKED = ("bm25 ranks documents; it has no score here",)


def evaluate(
    model: Encodes,
    tasks: Sequence[Task],
    *,
    label: str = "model",
    baselines: Baselines = (),
    seed: int = 0,
    on_progress: Progress | None = None,
) -> EvaluationReport:
    """Scores x 100 of a model on every task, with 95% intervals, trivial floors and baselines.

    Retrieval: nDCG@10, MRR@10, recall@10. STS: Spearman of the cosines. Classification: accuracy of
    logistic regression (C=10, max_iter=1000) on unit vectors, stratified 5-fold, and the V-measure of
    k-means (k = labels, seed 0).

    Args:
        model: anything with `encode(list of n texts) -> (n, D)`.
        tasks: from `load_task`, at least one.
        label: the model's name in the report.
        baselines: "bm25" and "tfidf" by name (they are floors of every retrieval task already), and
            (name, model) pairs or a mapping of them.
        seed: of the bootstrap; 1,000 resamples of queries, pairs or texts.
        on_progress: called as (done, total, what comes next) between measurements.

    Returns:
        The report; at chance retrieval scores are near 0, Spearman 0, accuracy 100 / labels. The
        V-measure at chance is well above 0 where labels are many (42 for 77 labels and 1,000 texts):
        read it beside its floor.

    Raises:
        InputError: no task, or an unknown baseline name.
        ModelError: a model gives the wrong shape or values that are not finite.

    Examples:
        >>> import numpy as np
        >>> from llmagentos.evaluation import STSTask
        >>> class Letters:
        ...     def encode(self, texts):
        ...         return np.array([[text.count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
        >>> task = STSTask(name="toy", source="-", left=("cat", "cat"), right=("cat", "dog"), gold=(5, 0))
        >>> evaluate(Letters(), [task]).result("toy").score("spearman").value
        100.0
    """
    if not tasks:
        raise InputError(
            "there is nothing to evaluate: give at least one task (a folder, a .tsv or FILE.jsonl:title)"
        )
    listed = list(baselines.items() if isinstance(baselines, Mapping) else baselines)
    models = {label: model, **_models(listed, label)}
    report = on_progress or (lambda done, total, what: None)
    total = len(tasks) * (1 + len(models))
    results: list[TaskResult] = []
    for task in tasks:
        done = len(results) * (1 + len(models))
        report(done, total, f"{task.name}: trivial floors")
        trivial = list(floors(task))
        measured = {}
        for index, (name, one) in enumerate(models.items(), start=1):
            report(done + index, total, f"{task.name}: {name}")
            measured[name] = measure(one, task, name)
        own = measured.pop(label)
        notes = _NOT_RANKED if "bm25" in listed and task.kind != "retrieval" else ()
        results.append(_result(task, own, trivial, measured, seed, notes))
    report(total, total, "done")
    return EvaluationReport(
        model=label,
        results=tuple(results),
        seed=seed,
        resamples=_RESAMPLES,
        confidence=_CONFIDENCE,
        versions={name: version(name) for name in ("numpy", "scipy", "scikit-learn", "bm25s")},
    )


def _models(baselines: Iterable[str | tuple[str, Encodes]], label: str) -> dict[str, Encodes]:
    """The baselines that must be measured; those by name are floors already."""
    found: dict[str, Encodes] = {}
    for one in baselines:
        if isinstance(one, str):
            if one not in _NAMED:
                raise InputError(
                    f"unknown baseline {one!r}: by name there are {' and '.join(_NAMED)}; "
                    "give other models as (name, model)"
                )
            continue
        name, model = one
        if name in found or name == label:
            raise InputError(f"two models are called {name!r} in one evaluation; give each its own name")
        found[name] = model
    return found


def _result(
    task: Task,
    own: Mapping[str, Sample],
    trivial: Sequence[Floor],
    baselines: Mapping[str, Mapping[str, Sample]],
    seed: int,
    notes: tuple[str, ...],
) -> TaskResult:
    others = [*(floor.samples for floor in trivial), *baselines.values()]
    found = {
        metric: compare(
            [sample, *(other[metric] for other in others)],
            confidence=_CONFIDENCE,
            resamples=_RESAMPLES,
            seed=seed,
        )
        for metric, sample in own.items()
    }

    def scores(column: int) -> tuple[Score, ...]:
        return tuple(_score(metric, intervals[column]) for metric, (intervals, _) in found.items())

    def gaps(column: int) -> tuple[ScoreDifference, ...]:
        return tuple(
            _difference(metric, differences[column - 1]) for metric, (_, differences) in found.items()
        )

    floor_rows = [
        Comparison(
            label=floor.label, role="floor", settings=floor.settings, scores=scores(i), differences=gaps(i)
        )
        for i, floor in enumerate(trivial, start=1)
    ]
    baseline_rows = [
        Comparison(label=name, role="baseline", settings={}, scores=scores(i), differences=gaps(i))
        for i, name in enumerate(baselines, start=1 + len(trivial))
    ]
    return TaskResult(
        task=task.name,
        source=task.source,
        kind=task.kind,
        size=task.size,
        primary=task.primary,
        scores=scores(0),
        comparisons=(*floor_rows, *baseline_rows),
        notes=(*task.notes, *notes),
    )


def _score(metric: str, found: Interval) -> Score:
    return Score(metric=metric, value=100 * found.value, low=100 * found.low, high=100 * found.high)


def _difference(metric: str, found: Difference) -> ScoreDifference:
    return ScoreDifference(
        metric=metric,
        value=100 * found.value,
        low=100 * found.low,
        high=100 * found.high,
        probability=found.probability,
    )
