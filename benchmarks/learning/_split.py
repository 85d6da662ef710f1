"""What a source of text is made into: tasks to choose on, tasks to report, and what is left to learn from."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llmagentos.evaluation import RetrievalTask, STSTask

Half = Literal["choose", "report"]
Way = Literal["neighbours", "few", "all"]
Row = Mapping[str, str]  # id, text, and where there is one title, group, time, nick


@dataclass(frozen=True, kw_only=True)
class NeighbourTask:
    """Label each text by the nearest others (leave-one-out)."""

    name: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ToolTask:
    """Find the tools that serve a request; every tool counts the same, however many requests ask for it."""

    name: str
    ranking: RetrievalTask


@dataclass(frozen=True, kw_only=True)
class LabelledTask:
    """Label the texts of one set after those of another, in one of three ways.

    neighbours: the 10 nearest. few: logistic regression on 5 texts a label, the mean over 5 draws.
    all: logistic regression on all.
    """

    name: str
    way: Way
    train_texts: tuple[str, ...]
    train_labels: tuple[str, ...]
    texts: tuple[str, ...]
    labels: tuple[str, ...]


Task = RetrievalTask | STSTask | NeighbourTask | ToolTask | LabelledTask


@dataclass(frozen=True, kw_only=True)
class Split:
    """One source of text, split in three that share no near-duplicate.

    Args:
        tasks: by half and name.
        training: rows in neither half.
        removed: how many candidates of a half were near-duplicates of the training rows or the other half.
    """

    tasks: Mapping[Half, Mapping[str, Task]]
    training: tuple[Row, ...]
    removed: Mapping[Half, int]


def write_rows(rows: Iterable[Row], path: Path) -> Path:
    """Rows as a .jsonl that `llmagentos train` reads."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)
    return path
