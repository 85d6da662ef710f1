"""Where a run works: beside its output, which appears whole at the end or not at all.

    OUT.partial/     corpus/ store/ run/ probe.json model/, until the run has ended
    OUT/             the finished model folder, put in place by one rename

A run that was killed leaves OUT.partial for `--resume`. A run that fails before its first
checkpoint leaves nothing, also no folder above OUT that it had to make.
"""

import errno
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from llmagentos.errors import InputError, LLMAgentOSError, OutputError
from llmagentos.training import difference, latest_checkpoint, plain

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# tokenizers writes its file in Rust and raises a plain Exception with the number in its text.
_FULL_IN_RUST = re.compile(rf"\(os error ({'|'.join(map(str, _FULL))})\)")


@contextmanager
def workspace(out: Path, *, resume: bool) -> Iterator[Path]:
    """The working folder of a run that will end in `out`.

    Args:
        out: where the model is to be.
        resume: go on in the folder that an earlier run left.

    Yields:
        OUT.partial, new or as the earlier run left it.

    Raises:
        OutputError: `out` exists, or an unfinished run is there and `resume` is false, or the disk is
            full.
        InputError: `resume` is true and there is nothing to go on with.
    """
    work = out.with_name(out.name + ".partial")
    if out.exists():
        advice = "choose another --out, or remove it first"
        if resume:
            advice = "it is finished, so there is nothing to go on with"
            if work.exists():  # killed while it was cleaning up
                advice += f"; {work} is left over and can be removed"
        raise OutputError(f"{out} exists already; {advice}")
    if resume and not work.is_dir():
        raise InputError(f"there is no unfinished run in {work}; start it without --resume")
    if work.exists() and not resume:
        if latest_checkpoint(work / "run" / "checkpoints") is not None:
            raise OutputError(
                f"an unfinished run is in {work}; go on with --resume, or remove that folder to start anew"
            )
        shutil.rmtree(work)
    made = [folder for folder in work.parents if not folder.exists()]
    try:
        work.mkdir(parents=True, exist_ok=True)
        # A run that was killed between export and publication left a model that is made again.
        shutil.rmtree(work / "model", ignore_errors=True)
        yield work
    except BaseException as error:
        if latest_checkpoint(work / "run" / "checkpoints") is None:
            shutil.rmtree(work, ignore_errors=True)
            for folder in made:
                with suppress(OSError):  # others may have put something there
                    folder.rmdir()
        if isinstance(error, LLMAgentOSError):
            raise
        if isinstance(error, OSError) or _FULL_IN_RUST.search(str(error)):
            raise _cannot_write(out, error) from error
        raise


def publish(finished: Path, out: Path) -> None:
    """Put the finished folder in place and remove the working folder around it."""
    finished.rename(out)
    shutil.rmtree(finished.parent)


def _cannot_write(out: Path, error: BaseException) -> OutputError:
    if not isinstance(error, OSError) or error.errno in _FULL:
        return OutputError(f"the disk is full: {error}; free some space or give another --out than {out}")
    return OutputError(f"{out} cannot be written ({error}); check --out and its permissions")


def remember_settings(work: Path, settings: dict[str, Any]) -> None:
    """Write down what a run was started with, or see that it goes on with the same.

    The corpus, the tokens and the probe of a run that is resumed are used as they are, so they must
    come from the same settings.

    Args:
        work: the working folder.
        settings: plain values, nested as deep as you like.

    Raises:
        InputError: the run was started with other settings; names the first.
    """
    path = work / "settings.json"
    given = plain(settings)
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(given), encoding="utf-8")
        partial.replace(path)
        return
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored != given:
        raise InputError(
            f"the unfinished run in {work} was started with other settings: {difference(stored, given)}; "
            "go on with the same settings, or remove that folder to start anew"
        )
