"""Inputs are found, passed over or refused for a reason, and their bytes stream in bounded memory."""

import errno
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from llmagentos.corpus import Document, Skipped, read_documents
from llmagentos.corpus import _sources as sources_module
from llmagentos.errors import InputError


def reasons(items: list[Document | Skipped]) -> dict[str, str]:
    return {item.location: item.reason for item in items if isinstance(item, Skipped)}


def test_a_huge_line_costs_no_memory(tmp_path: Path) -> None:
    # 400 MB of one byte are 13 kB of zstandard: a reader that collects the line needs them all.
    path = tmp_path / "a.txt.zst"
    compressor = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as file:
        file.write(compressor.compress(b"before\n"))
        for _ in range(100):
            file.write(compressor.compress(b"x" * 4_000_000))
        file.write(compressor.compress(b"\nafter\n") + compressor.flush())
    tracemalloc.start()
    items = list(read_documents([path]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [getattr(item, "text", None) for item in items] == ["before", None, "after"]
    assert items[1] == Skipped(reason="line longer than 16 MiB", location="a.txt.zst:2")
    assert peak < 150 << 20


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_do_not_depend_on_where_the_chunks_end(size: int) -> None:
    data = b"one\n\ntwo is a longer line\nthree\nend"
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    lines = list(sources_module.read_lines(chunks, "x", limit=10))
    assert lines == [
        (1, b"one"),
        (2, b""),
        Skipped(reason="line longer than 10 bytes", location="x:3"),
        (4, b"three"),
        (5, b"end"),
    ]


def test_folders_are_sorted_recursive_and_safe_from_loops(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "b" / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.txt").write_text("hidden\n")
    (folder / "a.txt").write_text("text a\n")
    (folder / "b" / "deep" / "c.md").write_text("text c\n")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "b" / "deep" / "up").symlink_to(folder)
    (folder / "b" / "again").symlink_to(folder / "b" / "deep")
    (folder / "broken.txt").symlink_to(folder / "nowhere.txt")
    items = list(read_documents([folder]))
    assert [item.id for item in items if isinstance(item, Document)] == [
        "docs/a.txt:1",
        "docs/b/again/c.md:1",
    ]
    assert reasons(items) == {
        "docs/b/again/up": "link to a folder already read",
        "docs/b/deep": "link to a folder already read",
        "docs/broken.txt": "file cannot be read",
        "docs/picture.png": "file type not read: .png",
    }


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX systems only")
def test_file_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad\xff.txt")).write_text("a text\n")
    (item,) = read_documents([tmp_path])
    assert isinstance(item, Document)
    assert item.id.endswith("bad\ufffd.txt:1")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "corpus.jsnl", "did you mean .*corpus.jsonl"),
        (lambda folder: folder / "missing.txt", "missing.txt; check the spelling"),
        (lambda folder: folder / "no" / "a.txt", "does not exist either"),
        (lambda folder: folder / "notes.pdf", "not a form of text that can be read .*\\.jsonl"),
        (lambda folder: folder / "empty", "nothing that can be read, found: no files"),
        (lambda folder: folder / "pictures", "file type not read: .png \\(1\\)"),
    ],
)
def test_inputs_that_cannot_be_read_are_one_sentence(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"text": "x"}\n')
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    (tmp_path / "empty").mkdir()
    (tmp_path / "missing.txt.partial").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match=message):
        list(read_documents([make(tmp_path)]))


def test_a_missing_second_input_is_said_before_the_first_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text\n")
    with pytest.raises(InputError, match="there is no file or folder"):
        read_documents([tmp_path / "a.txt", tmp_path / "b.txt"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX systems")
def test_a_pipe_in_a_folder_is_passed_over_and_one_that_was_named_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("a text\n")
    os.mkfifo(folder / "b.txt")
    assert reasons(list(read_documents([folder]))) == {"docs/b.txt": "no regular file"}
    (found,) = sources_module.find_sources(folder / "b.txt")
    assert isinstance(found, sources_module.Source)


def test_a_path_that_the_system_refuses_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(File name too long\); check the path"):
        read_documents([tmp_path / ("x" * 300 + ".txt")])


def test_a_folder_that_may_not_be_entered_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its names can be listed and nothing else, for anybody but the superuser who may run this."""
    folder = tmp_path / "docs"
    (folder / "closed" / "deep").mkdir(parents=True)
    (folder / "closed" / "a.txt").write_text("a text\n")
    (folder / "b.txt").write_text("a text\n")
    real = os.stat

    def refusing(path: Path | str, **settings: bool) -> os.stat_result:
        if "/closed/" in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, follow_symlinks=settings.get("follow_symlinks", True))

    monkeypatch.setattr(os, "stat", refusing)
    items = list(read_documents([folder]))
    assert [item.id for item in items if isinstance(item, Document)] == ["docs/b.txt:1"]
    assert reasons(items) == {
        "docs/closed/a.txt": "file cannot be read",
        "docs/closed/deep": "file cannot be read",
    }
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\); check the path"):
        list(read_documents([folder / "closed" / "a.txt"]))


def test_a_name_that_begins_with_a_tilde_is_no_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "~notes.txt").write_text("a text\n")
    for given in ("~notes.txt", "~/~notes.txt"):
        (document,) = read_documents([given])
        assert isinstance(document, Document) and document.text == "a text"
    with pytest.raises(InputError, match=r"there is no file or folder ~nobody-of-this-name/a\.txt"):
        read_documents(["~nobody-of-this-name/a.txt"])
