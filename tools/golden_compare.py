"""Whether training is bit for bit what it was at another commit, on this machine.

    make golden-compare REF=main

Runs the golden loss curve (`tests/training/golden.py`) of the working tree and of a checkout of REF.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_CURVE = """
import json, pathlib, tempfile
from tests.training.golden import loss_curve
with tempfile.TemporaryDirectory() as folder:
    print(json.dumps(loss_curve(pathlib.Path(folder))))
"""


def curve(tree: Path) -> list[float]:
    """The losses of 50 steps with the package and the tests of that tree."""
    paths = os.pathsep.join([str(tree / "src"), str(tree)])  # before the package that is installed
    done = subprocess.run(
        [sys.executable, "-c", _CURVE],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    losses: list[float] = json.loads(done.stdout.splitlines()[-1])
    return losses


def first_difference(ours: list[float], theirs: list[float]) -> str | None:
    """The first step whose losses differ, in words; None where all are the same to the last bit.

    Example:
        >>> first_difference([2.0, 1.5], [2.0, 1.25])
        'step 2: loss 1.5 here, 1.25 there'
    """
    for step, (here, there) in enumerate(zip(ours, theirs, strict=True), start=1):
        if here != there:
            return f"step {step}: loss {here!r} here, {there!r} there"
    return None


def main(arguments: list[str]) -> int:
    """Compare; the exit status is 0 where nothing differs."""
    if len(arguments) != 1:
        print("which commit? make golden-compare REF=COMMIT", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        added = subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", tree, arguments[0]], cwd=ROOT
        )
        if added.returncode != 0:
            return 2
        try:
            ours, theirs = curve(ROOT), curve(tree)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
    difference = first_difference(ours, theirs)
    print(difference or f"the losses of {len(ours)} steps are the same bits as at {arguments[0]}")
    return 0 if difference is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
