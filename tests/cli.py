"""Runs the command line in this process, as a shell would, and texts small enough for it."""

import io
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from llmagentos.__main__ import main

ENGLISH = [
    f"The {animal} {verb} over the {place} while number {number} of the {things} waits."
    for number, (animal, verb, place, things) in enumerate(
        (animal, verb, place, things)
        for animal in ("quick fox", "lazy dog", "grey cat")
        for verb in ("jumps", "flies", "walks")
        for place in ("old fence", "river", "garden wall")
        for things in ("birds", "stones")
    )
]
CHINESE = [
    f"{who}在{where}{what}，这是第{number}个没有标签的句子。"
    for number, (who, where, what) in enumerate(
        (who, where, what)
        for who in ("模型", "学生", "工程师")
        for where in ("北京", "上海", "实验室")
        for what in ("学习有用的表示", "阅读大量文本", "比较两种方法")
    )
]
TINY = (
    "--set=training.batch_size=8",
    "--set=encoder.dimension=16",
    "--set=tokens.vocabulary_size=300",
    "--set=training.checkpoint_steps=2",
)


@dataclass(frozen=True, slots=True)
class Run:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one sentence of a command that refused; fails where there is not exactly one."""
        assert self.status == 2, self
        lines = [line for line in self.err.splitlines() if line]
        assert len(lines) == 1 and lines[0].startswith("llmagentos: "), self
        assert "Traceback" not in self.err + self.out
        return lines[0]


def run(*arguments: str | Path, stdin: bytes = b"") -> Run:
    """Run `llmagentos ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv, sys.stdin
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    sys.argv, sys.stdin = ["llmagentos", *map(str, arguments)], io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
        status = 0
    except SystemExit as exit:
        status = exit.code if isinstance(exit.code, int) else 1
    finally:
        sys.argv, sys.stdin = before
        for number, handler in signals.items():
            signal.signal(number, handler)
    return Run(status, out.getvalue(), err.getvalue())


def write_texts(folder: Path, texts: Sequence[str] = ENGLISH) -> Path:
    """A .txt of one text a line."""
    path = folder / "texts.txt"
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path
