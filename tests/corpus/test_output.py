"""Files that are whole or absent."""

import errno
import os
from pathlib import Path

import pytest

from llmagentos.corpus import write_whole
from llmagentos.errors import OutputError


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    for content in ("{}", b"[1, 2]"):
        write_whole(tmp_path / "a.json", content)
        wanted = content if isinstance(content, bytes) else content.encode()
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.json", wanted)]


def test_a_folder_is_made(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "a.json", "{}")
    assert (tmp_path / "new" / "a.json").read_text() == "{}"


def test_a_path_that_is_not_unicode_is_escaped(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", os.fsdecode(b"na\xefve"))
    assert (tmp_path / "a.json").read_text() == "na\\udcefve"


def test_a_name_may_be_as_long_as_a_name_may_be(tmp_path: Path) -> None:
    write_whole(tmp_path / ("a" * 255), "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["a" * 255]


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "disk .* full .*; free some space"), (errno.EROFS, "Read-only")]
)
def test_what_was_there_stays_where_the_disk_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    write_whole(tmp_path / "a.json", "{}")

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OutputError, match=message):
        write_whole(tmp_path / "a.json", "[1, 2]")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "{}")]


def test_a_folder_made_for_nothing_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "new" / "a.json", "{}")
    assert not list(tmp_path.iterdir())
