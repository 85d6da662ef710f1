"""Processes of a test, which may be killed."""

import os
import signal
import sys
from collections.abc import Callable

import torch


def start(action: Callable[[], None]) -> int:
    """Run in a child on one thread, for two minutes at most; its number."""
    if (child := os.fork()) == 0:
        signal.alarm(120)
        try:
            torch.set_num_threads(1)
            action()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    return child


def ends(*children: int) -> list[int]:
    """Exit statuses, negative for a signal."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def fork(action: Callable[[], None]) -> int:
    """Run in a child; its exit status, negative for a signal."""
    return ends(start(action))[0]
