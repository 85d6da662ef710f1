"""What a run was started with, kept beside it."""

from pathlib import Path

import pytest

from llmagentos.errors import InputError, OutputError
from llmagentos.pipeline._workspace import decided, remember_settings, workspace


def test_a_run_that_goes_on_keeps_to_what_it_decided(tmp_path: Path) -> None:
    assert decided(tmp_path, "trial", True) and not decided(tmp_path, "trial", False)
    remember_settings(tmp_path, {"trial": True})
    assert decided(tmp_path, "trial", False)
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("made", ["store", "static", "static-run/checkpoints/step-00000005"])
def test_a_full_disk_takes_nothing_that_was_trained(tmp_path: Path, made: str) -> None:
    """Of `small` the table is trained before the run itself has a checkpoint."""
    out = tmp_path / "model"
    with pytest.raises(OutputError) as caught, workspace(out, resume=False) as work:
        (work / made).mkdir(parents=True)
        raise OutputError("the checkpoint cannot be written; free some space")
    assert work.exists() == (made != "store") == ("--resume" in str(caught.value))


def test_other_settings_are_told(tmp_path: Path) -> None:
    remember_settings(tmp_path, {"loss": {"temperature": 0.05}})
    remember_settings(tmp_path, {"loss": {"temperature": 0.05}})
    with pytest.raises(InputError, match=r"other settings: .*temperature was 0\.05 and is now 0\.1"):
        remember_settings(tmp_path, {"loss": {"temperature": 0.1}})


@pytest.mark.parametrize("content", ['{"loss": ', "[]", '"text"', "\xff"])
def test_settings_that_are_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / "settings.json").write_text(content, encoding="latin-1")
    with pytest.raises(
        InputError, match=r"settings\.json is damaged .*; remove it to go on .* to start anew"
    ):
        remember_settings(tmp_path, {})
