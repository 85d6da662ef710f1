"""Real texts from ../shared/data, chosen the same way in every run."""

import json
from collections.abc import Iterator
from typing import Any

import xxhash
import zstandard

from benchmarks._provenance import data_path


def read_rows(name: str) -> Iterator[dict[str, Any]]:
    """The rows of a .jsonl.zst file."""
    with zstandard.open(data_path(name), "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def hashed(text: str) -> int:
    """What texts are chosen by: the same anywhere, and unrelated to what a text says."""
    return xxhash.xxh3_64_intdigest(text.encode())
