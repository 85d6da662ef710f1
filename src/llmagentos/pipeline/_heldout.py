"""The held-out texts of a run as a retrieval task, when it is trained and whenever it is evaluated."""

from pathlib import Path
from typing import Final

import orjson

from llmagentos.errors import InputError
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
        The task, or None where it would have fewer than 10 queries.

    Raises:
        InputError: the file is damaged.
    """
    rows = [_title_and_text(path, line) for line in path.read_bytes().splitlines()[:limit]]
    titled = [(title, text) for title, text in rows if title]
    if 2 * len(titled) >= len(rows):
        name, pairs = "held-out title -> text", titled
    else:
        name, pairs = "held-out beginning -> rest", [beginning_and_rest(text) for _, text in rows]
    if len(pairs) < _FEWEST_HELDOUT:
        return None
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


def _title_and_text(path: Path, line: bytes) -> tuple[str, str]:
    try:
        row = orjson.loads(line)
        return str(row["title"]), str(row["text"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged: a row is no object with title and text; say what to measure with --task PATH"
        ) from error


def beginning_and_rest(text: str) -> tuple[str, str]:
    """The first fifth of a text, and the rest.

    Example:
        >>> beginning_and_rest("one two three four five")
        ('one ', 'two three four five')
    """
    middle = max(1, len(text) // 5)
    return text[:middle], text[middle:]
