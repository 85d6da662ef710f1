"""Every file in examples/ runs by itself, offline and without a warning, and shows what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, folder: Path) -> str:
    """What an example prints; it must end well and warn of nothing."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder), "TQDM_DISABLE": "1"}
    ended = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=folder,
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=240,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout


def test_no_example_is_left_out() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {"strings.py", "huggingface_datasets.py", "sentence_transformers_trainer.py"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: str(path.stem))
def test_an_example_says_how_to_run_it_and_is_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert f"python examples/{path.name}" in text.split('"""')[1]
    assert len(text.splitlines()) < 80


def test_strings(tmp_path: Path) -> None:
    out = run("strings.py", tmp_path)
    epochs = re.findall(r"  epoch (\d): (.+)", out)
    assert [number for number, _ in epochs] == ["0", "1", "2"]
    assert len({view for _, view in epochs}) == 3
    assert "asked again, with others beside it: the same" in out
    chain = out.partition("a_chain_of_your_own")[2].partition("what_was_changed")[0]
    assert chain.count("cup of coffee") == chain.count("对比学习") == 2  # protected, in both views
    assert re.search(r"^  word_deletion +\S+ -> left out$", out, re.M)


def test_huggingface_datasets(tmp_path: Path) -> None:
    out = run("huggingface_datasets.py", tmp_path)
    epochs = re.findall(r"  epoch \d: (.+)", out)
    assert len(set(epochs)) == 3
    assert "with the same views: True" in out
    assert "36 rows of text, anchor, positive" in out
    # Written down is what the transform makes in that epoch.
    assert epochs[0].removeprefix("{") in out.partition("written_down")[2]


def test_sentence_transformers_trainer(tmp_path: Path) -> None:
    out = run("sentence_transformers_trainer.py", tmp_path)
    epochs = re.findall(r"^epoch (\d+): text 0 is now (.+)$", out, re.M)
    assert [int(number) for number, _ in epochs] == list(range(10))
    assert len({view for _, view in epochs}) > 5  # a short text has few crops
    scores = re.search(r"MRR@10: (\S+) -> (\S+)$", out, re.M)
    assert scores is not None
    before, after = map(float, scores.groups())
    assert after > 2 * before > 0
