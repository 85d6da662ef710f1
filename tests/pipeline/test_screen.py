"""What a person sees of a run, on a terminal and in a log."""

import io
import re
import time

import pytest
from rich.console import Console

from llmagentos.pipeline import Update, progress_bars
from llmagentos.pipeline._screen import fitting

_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
NOTE = "loss 3.214  12,345 texts/s  alignment 0.45  uniformity -3.12  86 s left"


@pytest.fixture(autouse=True)
def _terminal_with_a_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def _shown(width: int, *, terminal: bool) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=40, force_terminal=terminal, color_system=None)
    with progress_bars(console) as show:
        show(Update(stage="corpus", done=10, total=100, note="1,000 documents [b]"))
        show(Update(stage="corpus", done=100, total=100, note="10,000 documents"))
        show(Update(stage="training", done=1, total=100, note=NOTE))
        show(Update(stage="training", done=100, total=100, note=NOTE))
    return _MOVES.sub("", out.getvalue().replace("\r", "\n")).splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_a_bar_a_stage_and_no_line_wraps(width: int) -> None:
    lines = _shown(width, terminal=True)
    assert max(map(len, lines)) <= width
    last = [line for line in lines if "✓" in line][-2:]
    assert "corpus" in last[0] and "10,000 documents" in last[0]
    assert "training" in last[1] and "loss 3.214  12,345 texts/s" in last[1]
    assert ("86 s left" in last[1]) == (width == 120)


def test_a_narrow_terminal_shows_the_whole_note_below_the_bars_while_it_changes() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, height=40, force_terminal=True, color_system=None)
    with progress_bars(console) as show:
        show(Update(stage="training", done=1, total=100, note=NOTE))
        time.sleep(0.3)  # the screen is drawn ten times a second
    assert f"  {NOTE}" in [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_log_has_whole_lines_the_first_and_the_last_of_each_stage() -> None:
    assert _shown(40, terminal=False) == [
        "corpus  10% 1,000 documents [b]",
        "corpus 100% 10,000 documents",
        f"training   1% {NOTE}",
        f"training 100% {NOTE}",
    ]


@pytest.mark.parametrize(
    ("width", "expected"), [(200, NOTE), (30, "loss 3.214  12,345 texts/s"), (12, "loss 3.214"), (3, "")]
)
def test_whole_fields_are_left_out(width: int, expected: str) -> None:
    assert fitting(NOTE, width) == expected
