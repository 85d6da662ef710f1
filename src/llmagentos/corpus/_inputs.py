"""Goes through the inputs one after another, and refuses what makes no sense before it costs hours."""

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from llmagentos.corpus._config import CorpusConfig
from llmagentos.corpus._document import Document, Skipped
from llmagentos.corpus._readers import FIELDS_SHOWN, read_structured, read_text
from llmagentos.corpus._sources import FORMATS, Source, find_sources, printable
from llmagentos.errors import InputError

__all__ = ["InputReader", "read_documents"]

_STRUCTURED = {".jsonl", ".csv", ".parquet"}
_NAME_CHARACTERS = 40


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
        self._num_bytes = [0] * len(self._inputs)
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
        return sum(self._num_bytes) + (self._current.bytes_read if self._current else 0)

    @property
    def num_bytes(self) -> list[tuple[str, int]]:
        """Every input as it was given (what is no UTF-8 replaced), with the bytes read from it."""
        names = (printable(str(given)) for given in self._inputs)
        return list(zip(names, self._num_bytes, strict=True))

    def __iter__(self) -> Iterator[Document | Skipped]:
        """Every document and everything skipped, in order; can be asked for once."""
        fields: Counter[str] = Counter()
        any_document = False
        for index, given in enumerate(self._inputs):
            passed_over: Counter[str] = Counter()
            num_sources = 0
            for found in find_sources(given):
                if isinstance(found, Skipped):
                    passed_over[found.reason] += 1
                    yield found
                    continue
                num_sources += 1
                self._current = found
                for item in _read_source(found, self._config):
                    if isinstance(item, Document):
                        any_document = True
                    elif item.fields and not any_document:
                        fields.update(item.fields)
                    yield item
                self._num_bytes[index] += found.bytes_read
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


def _read_source(source: Source, config: CorpusConfig) -> Iterator[Document | Skipped]:
    """The documents of one source, or why there is none.

    Raises:
        InputError: the source was named, has rows, and none of them has the text field.
    """
    structured = source.format in _STRUCTURED
    fields: Counter[str] = Counter()
    has_item = has_field = False
    for item in read_structured(source, config) if structured else read_text(source, config):
        has_item = True
        if isinstance(item, Skipped) and item.fields:
            if not has_field:
                fields.update(item.fields)
        elif isinstance(item, Document):
            has_field = True
        yield item
    if not has_item:  # white space, headings, the header of a CSV file
        yield Skipped(reason="no text in the file", location=source.name)
    if source.named and fields and not has_field:
        raise _no_field(str(source.path), config.text_field, fields)


def _no_field(where: str, text_field: str, fields: Counter[str]) -> InputError:
    # Where names should stand there may be a text, of any length and any number of lines.
    seen = [" ".join(name.split()) for name, _ in fields.most_common(FIELDS_SHOWN)]
    near = difflib.get_close_matches(text_field, seen, n=1, cutoff=0.5)
    hint = f"did you mean --text-field {near[0]}?" if near else "name the one with the text with --text-field"
    shown = ", ".join(name[:_NAME_CHARACTERS] + "…" * (len(name) > _NAME_CHARACTERS) for name in seen)
    if any(len(name) > _NAME_CHARACTERS for name in seen):
        hint += " (if these are texts and no names, a CSV file lacks its header: put one above them)"
    return InputError(f"no row of {where} has a field {text_field!r}; fields seen: {shown}; {hint}")
