"""The semantic suite, from ../shared/data: what word overlap alone does not win.

    split = irc()
    split.tasks["choose"]["irc"], split.tasks["report"]["irc"], split.training, split.removed

Each source is split by hashes of ids, lines or contents into a half to choose on, a half to report and rows
to train on; near-duplicates across are removed from the halves, and counted.
"""

import json
from typing import Literal

from benchmarks._provenance import data_path
from benchmarks._tasks import sts
from benchmarks._texts import hashed, read_lines, read_rows
from benchmarks.learning._arxiv import arxiv_split
from benchmarks.learning._irc import irc_split
from benchmarks.learning._metatool import metatool_split
from benchmarks.learning._split import Half, LabelledTask, Split, Way
from llmagentos.evaluation import ClassificationTask, RetrievalTask, STSTask, load_task

ARXIV = ("corpus/arxiv/train-cs.jsonl.zst", "corpus/arxiv/stream2019-cs.jsonl.zst")
OTHER_PAPERS = tuple(f"corpus/arxiv/train-{name}.jsonl.zst" for name in ("stat", "qbio", "fin"))
IRC = ("corpus/ubuntu_irc/train.jsonl.zst", "corpus/ubuntu_irc/reply-links-train.tsv.zst")
METATOOL = "eval/tool_metatool"
CHINESE = (
    "corpus/zh_laws/laws.jsonl.zst",
    "corpus/zh_modern/modern-60k.jsonl.zst",
    "corpus/zh_paddle/docs.jsonl.zst",
    "corpus/zh_docs_tidb/docs.jsonl.zst",
)
TECHDOCS = tuple(f"corpus/techdocs/{name}.jsonl.zst" for name in ("eips", "peps", "powershell", "rust-rfcs"))
STSB: dict[Half, str] = {"choose": "eval/sts_en/STSB-dev.tsv", "report": "eval/sts_en/STSB-test.tsv"}
STS_ZH = {"stsb-zh": "eval/sts_zh/stsb-zh-dev.tsv", "lcqmc": "eval/sts_zh/lcqmc-dev.tsv"}
INTENTS = {"banking77": "eval/cls_banking77", "clinc150": "eval/cls_clinc150"}
_WAYS: dict[str, Way] = {"knn": "neighbours", "five": "few", "all": "all"}


def arxiv() -> Split:
    """Papers of computer science."""
    until_2018, of_2019 = (list(read_rows(name)) for name in ARXIV)
    return arxiv_split(until_2018, of_2019)


def irc() -> Split:
    """Ubuntu's chat."""
    messages, links = IRC
    return irc_split(read_rows(messages), list(read_lines(links))[1:])


def metatool() -> Split:
    """Requests and tools."""
    task = load_task(data_path(METATOOL))
    assert isinstance(task, RetrievalTask)
    judged = {line.split("\t")[0] for line in read_lines(f"{METATOOL}/qrels.tsv.zst")}
    ids = [row["_id"] for row in read_rows(f"{METATOOL}/queries.jsonl.zst") if row["_id"] in judged]
    lines = data_path(f"{METATOOL}/corpus.jsonl").read_text(encoding="utf-8").splitlines()
    rows = map(json.loads, lines)
    tools = [{"id": row["_id"], "title": row["title"], "text": row["text"]} for row in rows]
    return metatool_split(task, ids, tools)


def sentences(half: Half) -> dict[str, STSTask]:
    """STS-B in English and Chinese, and LCQMC."""
    rows: Literal["odd", "even"] = "odd" if half == "choose" else "even"
    return {"stsb": sts(STSB[half]), **{name: sts(file, rows) for name, file in STS_ZH.items()}}


def intents(half: Half) -> dict[str, LabelledTask]:
    """Banking77 and CLINC150, each in three ways; a fifth of train.tsv, by the hash of its text, chooses."""
    found: dict[str, LabelledTask] = {}
    for name, folder in INTENTS.items():
        rows = _labelled(f"{folder}/train.tsv")
        tested = _labelled(f"{folder}/test.tsv")
        if half == "choose":
            tested = [row for row in rows if hashed(row[1]) % 5 == 0]
            rows = [row for row in rows if hashed(row[1]) % 5]
        for suffix, way in _WAYS.items():
            found[f"{name}-{suffix}"] = LabelledTask(
                name=f"{name}, {way}",
                way=way,
                train_labels=tuple(label for label, _ in rows),
                train_texts=tuple(text for _, text in rows),
                labels=tuple(label for label, _ in tested),
                texts=tuple(text for _, text in tested),
            )
    return found


def _labelled(name: str) -> list[tuple[str, str]]:
    task = load_task(data_path(name))
    assert isinstance(task, ClassificationTask)
    return list(zip(task.labels, task.texts, strict=True))
