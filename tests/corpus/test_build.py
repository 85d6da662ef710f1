"""A corpus adds up, is whole or not there, and splits the same text the same way for ever."""

import errno
import hashlib
import importlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmagentos.corpus import Corpus, CorpusConfig, Document, Manifest, Progress, Skipped, build_corpus
from llmagentos.corpus import _shards as shards_module
from llmagentos.corpus._duplicates import DuplicateFinder
from llmagentos.errors import ConfigError, InputError, OutputError

pq = importlib.import_module("pyarrow.parquet")


def numbered(count: int, start: int = 0) -> list[Document]:
    """Different documents that survive cleaning."""
    return [
        Document(id=f"d{n}", text=f"This is the text of document number {n}.", title=f"Title {n}", source="s")
        for n in range(start, start + count)
    ]


def adds_up(manifest: Manifest) -> bool:
    kept = manifest.documents_kept
    return (
        manifest.documents_read + manifest.passages_added == kept + sum(manifest.dropped.values())
        and kept == manifest.num_training + manifest.num_heldout
    )


def ids(documents: Iterable[Document]) -> list[str]:
    return [document.id for document in documents]


def test_every_document_is_kept_or_counted(tmp_path: Path) -> None:
    documents: list[Document | Skipped] = [
        *numbered(30),
        Document(id="again", text="  This is the text of   document number 3."),
        Document(id="empty", text=" \n\x00 "),
        Document(id="short", text="too short"),
        Document(id="zh", text="中文七个字够了"),
        Document(id="broken", text="A lone surrogate \ud800 is replaced here.", title="\udfff"),
        Document(id="long", text=" ".join(f"Sentence {n}." for n in range(700)), title="Long"),
        Skipped(reason="broken JSON line", location="x:1"),
    ]
    corpus = build_corpus(documents, tmp_path / "corpus")
    manifest = corpus.manifest
    assert adds_up(manifest)
    assert manifest.dropped == {
        "broken JSON line": 1,
        "empty text": 1,
        "exact duplicate": 1,
        "shorter than 20 characters": 1,
    }
    assert manifest.dropped_samples["exact duplicate"] == ("again",)
    assert manifest.repaired == {"invalid characters replaced": 1}
    assert manifest.passages_added == 2
    kept = {document.id: document for document in (*corpus.training(), *corpus.heldout())}
    assert len(kept) == manifest.documents_kept
    assert kept["zh"].language == "zh"
    assert kept["long#2"].title == "Long"
    assert manifest.characters == sum(len(document.text) for document in kept.values())
    assert manifest.text_bytes == sum(len(document.text.encode()) for document in kept.values())
    assert Corpus.open(corpus.path).manifest == manifest == Manifest.from_json(manifest.to_json())


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "_SHARD_BYTES", 2_000)
    monkeypatch.setattr(shards_module, "_GROUP_ROWS", 16)
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"id": d.id, "text": d.text}) + "\n" for d in numbered(300)))
    first, second = (build_corpus([source], tmp_path / name) for name in ("a", "b"))
    assert len(first.manifest.shards) > 3
    for path in first.path.iterdir():
        assert path.read_bytes() == (second.path / path.name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "in.jsonl"]
    assert ids(first.training()) == [d.id for d in numbered(300) if d.id not in set(ids(first.heldout()))]


@given(st.sets(st.integers(0, 10_000), min_size=30, max_size=60), st.sampled_from(["content", "id"]))
@settings(max_examples=8, deadline=None)
def test_added_text_moves_nothing_between_the_sides(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], key: Literal["content", "id"]
) -> None:
    folder = tmp_path_factory.mktemp("split")
    config = CorpusConfig(heldout_fraction=0.5, heldout_key=key)
    every = [document for number in sorted(numbers) for document in numbered(1, number)]
    small = build_corpus(every[::2], folder / "small", config)
    large = build_corpus(every, folder / "large", config)
    assert set(ids(small.heldout())) <= set(ids(large.heldout()))
    assert set(ids(small.training())) <= set(ids(large.training()))


def test_the_number_of_heldout_documents_are_those_with_the_smallest_sha256(tmp_path: Path) -> None:
    documents = numbered(200)
    config = CorpusConfig(heldout_key="id", heldout_documents=20)
    corpus = build_corpus(documents, tmp_path / "corpus", config)
    by_hash = sorted(ids(documents), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert sorted(ids(corpus.heldout())) == sorted(by_hash[:20])
    assert corpus.write_heldout(tmp_path / "heldout.jsonl", limit=15) == 15
    rows = [json.loads(line) for line in (tmp_path / "heldout.jsonl").read_text().splitlines()]
    assert [row["_id"] for row in rows] == by_hash[:15]
    assert list(rows[0]) == ["_id", "title", "text"]


def test_passages_of_one_text_stay_on_one_side(tmp_path: Path) -> None:
    def long(number: int) -> str:
        return " ".join(f"Sentence {part} of text {number}." for part in range(40))

    documents = [Document(id=f"d{number}", text=long(number), title=f"T{number}") for number in range(40)]
    keys: tuple[Literal["content", "id"], ...] = ("content", "id")
    for key in keys:
        config = CorpusConfig(max_characters=200, heldout_fraction=0.3, heldout_key=key)
        corpus = build_corpus(documents, tmp_path / key, config)
        heldout = {name.split("#")[0] for name in ids(corpus.heldout())}
        assert heldout and heldout.isdisjoint(name.split("#")[0] for name in ids(corpus.training()))
        assert corpus.write_heldout(tmp_path / "heldout.jsonl") == len(heldout)
        rows = [json.loads(line) for line in (tmp_path / "heldout.jsonl").read_text().splitlines()]
        assert all(row["_id"].endswith("#1") for row in rows)


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_few_documents_are_on_both_sides(tmp_path: Path, count: int) -> None:
    corpus = build_corpus(numbered(count), tmp_path / "a")
    assert corpus.num_heldout >= 1 and corpus.num_training >= 1
    corpus = build_corpus(numbered(count), tmp_path / "b", CorpusConfig(heldout_documents=2_000))
    assert corpus.num_heldout == count // 2
    assert corpus.manifest.notes == (f"held out {count // 2} texts instead of 2000: at most half of {count}",)
    assert build_corpus(numbered(count), tmp_path / "c", CorpusConfig(heldout_fraction=0)).num_heldout == 0


def test_ids_that_repeat(tmp_path: Path) -> None:
    same = [replace(document, id="same") for document in numbered(10)]
    config = CorpusConfig(heldout_key="id", heldout_documents=4)
    message = 'all texts have the same id.*set corpus.heldout_key="content"'
    with pytest.raises(InputError, match=message):
        build_corpus(same, tmp_path / "a", config)
    twice = [replace(document, id=f"d{n % 20}") for n, document in enumerate(numbered(40))]
    corpus = build_corpus(twice, tmp_path / "b", config)
    assert corpus.num_heldout == 8
    (note,) = corpus.manifest.notes
    assert note.startswith("held out 8 documents instead of 4: ids are not unique")
    assert not build_corpus(numbered(40), tmp_path / "c", config).manifest.notes


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX systems only")
def test_an_input_path_that_is_not_utf8_is_printable_in_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"bad\xff.txt")
    path.write_text("".join(f"{document.text}\n" for document in numbered(5)))
    manifest = build_corpus([path], tmp_path / "corpus").manifest
    assert manifest.inputs[0].path.endswith("bad\ufffd.txt")


def test_an_input_given_twice_counts_its_bytes_once_each(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"{document.text}\n" for document in numbered(5)))
    manifest = build_corpus([path, path], tmp_path / "corpus").manifest
    assert [one.num_bytes for one in manifest.inputs] == [path.stat().st_size] * 2


def test_titles_count_for_the_size_of_a_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "_GROUP_BYTES", 10_000)
    documents = [replace(document, title="x" * 5_000) for document in numbered(20)]
    corpus = build_corpus(documents, tmp_path / "corpus", CorpusConfig(heldout_fraction=0))
    groups = pq.ParquetFile(corpus.path / "training-00000.parquet").metadata.num_row_groups
    assert groups == 10


def test_limits_that_leave_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"min_characters must be <= .*, got 300 and 200"):
        build_corpus(numbered(3), tmp_path / "out", CorpusConfig(min_characters=300, max_characters=200))


def test_one_long_text_is_split_by_passage(tmp_path: Path) -> None:
    path = tmp_path / "book.jsonl"
    path.write_text(json.dumps({"text": " ".join(f"Sentence number {n} is here." for n in range(2000))}))
    corpus = build_corpus([path], tmp_path / "corpus")
    assert corpus.num_heldout >= 1 and corpus.num_training >= 5
    assert corpus.manifest.notes == ("all passages come from one text, so they were split by passage",)


@given(st.lists(st.integers(0, 30), max_size=80), st.sampled_from([3, 1000]))
@settings(max_examples=40, deadline=None)
def test_duplicates_are_found_in_memory_and_on_disk(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], limit: int
) -> None:
    finder = DuplicateFinder(tmp_path_factory.mktemp("hashes"), records_in_memory=limit)
    for value in values:
        finder.add(hashlib.md5(bytes([value]), usedforsecurity=False).digest())
    expected = [value not in values[:index] for index, value in enumerate(values)]
    assert finder.first_occurrences().tolist() == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "2 different documents are needed, 0 left of 1 read; dropped: empty file"),
        ("The only text of this corpus.\n", "1 left of 1 read; give more text"),
        (
            "The same text twice here.\nThe same text twice here.\n",
            "1 left of 2 read.*exact duplicate \\(1\\)",
        ),
        ("a\nb\nc\n", "0 left of 3 read.*lower corpus.min_characters"),
        ("编码错误的文本\n第二行文本\n".encode("gb18030"), "iconv -f GB18030 -t UTF-8"),
    ],
)
def test_too_little_text_is_one_sentence(tmp_path: Path, content: str | bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=message):
        build_corpus([tmp_path / "a.txt"], tmp_path / "corpus")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_out_that_exists_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    build_corpus(numbered(3), tmp_path / "out")
    before = sorted((tmp_path / "out").iterdir())
    with pytest.raises(OutputError, match="exists already; choose another --out"):
        build_corpus(numbered(3), tmp_path / "out")
    assert sorted((tmp_path / "out").iterdir()) == before


@pytest.mark.parametrize("inside", [False, True])
def test_an_out_that_cannot_be_replaced_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if inside:
        monkeypatch.chdir(out)
    else:
        monkeypatch.setattr(os.path, "ismount", lambda path: path == out)
    documents = (pytest.fail("read") for _ in range(1))
    message = "the folder you are in" if inside else "a disk of its own"
    with pytest.raises(OutputError, match=f"cannot be replaced, because it is {message}; give a new folder"):
        build_corpus(documents, "." if inside else out)
    assert list(tmp_path.iterdir()) == [out]


def test_an_empty_folder_behind_a_link_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    corpus = build_corpus(numbered(3), tmp_path / "link")
    assert corpus.path == tmp_path / "real" and (tmp_path / "link").is_symlink()
    assert Corpus.open(tmp_path / "link").num_training == 2


def test_an_out_that_the_system_refuses_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match=r"cannot be written \(File name too long\); choose"):
        build_corpus(numbered(3), tmp_path / ("x" * 300))
    closed = tmp_path / "closed"

    def refusing(path: Path, **_: object) -> os.stat_result:
        if closed in path.parents:  # as before Python 3.12 where a folder may not be entered
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return os.stat(path)

    monkeypatch.setattr(Path, "stat", refusing)
    with pytest.raises(OutputError, match=r"cannot be written \(Permission denied\); choose"):
        build_corpus(numbered(3), closed / "deep" / "out")
    assert not list(tmp_path.iterdir())


def test_missing_and_damaged_shards_are_named(tmp_path: Path) -> None:
    corpus = build_corpus(numbered(100), tmp_path / "corpus")
    shard = corpus.path / "training-00000.parquet"
    data = shard.read_bytes()
    shard.write_bytes(data[:100] + b"\xff" * 8 + data[108:])
    with pytest.raises(InputError, match=r"training-00000\.parquet is damaged; build"):
        list(Corpus.open(corpus.path).training())
    shard.write_bytes(data[:-10])
    with pytest.raises(InputError, match=r"training-00000\.parquet is damaged; build"):
        Corpus.open(corpus.path)
    shard.unlink()
    with pytest.raises(InputError, match=r"training-00000\.parquet is missing; build"):
        Corpus.open(corpus.path)
    (corpus.path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="the manifest is damaged"):
        Corpus.open(corpus.path)
    with pytest.raises(InputError, match="is not a corpus"):
        Corpus.open(tmp_path)


def test_progress_reaches_the_whole_input(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"{document.text}\n" for document in numbered(2500)))
    seen: list[Progress] = []
    corpus = build_corpus([path], tmp_path / "corpus", on_progress=seen.append)
    size = path.stat().st_size
    assert [progress.documents for progress in seen] == [1000, 2000, 2500]
    assert seen[-1] == Progress(2500, size, size)
    assert (corpus.manifest.inputs[0].path, corpus.manifest.inputs[0].num_bytes) == (str(path), size)


def _run(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for number in range(3000):
            noise = hashlib.sha512(str(number).encode()).hexdigest()
            file.write(json.dumps({"text": noise * 4}) + "\n")
    code = """
        import resource, sys
        from llmagentos.corpus import build_corpus
        from llmagentos.errors import OutputError
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            build_corpus([sys.argv[1]], sys.argv[2])
        except OutputError as error:
            print(error)
    """
    output = _run(code, str(path), str(tmp_path / "out")).communicate(timeout=30)[0].decode()
    assert "the disk (or the quota) was full after" in output and "free some space" in output
    assert [item.name for item in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_build_leaves_no_corpus_and_the_next_one_works(tmp_path: Path, how: signal.Signals) -> None:
    code = """
        import itertools, sys
        from llmagentos.corpus import Document, build_corpus
        documents = (Document(id=str(n), text=f"Document {n} without end.") for n in itertools.count())
        build_corpus(documents, sys.argv[1], on_progress=lambda progress: print("going", flush=True))
    """
    out = tmp_path / "out"
    process = _run(code, str(out))
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(how)
    process.stdout.close()
    assert process.wait(timeout=20) != 0
    assert not out.exists()
    if how == signal.SIGINT:
        assert not list(tmp_path.iterdir())
    assert build_corpus(numbered(3), out).num_training == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("name", "language"), [("arxiv/train-fin.jsonl.zst", "en"), ("zh_docs_tidb/docs.jsonl.zst", "zh")]
)
def test_real_text(shared: Path, tmp_path: Path, name: str, language: str) -> None:
    corpus = build_corpus([shared / name], tmp_path / "corpus")
    assert adds_up(corpus.manifest)
    assert next(iter(corpus.manifest.languages)) == language
    texts = {document.text for document in corpus.training()}
    assert len(texts) == corpus.num_training
    assert texts.isdisjoint(document.text for document in corpus.heldout())
