"""Every form of input gives the right documents, and every fault is counted with its place."""

import contextlib
import errno
import gzip
import importlib
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard

from llmagentos.corpus import CorpusConfig, Document, Skipped, build_corpus, read_documents
from llmagentos.corpus._cleaning import clean_text, passages
from llmagentos.errors import InputError

pa = importlib.import_module("pyarrow")
pq = importlib.import_module("pyarrow.parquet")
Read = Callable[..., tuple[list[Document], list[Skipped]]]


def texts(documents: list[Document]) -> list[str]:
    return [document.text for document in documents]


def reasons(items: Sequence[Document | Skipped]) -> dict[str, str]:
    return {item.location: item.reason for item in items if isinstance(item, Skipped)}


def test_text_without_blank_lines_is_a_text_a_line(read: Read) -> None:
    documents, skipped = read("a.txt", "one\ntwo\r\n三\n\n")
    assert texts(documents) == ["one", "two\r", "三"] and not skipped
    assert [document.id for document in documents] == ["a.txt:1", "a.txt:2", "a.txt:3"]


def test_text_with_blank_lines_is_a_text_a_block(read: Read) -> None:
    documents, _ = read("a.txt", "\n\none\nmore\n \t\n\ntwo\nlast")
    assert texts(documents) == ["one\nmore", "two\nlast"]
    assert [document.id for document in documents] == ["a.txt:3", "a.txt:7"]


def test_markdown_is_a_document_a_section_with_its_heading_path(read: Read) -> None:
    documents, skipped = read(
        "guide.md",
        '---\ntitle: "The Guide"\ntags: [a]\n---\nIntro.\n\n# Install\n\nDo this.\n\n## Linux ##\n\n'
        "```sh\n# no heading\n```\n\nWindows\n-------\n\nDo that.\n\n# Empty\n\n"
        "# Use\nA | table\n---|---\nx | y\n",
    )
    assert not skipped
    assert [(document.title, document.text) for document in documents] == [
        ("The Guide", "Intro."),
        ("The Guide > Install", "Do this."),
        ("The Guide > Install > Linux", "```sh\n# no heading\n```"),
        ("The Guide > Install > Windows", "Do that."),
        ("The Guide > Use", "A | table\n---|---\nx | y"),
    ]
    assert documents[1].id == "guide.md:8"


def test_a_rule_on_the_first_line_of_markdown_is_no_front_matter(read: Read) -> None:
    documents, _ = read("a.md", "---\n" + "word\n" * 300)
    assert documents[0].text.count("word") == 300
    documents, _ = read("b.md", "---\n\n# One\n\nFirst text.\n\n---\n\n# Two\n\nSecond text.\n")
    assert [document.title for document in documents][-2:] == ["One", "Two"]
    assert "First text." in documents[-2].text
    assert texts(read("c.md", "---\n---\nText.\n")[0]) == ["Text."]


def test_restructuredtext_levels_follow_their_appearance(read: Read) -> None:
    documents, _ = read(
        "a.rst",
        "=====\nTitle\n=====\n\nTop.\n\nPart\n----\n\nBody.\n\nSub\n~~~\n\nDeep.\n\nNext\n----\n\n"
        "Last.\n\n=====  =====\nx      y\n=====  =====\n",
    )
    assert [(document.title, document.text.splitlines()[0]) for document in documents] == [
        ("Title", "Top."),
        ("Title > Part", "Body."),
        ("Title > Part > Sub", "Deep."),
        ("Title > Next", "Last."),
    ]


def test_jsonl_keys(read: Read) -> None:
    rows = [
        {"_id": 7, "title": "T", "text": "first", "group": "g", "time": 12, "other": []},
        {"id": "x", "text": "second", "title": None},
        {"text": "third"},
    ]
    documents, skipped = read("a.jsonl", "\n".join(json.dumps(row) for row in rows) + "\n\n")
    assert not skipped
    assert documents[0] == Document(id="7", text="first", title="T", source="a.jsonl", group="g", time="12")
    assert [document.id for document in documents] == ["7", "x", "a.jsonl:3"]


def test_jsonl_faults(read: Read) -> None:
    documents, skipped = read(
        "a.jsonl",
        b'{"text": "good"}\n{"text": \n[1]\n{"text": "\xff"}\n{"text": 3}\n{"title": "t"}\n{"text": null}\n'
        b'{"text": "lone \\ud800 surrogate"}\n{"text": "not a number", "x": NaN}\n' + b"[" * 100_000,
    )
    assert texts(documents) == ["good", "", "lone \ud800 surrogate", "not a number"]
    assert reasons(skipped) == {
        "a.jsonl:2": "broken JSON line",
        "a.jsonl:3": "JSON line that is not an object",
        "a.jsonl:4": "invalid UTF-8",
        "a.jsonl:5": "field 'text' is not a string",
        "a.jsonl:6": "no field 'text'",
        "a.jsonl:10": "broken JSON line",
    }


def test_csv_with_quotes_newlines_and_other_delimiters(read: Read) -> None:
    documents, skipped = read("a.csv", '\ufeffid,title,text\n1,"A, B","two\nlines"\n2,C,"say ""hi"""\n')
    assert not skipped
    assert [(d.id, d.title, d.text) for d in documents] == [
        ("1", "A, B", "two\nlines"),
        ("2", "C", 'say "hi"'),
    ]
    assert texts(read("b.csv", '"id";"body"\n1;"x;y"\n', text_field="body")[0]) == ["x;y"]


def test_csv_faults(read: Read) -> None:
    documents, skipped = read("a.csv", b"id,text\n1,good\n2\n3,\xff\n4,also good\n")
    assert texts(documents) == ["good", "also good"]
    assert reasons(skipped) == {"a.csv:2": "no field 'text'", "a.csv:3": "invalid UTF-8"}


def test_csv_cells_beyond_the_header_are_counted_and_not_cut_off(read: Read) -> None:
    documents, skipped = read("a.csv", 'text\nHello there, this text\n"Quoted, whole"\nEmpty cells,,\n')
    assert texts(documents) == ["Quoted, whole", "Empty cells"]
    (reason,) = reasons(skipped).values()
    assert reason == "CSV row with more cells than the header (quote texts that hold the separator)"
    assert skipped[0].location == "a.csv:1"


def test_a_text_field_that_is_there_twice_is_refused(read: Read, tmp_path: Path) -> None:
    documents, skipped = read("a.csv", "id,text, text\n1,one,two\n")
    assert not documents and reasons(skipped) == {"a.csv": "more than one field 'text'"}
    path = tmp_path / "b.parquet"
    pq.write_table(pa.table([pa.array(["one"]), pa.array(["two"])], names=["text", "text"]), path)
    assert reasons(list(read_documents([path]))) == {"b.parquet": "more than one field 'text'"}


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", '"A text of many words", and more of them'), ("b.jsonl", '{"A text of many words": "x"}')],
)
def test_texts_where_names_should_be_are_not_shown_whole(
    read: Read, tmp_path: Path, name: str, content: str
) -> None:
    content = content.replace("many", "many\\n " * 5_000 if name == "b.jsonl" else "many\n " * 5_000)
    with pytest.raises(InputError, match="a CSV file lacks its header: put one above them") as caught:
        read(name, content + "\n1,2\n")
    message = str(caught.value).replace(str(tmp_path), "")
    assert len(message) < 300 and "\n" not in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", " \n\n\t\n"),
        ("a.md", "# One\n\n## Two\n"),
        ("a.rst", "One\n===\n"),
        ("a.jsonl", "\n \n"),
        ("a.csv", "id,text\n"),
        ("a.csv", "\n\n"),
    ],
)
def test_a_file_that_gives_nothing_is_counted(read: Read, name: str, content: str) -> None:
    assert read(name, content) == ([], [Skipped(reason="no text in the file", location=name)])


def test_csv_with_carriage_returns_only_is_counted_as_broken(read: Read) -> None:
    _, skipped = read("a.csv", b"id,text\r1,good\r2,more\r")
    assert [item.reason for item in skipped] == [
        "CSV row with a lone carriage return (end its lines with newlines)"
    ]


def test_a_csv_quote_that_is_never_closed_is_counted_with_its_lines(read: Read) -> None:
    rows = "".join(f"{number},more text\n" for number in range(3, 10))
    documents, skipped = read("a.csv", 'id,text\n1,good\n2,"stray\n' + rows)
    assert texts(documents) == ["good"]
    assert reasons(skipped) == {"a.csv:2 (8 lines)": "CSV quote that is never closed"}
    documents, skipped = read("b.csv", 'id,text\n1,"a" b\n2,good\n')
    assert texts(documents) == ["good"] and reasons(skipped) == {"b.csv:1": "broken CSV row"}


def test_a_csv_header_that_is_no_utf8_says_what_to_do(read: Read) -> None:
    _, skipped = read("a.csv", "编号,正文\n1,中文\n".encode("gb18030"), text_field="正文")
    assert reasons(skipped) == {"a.csv": "invalid UTF-8 in the header of a CSV file (save the file as UTF-8)"}
    documents, _ = read("b.csv", "编号,text\n1,good\n".encode("gb18030"))
    assert texts(documents) == ["good"]


def test_a_text_field_of_lists_says_so(read: Read) -> None:
    _, skipped = read("a.jsonl", '{"text": ["one", "two"]}\n')
    assert reasons(skipped) == {"a.jsonl:1": "field 'text' holds lists and no strings"}


def test_whole_numbers_of_more_than_64_bits_stay_different_ids(read: Read) -> None:
    large = 123456789012345678901234567890
    rows = [{"id": large, "text": "a"}, {"id": large + 1, "text": "b"}, {"_id": 2.5, "text": "c"}]
    documents, _ = read("a.jsonl", "\n".join(map(json.dumps, rows)))
    assert [document.id for document in documents] == [str(large), str(large + 1), "2.5"]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"_id": [1, 2, 3], "text": ["one", None, "三"], "big": [b"x"] * 3})
    pq.write_table(table, path, row_group_size=2)
    documents = [item for item in read_documents([path]) if isinstance(item, Document)]
    assert [(d.id, d.text) for d in documents] == [("1", "one"), ("2", ""), ("3", "三")]


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        (pa.timestamp("ns"), 1_500_000_000_123_456_789, "2017-07-14 02:40:00.123456789"),
        (pa.timestamp("s", tz="Nowhere/Town"), 1_500_000_000, ""),
        (pa.timestamp("s"), 300_000_000_000, "11476-"),
        (pa.date32(), 5_000_000, "15659-"),
        (pa.duration("ns"), 1_001, "1001"),
        (pa.list_(pa.timestamp("ns")), [1], ""),
    ],
)
def test_parquet_times_that_python_does_not_have_cost_no_text(
    tmp_path: Path, type_: Any, value: object, expected: str
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["one"], "time": pa.array([value], type=type_)}), path)
    (document,) = read_documents([path])
    assert isinstance(document, Document) and document.text == "one"
    assert document.time.startswith(expected) and bool(document.time) == bool(expected)
    (skipped,) = read_documents([path], CorpusConfig(text_field="time"))
    assert isinstance(skipped, Skipped) and "'time'" in skipped.reason


def test_parquet_with_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    data = pa.array([b"fine", b"\xff\xfe"], type=pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": data}), path)
    items = list(read_documents([path]))
    assert [getattr(item, "reason", None) for item in items] == [None, "invalid UTF-8"]


def test_damaged_parquet_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 this is not Parquet")
    (tmp_path / "b.txt").write_text("a text\n")
    items = list(read_documents([tmp_path]))
    assert [getattr(item, "reason", "document") for item in items] == [
        "damaged Parquet file (the rest of it)",
        "document",
    ]


def test_a_parquet_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(path: Path) -> None:
        raise PermissionError(errno.EACCES, f"Failed to open local file '{path}'")

    pq.write_table(pa.table({"text": ["one"]}), tmp_path / "a.parquet")
    monkeypatch.setattr(pq, "ParquetFile", refusing)
    assert reasons(list(read_documents([tmp_path / "a.parquet"]))) == {
        "a.parquet": "file cannot be read (Permission denied)"
    }


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_compressed_text_whole_in_pieces_and_truncated(
    read: Read, compress: Callable[[bytes], bytes]
) -> None:
    suffix = "gz" if compress is gzip.compress else "zst"
    first, second = b"one\ntwo\n", b"".join(b"the line with number %d\n" % n for n in range(20_000))
    documents, skipped = read(f"a.txt.{suffix}", compress(first) + compress(second))
    assert len(documents) == 20_002 and not skipped
    documents, skipped = read(f"b.txt.{suffix}", compress(first) + compress(second)[:-1000])
    assert texts(documents)[:2] == ["one", "two"]
    assert [item.reason for item in skipped] == ["damaged compressed file (the rest of it)"]
    _, skipped = read(f"c.jsonl.{suffix}", b"this is not compressed")
    assert [item.reason for item in skipped] == ["damaged compressed file (the rest of it)"]


def test_binary_and_wide_encodings_and_empty_files(read: Read) -> None:
    assert reasons(read("a.txt", b"ELF\0\1\2")[1]) == {"a.txt": "binary file"}
    assert texts(read("e.txt", b"words of a text " * 100 + b"\0")[0]) == ["words of a text " * 100 + "\0"]
    assert "UTF-16" in reasons(read("b.txt", "text".encode("utf-16"))[1])["b.txt"]
    assert reasons(read("c.txt", b"")[1]) == {"c.txt": "empty file"}
    assert texts(read("d.txt", b"\xef\xbb\xbfwith a mark")[0]) == ["with a mark"]


def test_invalid_utf8_costs_the_document_and_no_other(read: Read) -> None:
    documents, skipped = read("a.txt", b"good\n\xff\xfe\nfine\n")
    assert texts(documents) == ["good", "fine"] and reasons(skipped) == {"a.txt:2": "invalid UTF-8"}
    documents, skipped = read("b.md", b"# A\n\nbad \xff\n\n# B\n\nfine\n")
    assert texts(documents) == ["fine"] and [item.reason for item in skipped] == ["invalid UTF-8"]


def test_a_heading_that_is_not_utf8_costs_no_text_and_is_repaired(read: Read, tmp_path: Path) -> None:
    content = "# Préface\n\nThe first of the two texts.\n\n# B\n\nThe second of the two texts.\n"
    documents, skipped = read("a.md", content.encode("latin-1"))
    assert not skipped
    corpus = build_corpus(documents, tmp_path / "corpus")
    titles = {one.title for one in (*corpus.training(), *corpus.heldout())}
    assert titles == {"Pr\ufffdface", "B"}
    assert corpus.manifest.repaired == {"invalid characters replaced": 1}


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.rst", "a.jsonl", "a.csv"])
@pytest.mark.parametrize("start", ["", "---\ntitle: ", "# ", '"', "text\n"])
@pytest.mark.parametrize("unit", ["x", " ", "# ", "=", "\n", "\n ", "a. "])
def test_no_line_takes_more_than_linear_time(read: Read, name: str, start: str, unit: str) -> None:
    # At 200 kB a quadratic pattern takes minutes; this one has happened.
    with contextlib.suppress(InputError):
        for document in read(name, start + unit * (200_000 // len(unit)) + "end")[0]:
            passages(clean_text(document.text)[0], 4_000)


class _Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"one\n\ntwo\n", ["one", "two"]),
        (b'\n{"text": "one"}\n{"text": "two"}\n', ["one", "two"]),
        (b"1\n2\n", ["1", "2"]),
    ],
)
def test_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes, expected: list[str]) -> None:
    monkeypatch.setattr(sys, "stdin", _Stdin(data))
    documents = [item for item in read_documents(["-"]) if isinstance(item, Document)]
    assert texts(documents) == expected
    assert documents[0].source == "stdin"


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_text_field_that_no_row_has(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [{"body": "some text", "date": "2020"}] * 3
    if name == "a.jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    elif name == "a.csv":
        path.write_text("body,date\n" + "some text,2020\n" * 3)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    message = (
        "no field|no row of .* has a field 'bodi'; fields seen: body, date; did you mean --text-field body"
    )
    with pytest.raises(InputError, match=message):
        list(read_documents([path], CorpusConfig(text_field="bodi")))
    with pytest.raises(InputError, match=message):
        list(read_documents([tmp_path], CorpusConfig(text_field="bodi")))


def test_a_file_without_the_field_beside_others_is_only_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"meta": 1}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "x"}\n')
    items = list(read_documents([tmp_path]))
    assert [getattr(item, "reason", "document") for item in items] == ["no field 'text'", "document"]


def test_real_chinese_and_english_files(shared: Path) -> None:
    first = next(iter(read_documents([shared / "zh_laws"])))
    assert isinstance(first, (Document, Skipped))
    paper = next(iter(read_documents([shared / "arxiv" / "train-fin.jsonl.zst"])))
    assert isinstance(paper, Document)
    assert paper.id and paper.title and len(paper.text) > 100
