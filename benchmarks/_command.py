"""The command line, as a user runs it."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._provenance import data_path


def llmagentos(*arguments: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "llmagentos", *map(str, arguments)]
    return subprocess.run(command, text=True, stdin=subprocess.DEVNULL, **options)


def train(inputs: Sequence[str | Path], out: Path, *options: str) -> float:
    """Train with the command line on files, or names in ../shared/data; the minutes of the whole command."""
    began = time.monotonic()
    files = [name if isinstance(name, Path) else data_path(name) for name in inputs]
    llmagentos("train", *files, "--out", out, *options, check=True)
    return (time.monotonic() - began) / 60


def steps(out: Path) -> dict[str, float]:
    """How far a run came."""
    last = json.loads((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return {
        "steps": last["step"],
        "texts per second": last["texts_per_second"],
        "training seconds": last["seconds"],
    }
