"""Runs that end badly, each in a process of its own, forked from one that has imported everything."""

import io
import multiprocessing
import os
import pkgutil
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from llmagentos.__main__ import main
from llmagentos.config import Config
from llmagentos.pipeline import Update, train

from .cli import Run

_context = multiprocessing.get_context("forkserver")
# What a child imports for itself costs seconds; so this file imports little, and these come before.
_context.set_forkserver_preload(["llmagentos.pipeline", "llmagentos.__main__", "torch.utils.tensorboard"])


def _train_until(
    moment: tuple[str, float], constants: Mapping[str, float], texts: Path, out: Path, how: dict[str, Any]
) -> None:
    stage, done = moment
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        setattr(pkgutil.resolve_name(module), constant, value)

    def watch(update: Update) -> None:
        if update.stage == stage and update.done >= done:
            os.kill(os.getpid(), signal.SIGKILL)  # no chance to clean up

    train([texts], out, on_progress=watch, **how)


def killed_at(
    moment: tuple[str, float],
    texts: Path,
    out: Path,
    encoder: str,
    config: Config,
    steps: int,
    *,
    resume: bool = False,
    constants: Mapping[str, float] | None = None,
) -> None:
    """Train, with other values of constants, and be killed when a stage has told that it has done so much."""
    how = {"encoder": encoder, "config": config, "steps": steps, "resume": resume}
    arguments = (moment, constants or {}, texts, out, how)
    process = _context.Process(target=_train_until, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not out.exists()


def _run_limited(num_bytes: int, arguments: list[str], answer: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    err = io.StringIO()
    sys.argv = ["llmagentos", *arguments]
    status = 0
    try:
        with redirect_stderr(err), open(os.devnull, "w") as sys.stdout:
            main()
    except SystemExit as exit:
        status = exit.code if isinstance(exit.code, int) else 1
    answer.send((status, err.getvalue()))


def run_with_file_limit(num_bytes: int, *arguments: str | Path) -> Run:
    """Run `llmagentos ARGUMENTS` where no file may be larger than `num_bytes`, as on a full disk."""
    ours, theirs = _context.Pipe(duplex=False)
    process = _context.Process(target=_run_limited, args=(num_bytes, [*map(str, arguments)], theirs))
    process.start()
    theirs.close()
    status, err = ours.recv()
    process.join()
    return Run(status, "", err)
