"""Real texts from ../shared/data, chosen the same way in every run."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import xxhash
import zstandard

from benchmarks._provenance import data_path


def read_lines(name: str) -> Iterator[str]:
    """The lines of a .zst file, without their ends."""
    with zstandard.open(data_path(name), "rt", encoding="utf-8") as lines:
        yield from (line.rstrip("\n") for line in lines)


def read_rows(name: str) -> Iterator[dict[str, Any]]:
    """The rows of a .jsonl.zst file."""
    yield from map(json.loads, read_lines(name))


def hashed(text: str) -> int:
    """What texts are chosen by: the same anywhere, and unrelated to what a text says."""
    return xxhash.xxh3_64_intdigest(text.encode())


def smallest(rows: Iterable[dict[str, Any]], key: str, number: int) -> list[dict[str, Any]]:
    """The rows whose ids have the smallest hashes."""
    return sorted(rows, key=lambda row: hashed(str(row[key])))[:number]
