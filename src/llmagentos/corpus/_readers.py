"""Reads every form of input as a stream of documents, with a reason for whatever is none.

| form | one document is |
|---|---|
| .txt | a block between blank lines; a line, if the first MiB has no blank line between texts |
| .md, .rst | a section with its heading path as title |
| .jsonl | a line; keys: the text field, and where present title, id or _id, group, time |
| .csv, .parquet | a row with the same names; csv has a header and commas, semicolons or tabs |
| standard input | a line; the lines are jsonl if the first that is not blank is a JSON object |
"""

import codecs
import csv
import difflib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import orjson

from llmagentos.corpus._config import CorpusConfig
from llmagentos.corpus._document import Document, Skipped
from llmagentos.corpus._markup import sections
from llmagentos.corpus._parquet import Batch, arrow_errors, parquet
from llmagentos.corpus._sources import (
    FORMATS,
    LINE_LIMIT_BYTES,
    Source,
    find_sources,
    read_chunks,
    read_lines,
)
from llmagentos.errors import InputError

__all__ = ["InputReader", "read_documents", "read_source"]

_LOOK_AHEAD_BYTES = 1 << 20
_BLOCK_BYTES = 4 << 20
_PARQUET_ROWS = 1024
_FIELDS_SHOWN = 20
_BLANK_LINE = re.compile(rb"\S[^\n]*\n[ \t\r]*\n\s*\S")
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_BYTE_ORDER_MARKS_16_32 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_STRUCTURED = {".jsonl", ".csv", ".parquet"}

Item: TypeAlias = Document | Skipped
Line: TypeAlias = tuple[int, bytes] | Skipped


class InputReader:
    """Reads inputs one after another and knows how far it is.

    Args:
        inputs: files, folders, "-".
        config: only `text_field` matters here.

    Raises:
        InputError: a path does not exist or is no form that can be read; said before anything is read.
    """

    def __init__(self, inputs: Iterable[str | Path], config: CorpusConfig) -> None:
        self._inputs, self._config = list(inputs), config
        self._num_bytes: Counter[str] = Counter()
        self._current: Source | None = None
        sizes = [
            found.num_bytes if found.path else None
            for given in self._inputs
            for found in find_sources(given)
            if isinstance(found, Source)
        ]
        self.total_bytes = None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def bytes_read(self) -> int:
        """Bytes read so far, as they are on disk."""
        return self._num_bytes.total() + (self._current.bytes_read if self._current else 0)

    @property
    def num_bytes(self) -> list[tuple[str, int]]:
        """Every input as it was given, with the bytes read from it."""
        return [(str(given), self._num_bytes[str(given)]) for given in self._inputs]

    def __iter__(self) -> Iterator[Document | Skipped]:
        """Every document and everything skipped, in order; can be asked for once."""
        fields: Counter[str] = Counter()
        any_document = False
        for given in self._inputs:
            passed_over: Counter[str] = Counter()
            num_sources = 0
            for found in find_sources(given):
                if isinstance(found, Skipped):
                    passed_over[found.reason] += 1
                    yield found
                    continue
                num_sources += 1
                self._current = found
                for item in read_source(found, self._config):
                    if isinstance(item, Document):
                        any_document = True
                    elif item.fields and not any_document:
                        fields.update(item.fields)
                    yield item
                self._num_bytes[str(given)] += found.bytes_read
                self._current = None
            if not num_sources:
                seen = "; ".join(f"{reason} ({count})" for reason, count in passed_over.most_common(5))
                raise InputError(
                    f"the folder {given} has nothing that can be read, found: {seen or 'no files'}; what can "
                    f"be read is {', '.join(FORMATS)}, also with .gz or .zst"
                )
        if fields and not any_document:
            raise _no_field("the input", self._config.text_field, fields)


def read_documents(
    inputs: Iterable[str | Path], config: CorpusConfig | None = None
) -> Iterator[Document | Skipped]:
    """Every document of the inputs in order, as it was written, and every `Skipped` with its reason.

    Args:
        inputs: files, folders (read recursively in sorted order), "-" for standard input.
        config: only `text_field` matters here; cleaning is the business of `build_corpus`.

    Returns:
        A stream: the memory it needs does not grow with the input.

    Raises:
        InputError: a path does not exist or cannot be read, a folder holds nothing readable, or a
            file that was named has no row with the text field.

    Examples:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "a.txt")
        ...     _ = path.write_text("first text\\nsecond text\\n")
        ...     [document.text for document in read_documents([path])]
        ['first text', 'second text']
    """
    return iter(InputReader(inputs, config or CorpusConfig()))


def read_source(source: Source, config: CorpusConfig) -> Iterator[Document | Skipped]:
    """The documents of one source.

    Raises:
        InputError: the source was named, has rows, and none of them has the text field.
    """
    if source.format not in _STRUCTURED:
        yield from _read_text(source, config)
        return
    fields: Counter[str] = Counter()
    has_field = False
    for item in _read_structured(source, config):
        if isinstance(item, Skipped) and item.fields:
            if not has_field:
                fields.update(item.fields)
        elif isinstance(item, Document):
            has_field = True
        yield item
    if source.named and fields and not has_field:
        raise _no_field(str(source.path), config.text_field, fields)


def _no_field(where: str, text_field: str, fields: Counter[str]) -> InputError:
    seen = [name for name, _ in fields.most_common(_FIELDS_SHOWN)]
    near = difflib.get_close_matches(text_field, seen, n=1, cutoff=0.5)
    hint = f"did you mean --text-field {near[0]}?" if near else "name the one with the text with --text-field"
    return InputError(f"no row of {where} has a field {text_field!r}; fields seen: {', '.join(seen)}; {hint}")


def _read_structured(source: Source, config: CorpusConfig) -> Iterator[Item]:
    if source.format == ".parquet":
        return _read_parquet(source, config)
    chunks = _text_chunks(source)
    if source.format == ".csv":
        return _read_csv(chunks, source.name, config)
    return _read_jsonl(read_lines(chunks, source.name), source.name, config)


def _read_text(source: Source, config: CorpusConfig) -> Iterator[Item]:
    chunks = _text_chunks(source)
    name = source.name
    if source.format in {".md", ".rst"}:
        for section in sections(read_lines(chunks, name), rst=source.format == ".rst"):
            if isinstance(section, Skipped):
                yield section
            else:
                yield _text_document(section.text, name, section.line, section.title)
        return
    if source.format == "-":
        lines = read_lines(chunks, name)
        passed: list[Line] = []
        for line in lines:
            passed.append(line)
            if not isinstance(line, Skipped) and line[1].strip():
                break
        last = passed[-1] if passed else None
        rest = itertools.chain(passed, lines)
        if isinstance(last, tuple) and isinstance(_parse_json(last[1]), dict):
            yield from _read_jsonl(rest, name, config)
        else:
            yield from _read_text_lines(rest, name)
        return
    ahead: list[bytes | Skipped] = []
    collected = 0
    for chunk in chunks:
        ahead.append(chunk)
        collected += len(chunk) if isinstance(chunk, bytes) else 0
        if collected >= _LOOK_AHEAD_BYTES:
            break
    blocks = _BLANK_LINE.search(b"".join(chunk for chunk in ahead if isinstance(chunk, bytes)))
    lines = read_lines(itertools.chain(ahead, chunks), name)
    yield from _read_blocks(lines, name) if blocks else _read_text_lines(lines, name)


def _text_chunks(source: Source) -> Iterator[bytes | Skipped]:
    """Chunks of a text file without a byte order mark; one `Skipped` if it is no UTF-8 text file."""
    chunks = read_chunks(source)
    first = next(chunks, None)
    if first is None:
        yield Skipped(reason="empty file", location=source.name)
        return
    if isinstance(first, bytes):
        if first.startswith(_BYTE_ORDER_MARKS_16_32):
            yield Skipped(reason="UTF-16 or UTF-32 file (save it as UTF-8)", location=source.name)
            return
        if b"\0" in first:
            yield Skipped(reason="binary file", location=source.name)
            return
        first = first.removeprefix(codecs.BOM_UTF8)
    yield first
    yield from chunks


def _text_document(text: str, name: str, line: int, title: str = "") -> Item:
    location = f"{name}:{line}"
    if not text.isascii() and _ESCAPED_BYTE.search(text):
        return Skipped(reason="invalid UTF-8", location=location)
    return Document(id=location, text=text, title="" if _ESCAPED_BYTE.search(title) else title, source=name)


def _read_text_lines(lines: Iterator[Line], name: str) -> Iterator[Item]:
    for line in lines:
        if isinstance(line, Skipped):
            yield line
        elif line[1].strip():
            yield _text_document(line[1].decode("utf-8", "surrogateescape"), name, line[0])


def _read_blocks(lines: Iterator[Line], name: str) -> Iterator[Item]:
    block: list[bytes] = []
    num_bytes = first = 0
    for line in lines:
        if isinstance(line, Skipped):
            yield line
            continue
        number, content = line
        blank = not content.strip()
        if block and (blank or num_bytes + len(content) > _BLOCK_BYTES):
            yield _text_document(b"\n".join(block).decode("utf-8", "surrogateescape"), name, first)
            block, num_bytes = [], 0
        if not blank:
            first = first if block else number
            block.append(content)
            num_bytes += len(content) + 1
    if block:
        yield _text_document(b"\n".join(block).decode("utf-8", "surrogateescape"), name, first)


def _parse_json(line: bytes) -> object:
    """The JSON value of a line, or a ValueError as an object: broken lines are counted, not raised."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        try:
            # Python's parser also takes lone surrogates and NaN, which are replaced later.
            return json.loads(line)
        except (ValueError, RecursionError):
            return error


def _read_jsonl(lines: Iterator[Line], name: str, config: CorpusConfig) -> Iterator[Item]:
    for line in lines:
        if isinstance(line, Skipped):
            yield line
            continue
        number, content = line
        if not content.strip():
            continue
        row = _parse_json(content)
        if isinstance(row, dict):
            yield _row_document(row, name, number, config)
            continue
        reason = "JSON line that is not an object"
        if isinstance(row, ValueError):
            reason = "broken JSON line"
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                reason = "invalid UTF-8"
        yield Skipped(reason=reason, location=f"{name}:{number}")


def _row_document(row: Mapping[str, object], name: str, number: int, config: CorpusConfig) -> Item:
    location = f"{name}:{number}"
    if config.text_field not in row:
        fields = tuple(itertools.islice((str(key) for key in row), _FIELDS_SHOWN)) or ("(none)",)
        return Skipped(reason=f"no field {config.text_field!r}", location=location, fields=fields)
    text = row[config.text_field]
    if text is None:
        text = ""
    if not isinstance(text, str):
        return Skipped(reason=f"field {config.text_field!r} is not a string", location=location)
    return Document(
        id=_string(row.get("id")) or _string(row.get("_id")) or location,
        text=text,
        title="" if config.text_field == "title" else _string(row.get("title")),
        source=name,
        group=_string(row.get("group")),
        time=_string(row.get("time")),
    )


def _string(value: object) -> str:
    """A string, number or time as a string; other values (lists, objects, nothing) are no names."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, list, dict, bytes)):
        return ""
    return str(value)


def _read_csv(chunks: Iterator[bytes | Skipped], name: str, config: CorpusConfig) -> Iterator[Item]:
    if csv.field_size_limit() < LINE_LIMIT_BYTES:
        csv.field_size_limit(LINE_LIMIT_BYTES)
    beside: list[Skipped] = []

    def text_lines() -> Iterator[str]:
        for line in read_lines(chunks, name):
            if isinstance(line, Skipped):
                beside.append(line)
            else:
                yield line[1].decode("utf-8", "surrogateescape") + "\n"

    lines = text_lines()
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        yield from beside
        return
    # The header may itself continue over several lines, so it goes through the same reader.
    rows = csv.reader(itertools.chain([first], lines), delimiter=_delimiter(first, config.text_field))
    header: list[str] | None = None
    number = 0
    while True:
        row: list[str] | None = []
        try:
            row = next(rows, None)
        except csv.Error:
            number += 1
            beside.append(Skipped(reason="broken CSV row", location=f"{name}:{number}"))
        yield from beside
        beside.clear()
        if row is None:
            return
        if header is None:
            header = [cell.strip() for cell in row] or None
        elif row:
            number += 1
            if any(_ESCAPED_BYTE.search(cell) for cell in row):
                yield Skipped(reason="invalid UTF-8", location=f"{name}:{number}")
            else:
                yield _row_document(dict(zip(header, row, strict=False)), name, number, config)


def _delimiter(header: str, text_field: str) -> str:
    """The mark that separates the text field from the others; a comma if none does."""
    for mark in ",;\t":
        if text_field in (cell.strip() for cell in header.replace('"', "").split(mark)):
            return mark
    return ","


def _read_parquet(source: Source, config: CorpusConfig) -> Iterator[Item]:
    name = source.name
    number = 0
    try:
        file = parquet().ParquetFile(source.path)
        wanted = [config.text_field, "title", "id", "_id", "group", "time"]
        names = file.schema_arrow.names
        if config.text_field not in names:
            source.bytes_read = source.num_bytes
            fields = tuple(names[:_FIELDS_SHOWN]) or ("(none)",)
            yield Skipped(reason=f"no field {config.text_field!r}", location=name, fields=fields)
            return
        num_rows = max(1, file.metadata.num_rows)
        for batch in file.iter_batches(_PARQUET_ROWS, columns=[field for field in names if field in wanted]):
            for row in _parquet_rows(batch):
                number += 1
                if row is None:
                    yield Skipped(reason="invalid UTF-8", location=f"{name}:{number}")
                else:
                    yield _row_document(row, name, number, config)
            source.bytes_read = source.num_bytes * number // num_rows
        if not number:
            yield Skipped(reason="empty file", location=name)
    except arrow_errors():
        yield Skipped(reason="damaged Parquet file (the rest of it)", location=f"{name}:{number + 1}")


def _parquet_rows(batch: Batch) -> Iterator[dict[str, object] | None]:
    """The rows of a batch; None for one that is not UTF-8 (Arrow does not check what a file says)."""
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        columns = [(name, batch.column(name)) for name in batch.schema.names]
    for index in range(batch.num_rows):
        try:
            yield {name: column[index].as_py() for name, column in columns}
        except UnicodeDecodeError:
            yield None
