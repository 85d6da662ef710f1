"""Files that are whole or absent."""

from pathlib import Path

import pytest

from llmagentos.training import write_whole


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    for text in ("{}", "[1, 2]"):
        write_whole(tmp_path / "a.json", text)
        assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", text)]


def test_what_was_there_stays_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a.json", "{}")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a.json", "[1, 2]")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "{}")]
