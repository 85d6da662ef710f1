"""Run a command for a limited time, and leave nothing of it behind.

A command that runs others by this again is in one session with them, so that the end of it is theirs.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from benchmarks._provenance import ROOT

_WITHIN = "LLMAGENTOS_BENCHMARK_IS_LIMITED"


def run_limited(name: str, command: Sequence[str], seconds: float) -> None:
    """Run Python with `command` and the repository importable; its output goes to standard error.

    Raises:
        RuntimeError: It failed, or was not done after `seconds`; it is ended, and with the outermost one all
            that was started within.
    """
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    is_outermost = _WITHIN not in os.environ
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=2,  # standard output is for JSON lines only
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), _WITHIN: "1"},
        start_new_session=is_outermost,
    )
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{name}: not done after {seconds:g} s") from None
    finally:  # also on Ctrl-C; the whole group, since a unit may have started others, which may outlive it
        if is_outermost:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
    if status != 0:
        raise RuntimeError(f"{name}: exit status {status}, its output above says why")
