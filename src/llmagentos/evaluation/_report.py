"""What an evaluation found: scores with intervals, beside the floors and baselines of every task.

A report never speaks of a score without the trivial floor next to it, and `headline` holds only scores
that are above theirs.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmagentos.corpus import write_whole

if TYPE_CHECKING:
    from rich.console import RenderableType

METRIC_NAMES = {
    "ndcg@10": "nDCG@10",
    "mrr@10": "MRR@10",
    "recall@10": "recall@10",
    "spearman": "Spearman",
    "accuracy": "accuracy",
    "v_measure": "V-measure",
}


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric, x 100, with its bootstrap interval."""

    metric: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ScoreDifference:
    """Model minus the other method, x 100, paired; `probability` that the model is better."""

    metric: str
    value: float
    low: float
    high: float
    probability: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Another method on the same items: a trivial floor or a baseline that was asked for."""

    label: str
    role: Literal["floor", "baseline"]
    settings: Mapping[str, str | int | float | bool | None]
    scores: tuple[Score, ...]
    differences: tuple[ScoreDifference, ...]

    def score(self, metric: str) -> Score:
        """The score of one metric."""
        return _by_metric(self.scores, metric)

    def difference(self, metric: str) -> ScoreDifference:
        """Model minus this method, of one metric."""
        return next(one for one in self.differences if one.metric == metric)


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """The model's scores on one task, and everything they are compared with."""

    task: str
    source: str
    kind: str
    size: str
    primary: str
    scores: tuple[Score, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()

    def score(self, metric: str) -> Score:
        """The model's score of one metric."""
        return _by_metric(self.scores, metric)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics, the primary one first."""
        return tuple(score.metric for score in self.scores)

    def best_floor(self, metric: str) -> Comparison | None:
        """The trivial method that scores highest; None where no floor could be computed."""
        found = [one for one in self.comparisons if one.role == "floor"]
        return max(found, key=lambda one: one.score(metric).value, default=None)

    def is_below_floor(self, metric: str) -> bool:
        """Whether a trivial method scores higher."""
        floor = self.best_floor(metric)
        return floor is not None and self.score(metric).value < floor.score(metric).value


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A primary score above its trivial floor; `margin` is model minus best floor."""

    task: str
    score: Score
    floor: str
    margin: ScoreDifference

    def __str__(self) -> str:
        """One sentence with score, interval and margin."""
        margin = self.margin
        sure = "" if margin.low > 0 else ", which this many items cannot tell from 0"
        return (
            f"{self.task}: {METRIC_NAMES[self.score.metric]} {self.score.value:.1f} "
            f"[{self.score.low:.1f}, {self.score.high:.1f}], {margin.value:+.1f} [{margin.low:+.1f}, "
            f"{margin.high:+.1f}] over {self.floor}{sure}"
        )


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """The result of `evaluate`: per task the scores x 100, their intervals, floors and baselines."""

    model: str
    results: tuple[TaskResult, ...]
    seed: int
    resamples: int
    confidence: float
    versions: Mapping[str, str]

    @property
    def headline(self) -> tuple[Headline, ...]:
        """The primary scores above their best trivial floor; the others are never a headline."""
        found = []
        for result in self.results:
            score, floor = result.score(result.primary), result.best_floor(result.primary)
            if floor is not None and score.value > floor.score(result.primary).value:
                margin = floor.difference(result.primary)
                found.append(Headline(task=result.task, score=score, floor=floor.label, margin=margin))
        return tuple(found)

    def result(self, task: str) -> TaskResult:
        """The result of the task of that name."""
        return next(one for one in self.results if one.task == task)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists for JSON, scores rounded to 4 decimals."""
        plain: dict[str, Any] = _rounded(asdict(self))
        plain["headline"] = [str(one) for one in self.headline]
        for result, row in zip(self.results, plain["results"], strict=True):
            row["below_floor"] = {metric: result.is_below_floor(metric) for metric in result.metrics}
        return plain

    def write_json(self, path: str | Path) -> None:
        """Write the report as JSON, in one piece or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        write_whole(Path(path), json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n")

    def table(self) -> "RenderableType":
        """One rich table per task, the model first, red where it is below its floor, and the headline."""
        from llmagentos.evaluation._table import tables

        return tables(self)

    def __rich__(self) -> "RenderableType":
        """`rich.print(report)` shows the tables."""
        return self.table()


def _by_metric(scores: tuple[Score, ...], metric: str) -> Score:
    return next(one for one in scores if one.metric == metric)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value
