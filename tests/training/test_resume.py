"""A run that is killed and goes on ends with the very bits of one that was left alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmagentos.training import read_metrics

ROOT = Path(__file__).parents[2]
CASES = ["static-adamw", "static-sgd", "bert-adamw", "bert-sgd"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """All runs of killed.py, and what they said."""
    folder = tmp_path_factory.mktemp("runs")
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment |= {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.killed", str(folder), "0"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout.splitlines()


def weights(folder: Path) -> bytes:
    return (folder / "final.safetensors").read_bytes()


@pytest.mark.parametrize("how", ["killed", "writing"])
@pytest.mark.parametrize("case", CASES)
def test_killed_again_and_again(runs: tuple[Path, list[str]], case: str, how: str) -> None:
    folder = runs[0] / case
    assert weights(folder / how) == weights(folder / "whole")
    rows, whole = (read_metrics(folder / name / "metrics.jsonl") for name in (how, "whole"))
    assert [(row.step, row.loss, row.gradient_norm) for row in rows] == [
        (row.step, row.loss, row.gradient_norm) for row in whole
    ]
    assert [path.name for path in (folder / how / "checkpoints").iterdir()] == ["step-00000022"]


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(
    runs: tuple[Path, list[str]],
) -> None:
    folder, messages = runs[0] / "full-disk", runs[1]
    assert len(messages) == 3
    assert "the metrics in" in messages[0] and "free some space" in messages[0]
    for message in messages[1:]:
        assert "cannot be written" in message and "free some space" in message
    assert not list((folder / "10000-0" / "checkpoints").iterdir())
    assert weights(folder / "10000-12") == weights(folder / "whole")


@pytest.mark.parametrize("how", ["soon", "later", "at once"])
def test_a_run_for_which_memory_ran_out_goes_on_with_as_little_at_a_time(
    runs: tuple[Path, list[str]], how: str
) -> None:
    folder = runs[0] / "out-of-memory"
    slots = [(folder / name / "micro_batches.json").read_text() for name in ("whole", how)]
    assert slots[0] == slots[1]
    (_, first), (step, less) = json.loads(slots[0])
    assert (first, step) == (256, 7) and 100 < less <= 128  # half of what it took of 256
    assert weights(folder / how) == weights(folder / "whole")
    losses = [[row.loss for row in read_metrics(folder / name / "metrics.jsonl")] for name in ("whole", how)]
    assert losses[0] == losses[1] and len(losses[0]) == 22
