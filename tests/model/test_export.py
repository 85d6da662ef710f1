"""An export is complete or absent, and never writes over anything."""

import errno
import json
import resource
import stat
from pathlib import Path

import pytest
from safetensors import safe_open

from llmagentos.encoder import StaticEncoder
from llmagentos.errors import OutputError
from llmagentos.model import export_model

from ..encoder.tiny import word_tokenizer


@pytest.fixture
def encoder() -> StaticEncoder:
    return StaticEncoder(word_tokenizer(), dimension=8)


def test_files_of_a_static_model(encoder: StaticEncoder, tmp_path: Path) -> None:
    out = export_model(encoder, tmp_path / "deep" / "model", card="# Card\n")
    assert sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()) == [
        "1_Normalize/config.json",
        "README.md",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "tokenizer.json",
    ]
    with safe_open(out / "model.safetensors", "np") as weights:
        assert list(weights.keys()) == ["embedding.weight"]
    tokenizer = json.loads((out / "tokenizer.json").read_text())
    assert tokenizer["truncation"] is None and tokenizer["padding"] is None
    assert (out / "README.md").read_text() == "# Card\n"


def test_permissions_are_those_of_new_files(encoder: StaticEncoder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    out = export_model(encoder, tmp_path / "model", card="")
    for ours, usual in (("model", "folder"), ("model/model.safetensors", "file")):
        assert stat.S_IMODE((tmp_path / ours).stat().st_mode) == stat.S_IMODE(
            (tmp_path / usual).stat().st_mode
        )
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert out.is_dir()


def test_an_empty_folder_may_be_given(encoder: StaticEncoder, tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    assert (export_model(encoder, tmp_path / "staging", card="") / "modules.json").exists()


@pytest.mark.parametrize("is_file", [False, True])
def test_what_exists_is_never_written_over(encoder: StaticEncoder, tmp_path: Path, is_file: bool) -> None:
    out = tmp_path / "model"
    if is_file:
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "mine.txt").write_text("mine")
    with pytest.raises(
        OutputError, match=r"model exists already; give a new folder or remove it first \(--out\)"
    ):
        export_model(encoder, out, card="")
    assert (out if is_file else out / "mine.txt").read_text() == "mine"


def test_a_full_disk_leaves_nothing(encoder: StaticEncoder, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(
            OutputError, match=r"cannot be written to .*model: .*; free some space or give another"
        ):
            export_model(encoder, tmp_path / "model", card="")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_at_the_end_leaves_nothing(
    encoder: StaticEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OutputError, match="No space left on device; free some space"):
        export_model(encoder, tmp_path / "model", card="")
    assert list(tmp_path.iterdir()) == []
