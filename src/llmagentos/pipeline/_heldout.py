"""The held-out texts of a run as a retrieval task, when it is trained and whenever it is evaluated."""

from pathlib import Path
from typing import Final

import orjson

from llmagentos.evaluation import RetrievalTask

_FEWEST_HELDOUT: Final = 10


def heldout_task(path: Path, limit: int) -> RetrievalTask | None:
    """Make a retrieval task of held-out texts.

    Titles look for their texts; where fewer than half of the texts have a title, beginnings (the
    first fifth) look for the rest.

    Args:
        path: a heldout.jsonl, written by `Corpus.write_heldout`.
        limit: most rows in the task; the order of the file is random (by SHA-256).

    Returns:
        The task, or None where fewer than 10 texts are held out.
    """
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()[:limit]]
    titled = [row for row in rows if row["title"]]
    if max(len(titled), len(rows) // 2) < _FEWEST_HELDOUT:
        return None
    if 2 * len(titled) >= len(rows):
        name, pairs = "held-out title -> text", [(row["title"], row["text"]) for row in titled]
    else:
        name, pairs = "held-out beginning -> rest", [_cut(row["text"]) for row in rows]
    ids = tuple(str(index) for index in range(len(pairs)))
    return RetrievalTask(
        name=name,
        source="heldout.jsonl",
        queries=tuple(query for query, _ in pairs),
        documents=tuple(text for _, text in pairs),
        document_ids=ids,
        relevant=tuple({one: 1} for one in ids),
        primary="mrr@10",
    )


def _cut(text: str) -> tuple[str, str]:
    middle = max(1, len(text) // 5)
    return text[:middle], text[middle:]
