"""Evaluation: anything with `encode` goes in, scores with intervals, trivial floors and baselines come out.

report = evaluate(model, [load_task("STSB-test.tsv")], baselines={"before": untrained})
report.headline            only what is above its trivial floor
report.write_json("report.json")
"""

from llmagentos.evaluation._bootstrap import Difference, Interval, bootstrap_interval, paired_bootstrap
from llmagentos.evaluation._changes import RankChange, RankChanges, rank_changes
from llmagentos.evaluation._evaluate import evaluate
from llmagentos.evaluation._html import write_report
from llmagentos.evaluation._measure import Encodes
from llmagentos.evaluation._pictures import (
    Neighbour,
    NeighbourRow,
    Neighbours,
    TextMap,
    nearest_neighbours,
    text_map,
)
from llmagentos.evaluation._report import (
    Comparison,
    EvaluationReport,
    Headline,
    Score,
    ScoreDifference,
    TaskResult,
)
from llmagentos.evaluation._tasks import ClassificationTask, RetrievalTask, STSTask, Task, load_task

__all__ = [
    "ClassificationTask",
    "Comparison",
    "Difference",
    "Encodes",
    "EvaluationReport",
    "Headline",
    "Interval",
    "Neighbour",
    "NeighbourRow",
    "Neighbours",
    "RankChange",
    "RankChanges",
    "RetrievalTask",
    "STSTask",
    "Score",
    "ScoreDifference",
    "Task",
    "TaskResult",
    "TextMap",
    "bootstrap_interval",
    "evaluate",
    "load_task",
    "nearest_neighbours",
    "paired_bootstrap",
    "rank_changes",
    "text_map",
    "write_report",
]
