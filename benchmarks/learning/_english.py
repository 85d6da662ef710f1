"""All English text of ../shared/data but what the suite asks about, for a model that is trained on a GPU."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks._tasks import sts
from benchmarks._texts import read_rows
from benchmarks.learning._near import near_duplicates
from benchmarks.learning._runs import transformer_kept
from benchmarks.learning._split import Row, Task, write_rows
from benchmarks.learning._suite import ARXIV, OTHER_PAPERS, STSB, TECHDOCS, arxiv, intents, irc, metatool
from benchmarks.learning._trained import trained
from llmagentos.evaluation import RetrievalTask


def on_english(name: str, folder: Path, asked: Sequence[str], options: Sequence[str]) -> dict[str, float]:
    """A run on all of it, which needs a GPU, and the tasks that are asked about.

    Raises:
        RuntimeError: PyTorch sees no GPU.
    """
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no GPU here, and without one `small` stays with static")
    tasks: dict[str, Task] = {"stsb": sts(STSB["report"]), **intents("report")}
    for split in (arxiv(), irc(), metatool()):
        tasks |= split.tasks["report"]
    rows = write_rows(english_rows(), folder / "english.jsonl")
    found = trained(name, folder, [rows], {one: tasks[one] for one in asked}, {}, {}, *options)
    return found | transformer_kept(folder / "model")


def english_rows() -> list[Row]:
    """Papers until 2019 of four fields, technical documents and Ubuntu's chat.

    Left out are the papers and messages that either half of the suite asks about, and near-duplicates of
    those papers.

    Returns:
        Rows for `llmagentos train`, with titles, groups and speakers where there are any.
    """
    split = arxiv()
    rows = list(split.training)
    asked = [text for half in split.tasks.values() for text in _documents(half["arxiv-title"])]
    known = {row["id"] for row in rows}
    others: list[Row] = []
    for name in (ARXIV[1], *OTHER_PAPERS):
        for one in read_rows(name):
            if one["_id"] not in known:  # a paper may be of several fields
                known.add(one["_id"])
                others.append(
                    {"id": one["_id"], "title": one["title"], "text": one["text"], "time": one["created"]}
                )
    near = near_duplicates([row["text"] for row in others], asked)
    rows += [row for place, row in enumerate(others) if place not in near]
    for name in TECHDOCS:
        rows += [{"id": one["_id"], "title": one["title"], "text": one["text"]} for one in read_rows(name)]
    return rows + list(irc().training)


def _documents(task: Task) -> Iterator[str]:
    assert isinstance(task, RetrievalTask)
    yield from task.documents
