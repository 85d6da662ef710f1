"""A command that is limited leaves nothing of it behind, also what it limits itself."""

import time
from pathlib import Path

import pytest

from benchmarks._limited import run_limited

NESTED = """
import sys
from benchmarks._limited import run_limited
run_limited("inner", ["-c", sys.argv[1]], 60)
"""
TELLS = "import os, pathlib, time; pathlib.Path({path!r}).write_text(str(os.getpid())); time.sleep(60)"


def test_the_end_of_one_is_the_end_of_those_within(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with pytest.raises(RuntimeError, match="outer: not done after 10 s"):
        run_limited("outer", ["-c", NESTED, TELLS.format(path=str(path))], 10)
    number = int(path.read_text())
    for _ in range(50):  # until the kernel has taken it away
        if has_ended(number):
            return
        time.sleep(0.1)
    raise AssertionError("it goes on")


def has_ended(number: int) -> bool:
    """Whether a process is gone, or waits for a parent that may never ask for it."""
    try:
        status = Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"
