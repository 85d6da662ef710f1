"""Reads every form of input as a stream of documents, with a reason for whatever is none.

| form | one document is |
|---|---|
| .txt | a block between blank lines; a line, if the first MiB has no blank line between texts |
| .md, .rst | a section with its heading path as title |
| .jsonl | a line; keys: the text field; title, id or _id, group, time, speaker, reply_to where present |
| .csv, .parquet | a row with the same names; csv has a header and commas, semicolons or tabs |
| standard input | a line; the lines are jsonl if the first that is not blank is a JSON object |
"""

import codecs
import contextlib
import csv
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from llmagentos.corpus._config import CorpusConfig
from llmagentos.corpus._document import Document, Skipped
from llmagentos.corpus._markup import sections
from llmagentos.corpus._parquet import ARROW_ERRORS
from llmagentos.corpus._sources import LINE_LIMIT_BYTES, Source, read_chunks, read_lines

__all__ = ["FIELDS_SHOWN", "Item", "read_structured", "read_text"]

_LOOK_AHEAD_BYTES = 1 << 20
_BLOCK_BYTES = 4 << 20
_PARQUET_ROWS = 1024
FIELDS_SHOWN = 20
_NUL_SHARE = 0.001
# orjson makes floats of whole numbers from here on, so that different ids would become one.
_FIRST_INEXACT = 2.0**63
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n")
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_BYTE_ORDER_MARKS_16_32 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)

_NAMES = ("id", "_id", "group", "time", "speaker", "reply_to")
_TOO_MANY_CELLS = "CSV row with more cells than the header (quote texts that hold the separator)"

Item: TypeAlias = Document | Skipped
Line: TypeAlias = tuple[int, bytes] | Skipped


def read_structured(source: Source, config: CorpusConfig) -> Iterator[Item]:
    """The rows of a jsonl, csv or Parquet file."""
    if source.format == ".parquet":
        return _read_parquet(source, config)
    chunks = _text_chunks(source)
    if source.format == ".csv":
        return _read_csv(chunks, source.name, config)
    return _read_jsonl(read_lines(chunks, source.name), source.name, config)


def read_text(source: Source, config: CorpusConfig) -> Iterator[Item]:
    """The lines, blocks or sections of a text file or of standard input."""
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
    # Stripped, so that a blank line that is found stands between two texts.
    start = b"".join(chunk for chunk in ahead if isinstance(chunk, bytes)).strip()
    blocks = _BLANK_LINE.search(start) is not None
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
        # One stray NUL is a slip of whoever wrote the text, and cleaning removes it.
        if first.count(b"\0") > len(first) * _NUL_SHARE:
            yield Skipped(reason="binary file", location=source.name)
            return
        first = first.removeprefix(codecs.BOM_UTF8)
    yield first
    yield from chunks


def _text_document(text: str, name: str, line: int, title: str = "") -> Item:
    location = f"{name}:{line}"
    if not text.isascii() and _ESCAPED_BYTE.search(text):
        return Skipped(reason="invalid UTF-8", location=location)
    # A title that is no UTF-8 costs no text: cleaning repairs it, and counts it.
    return Document(id=location, text=text, title=title, source=name)


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
            yield _row_document(_with_exact_numbers(row, content), name, number, config)
            continue
        reason = "JSON line that is not an object"
        if isinstance(row, ValueError):
            reason = "broken JSON line"
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                reason = "invalid UTF-8"
        yield Skipped(reason=reason, location=f"{name}:{number}")


def _with_exact_numbers(row: dict[str, object], line: bytes) -> dict[str, object]:
    """The row, parsed again if one of its names is a whole number of more than 64 bits."""
    for key in _NAMES:
        value = row.get(key)
        if isinstance(value, float) and abs(value) >= _FIRST_INEXACT:
            with contextlib.suppress(ValueError):  # more than 4,300 digits
                exact: dict[str, object] = json.loads(line)
                return exact
    return row


def _row_document(row: Mapping[str, object], name: str, number: int, config: CorpusConfig) -> Item:
    location = f"{name}:{number}"
    if config.text_field not in row:
        fields = tuple(itertools.islice((str(key) for key in row), FIELDS_SHOWN)) or ("(none)",)
        return Skipped(reason=f"no field {config.text_field!r}", location=location, fields=fields)
    text = row[config.text_field]
    if text is None:
        text = ""
    if not isinstance(text, str):
        kind = "holds lists and no strings" if isinstance(text, list) else "is not a string"
        return Skipped(reason=f"field {config.text_field!r} {kind}", location=location)
    return Document(
        id=_string(row.get("id")) or _string(row.get("_id")) or location,
        text=text,
        title="" if config.text_field == "title" else _string(row.get("title")),
        source=name,
        **{key: _string(row.get(key)) for key in ("group", "time", "speaker", "reply_to")},
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
    # Strict, because a quote that is never closed would otherwise make one row of the whole rest.
    delimiter = _delimiter(first, config.text_field)
    rows = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    number = 0
    while True:
        row: list[str] | None = []
        line = rows.line_num
        try:
            row = next(rows, None)
        except csv.Error as error:
            number += 1
            lost = rows.line_num - line
            place = f"{name}:{number}" + (f" ({lost:,} lines)" if lost > 1 else "")
            beside.append(Skipped(reason=_csv_fault(str(error)), location=place))
        yield from beside
        beside.clear()
        if row is None:
            return
        if header is None:
            header = [cell.strip() for cell in row] or None
            if config.text_field not in row and any(_ESCAPED_BYTE.search(cell) for cell in row):
                reason = "invalid UTF-8 in the header of a CSV file (save the file as UTF-8)"
                yield Skipped(reason=reason, location=name)
                return
            if header and header.count(config.text_field) > 1:
                yield Skipped(reason=f"more than one field {config.text_field!r}", location=name)
                return
        elif row:
            number += 1
            if any(_ESCAPED_BYTE.search(cell) for cell in row):
                yield Skipped(reason="invalid UTF-8", location=f"{name}:{number}")
            elif config.text_field in header and any(row[len(header) :]):
                yield Skipped(reason=_TOO_MANY_CELLS, location=f"{name}:{number}")
            else:
                yield _row_document(dict(zip(header, row, strict=False)), name, number, config)


def _csv_fault(message: str) -> str:
    """Why the csv module refused a row, by what it says."""
    if message.startswith("unexpected end of data"):
        return "CSV quote that is never closed"
    if message.startswith("new-line character"):
        return "CSV row with a lone carriage return (end its lines with newlines)"
    return "broken CSV row"


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
        file = pq.ParquetFile(source.path)
        wanted = [config.text_field, "title", *_NAMES]
        names = file.schema_arrow.names
        if config.text_field not in names:
            source.bytes_read = source.num_bytes
            fields = tuple(names[:FIELDS_SHOWN]) or ("(none)",)
            yield Skipped(reason=f"no field {config.text_field!r}", location=name, fields=fields)
            return
        if names.count(config.text_field) > 1:
            source.bytes_read = source.num_bytes
            yield Skipped(reason=f"more than one field {config.text_field!r}", location=name)
            return
        kind = file.schema_arrow.types[names.index(config.text_field)]
        if pa.types.is_temporal(kind) or pa.types.is_nested(kind):
            source.bytes_read = source.num_bytes
            yield Skipped(reason=f"field {config.text_field!r} holds {kind} and no strings", location=name)
            return
        num_rows = max(1, file.metadata.num_rows)
        for batch in file.iter_batches(_PARQUET_ROWS, columns=[field for field in names if field in wanted]):
            for row in _parquet_rows(_printable_columns(batch, config.text_field)):
                number += 1
                if row is None:
                    yield Skipped(reason="invalid UTF-8", location=f"{name}:{number}")
                else:
                    yield _row_document(row, name, number, config)
            source.bytes_read = source.num_bytes * number // num_rows
        if not number:
            yield Skipped(reason="empty file", location=name)
    except ARROW_ERRORS as error:
        # Arrow's errors about the bytes have no number, those of the system have.
        if isinstance(error, OSError) and error.errno:
            yield Skipped(reason=f"file cannot be read ({os.strerror(error.errno)})", location=name)
        else:
            yield Skipped(reason="damaged Parquet file (the rest of it)", location=f"{name}:{number + 1}")


def _printable_columns(batch: pa.RecordBatch, text_field: str) -> pa.RecordBatch:
    """The batch with times as strings and lists as nothing, except in the text.

    Python's times are narrower than Arrow's: nanoseconds, the year 10000 or an unknown time zone are an
    error there, and must not cost the texts beside them.
    """
    columns = [
        column if field.name == text_field else _printable_column(column)
        for field, column in zip(batch.schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _printable_column(column: pa.Array) -> pa.Array:
    if pa.types.is_nested(column.type):
        return pa.nulls(len(column))
    if not pa.types.is_temporal(column.type):
        return column
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(len(column))


def _parquet_rows(batch: pa.RecordBatch) -> Iterator[dict[str, object] | None]:
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
