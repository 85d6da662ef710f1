"""Where a run works: beside its output, which appears whole at the end or not at all.

    OUT.partial/     .lock corpus/ store/ run/ probe.json model/, until the run has ended
    OUT/             the finished model folder, put in place by one rename

A run that was killed leaves OUT.partial for `--resume`, and so does one that was stopped, or had no more
memory, or lost another process, after it had read all the text. A run that fails otherwise before its first
checkpoint leaves nothing, also no folder above OUT that it had to make; one that was going on keeps what it
found. The lock keeps a second run out, and tells our folders from those of others, which are never touched.
"""

import errno
import fcntl
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from llmagentos.corpus import write_whole
from llmagentos.errors import InputError, LostProcessError, OutOfMemoryError, OutputError, TrainingError
from llmagentos.pipeline._start import STATIC_FOLDER, STATIC_RUN
from llmagentos.training import difference, latest_checkpoint, plain

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# tokenizers writes its file in Rust and raises a plain Exception with the number in its text.
_FULL_IN_RUST = re.compile(rf"\(os error ({'|'.join(map(str, _FULL))})\)")
_LOCK = ".lock"


@contextmanager
def workspace(out: Path, *, resume: bool, resumable: bool = True) -> Iterator[Path]:
    """The working folder of a run that will end in `out`.

    Args:
        out: where the model is to be.
        resume: go on in the folder that an earlier run left.
        resumable: keep what was trained when the run stops.

    Yields:
        OUT.partial, new or as the earlier run left it.

    Raises:
        OutputError: `out` exists; an unfinished run is there and `resume` is false; another run is at
            work there; OUT.partial is not ours; or the disk is full.
        InputError: `resume` is true and there is nothing to go on with.
    """
    if not out.resolve().name:
        raise OutputError(f"--out must be a new folder, got {out}; for example --out my-model")
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
    is_ours = (work / _LOCK).exists() or (work.is_dir() and not any(work.iterdir()))
    if work.exists() and not is_ours:
        raise OutputError(f"{work} is in the way and is not of a run; move it, or choose another --out")
    made = [folder for folder in work.parents if not folder.exists()]
    try:
        with _locked(work):
            if out.exists():  # another run has just published it
                raise OutputError(f"{out} exists already; choose another --out, or remove it first")
            _clear(work, resume=resume)
            try:
                yield work
            except BaseException as error:
                stopped = isinstance(error, KeyboardInterrupt | OutOfMemoryError | LostProcessError)
                kept = resumable and (_has_trained(work) or (stopped and _has_read_all(work)))
                if not kept and not resume:
                    shutil.rmtree(work, ignore_errors=True)
                if (refusal := _refusal(error, out, work, kept=kept)) is not None:
                    raise refusal from error
                raise
    except OSError as error:  # before anything was done
        if (refusal := _refusal(error, out, work, kept=False)) is not None:
            raise refusal from error
        raise
    finally:
        for folder in made:
            with suppress(OSError):  # what holds something stays
                folder.rmdir()


def publish(finished: Path, out: Path) -> None:
    """Put the finished folder in place and remove the working folder around it."""
    finished.rename(out)
    # On NFS the lock, which is open, keeps its folder from going: the run is finished all the same.
    shutil.rmtree(finished.parent, ignore_errors=True)


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Make the folder where it is missing, and hold it for this process, also across a kill."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"another run is at work in {work}; wait for it, or choose another --out"
            ) from error
        except OSError as error:
            raise OutputError(
                f"{work} is on a file system that cannot lock files ({error}); choose an --out on another"
            ) from error
        yield


def _has_trained(work: Path) -> bool:
    """Whether there is something of a training to go on from, of the table that `small` grows on as well."""
    return (work / STATIC_FOLDER).exists() or any(
        latest_checkpoint(work / run / "checkpoints") is not None for run in ("run", STATIC_RUN)
    )


def _has_read_all(work: Path) -> bool:
    """Whether what took a run's reading and tokenising is there to go on from."""
    return (work / "store").exists()


def _clear(work: Path, *, resume: bool) -> None:
    """Remove what an earlier run left that this one makes itself."""
    if not resume and _has_read_all(work):
        raise OutputError(
            f"an unfinished run is in {work}; go on with --resume, or remove that folder to start anew"
        )
    for left in work.iterdir():
        # A run that was killed between export and publication left a model that is made again.
        if left.name != _LOCK and (not resume or left.name == "model"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def _refusal(
    error: BaseException, out: Path, work: Path, *, kept: bool
) -> OutputError | TrainingError | None:
    """What to tell of an error that has to do with the place of the output or memory; None for any other."""
    go_on = f"what was done is kept in {work}: go on with the same command and --resume, or remove it"
    if isinstance(error, OutputError | OutOfMemoryError):
        return type(error)(f"{error}; {go_on}") if kept and "--resume" not in str(error) else None
    if (isinstance(error, OSError) and error.errno in _FULL) or _FULL_IN_RUST.search(str(error)):
        reason, advice = f"the disk is full: {error}", "free some space or give another --out"
    elif isinstance(error, OSError) and _is_within(error, work):
        reason, advice = str(error), "check --out and its permissions"
    else:
        return None
    return OutputError(f"{out} cannot be written ({reason}); {go_on if kept else advice}")


def _is_within(error: OSError, work: Path) -> bool:
    """Whether the error is about the working folder or one above it, and not about some input."""
    path = Path(str(error.filename))
    return path == work or work in path.parents or path in work.parents


def decided(work: Path, name: str, now: bool) -> bool:
    """What a run that goes on decided at its start, or what one that begins decides now."""
    return bool(_settings(work).get(name, now))


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
    stored = _settings(work)
    if not stored:
        write_whole(path, json.dumps(given))
        return
    if stored != given:
        raise InputError(
            f"the unfinished run in {work} was started with other settings: {difference(stored, given)}; "
            "go on with the same settings (of training by --set, where this version chooses others), or "
            "remove that folder to start anew"
        )


def _settings(work: Path) -> dict[str, Any]:
    """What a run was started with; nothing where it begins."""
    path = work / "settings.json"
    try:
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(settings, dict):
        raise _damaged(path, "it is no object")
    return settings


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path} is damaged ({reason}); remove it to go on with the same settings as before, or remove "
        f"{path.parent} to start anew"
    )
