"""Text in, corpus out: read, clean, cut, drop duplicates, split, write.

Two passes over the text with one temporary copy on disk, because two things are known only at the end:
which texts are duplicates (the hashes may not fit in memory) and which keys are the smallest.
"""

import hashlib
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from llmagentos.corpus._cleaning import replace_surrogates
from llmagentos.corpus._config import CorpusConfig
from llmagentos.corpus._corpus import HELDOUT_PREFIX, MANIFEST_NAME, TRAINING_PREFIX, Corpus
from llmagentos.corpus._document import Document, Skipped, content_hash
from llmagentos.corpus._duplicates import DuplicateFinder
from llmagentos.corpus._inputs import InputReader
from llmagentos.corpus._language import guess_language
from llmagentos.corpus._manifest import MANIFEST_VERSION, InputSummary, Manifest, ShardSummary
from llmagentos.corpus._output import disk_errors, readable_bytes
from llmagentos.corpus._preparing import clean_document, cut_document
from llmagentos.corpus._shards import COLUMNS, KEYED_COLUMNS, ShardWriter, read_batches, values_of
from llmagentos.corpus._split import SmallestKeys, heldout_limit, split_key
from llmagentos.errors import ConfigError, InputError, OutputError

__all__ = ["Progress", "build_corpus"]

_SAMPLES = 2
_PROGRESS_EVERY = 1_000
_SHARD_ROOM_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is.

    Args:
        documents: read so far.
        bytes_read: read so far, as they are on disk.
        total_bytes: of all inputs; None where it cannot be known (standard input, a generator).
    """

    documents: int
    bytes_read: int
    total_bytes: int | None


def build_corpus(
    inputs: Iterable[str | Path] | Iterable[Document | Skipped],
    out: str | Path,
    config: CorpusConfig | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> Corpus:
    """A corpus in the new folder `out`: cleaned, without exact duplicates, split, every drop counted.

    The folder appears complete or not at all. The same inputs give the same bytes.

    Args:
        inputs: files, folders and "-" (standard input); or a stream of documents, such as
            `harvest_python_docs()`, where `Skipped` items are counted.
        out: a path that does not exist yet, or an empty folder that can be replaced.
        config: how text is read, cleaned and split.
        on_progress: called every 1,000 documents and at the end of the reading.

    Returns:
        The open corpus.

    Raises:
        ConfigError: texts that are long enough would be too long.
        InputError: an input cannot be read, fewer than 2 documents are left, or all have one id and are
            to be split by it.
        OutputError: `out` exists, cannot be replaced or written, or the disk is full.

    Examples:
        >>> import tempfile
        >>> texts = ["The first of the texts.", "The second of the texts.", "short"]
        >>> texts.append(texts[0])
        >>> documents = [Document(id=str(number), text=text) for number, text in enumerate(texts)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manifest = build_corpus(documents, folder + "/corpus").manifest
        >>> manifest.num_training, manifest.num_heldout, manifest.dropped
        (1, 1, {'exact duplicate': 1, 'shorter than 20 characters': 1})
    """
    config = config or CorpusConfig()
    if config.min_characters > config.max_characters:
        raise ConfigError(
            f"corpus.min_characters must be <= corpus.max_characters, got {config.min_characters} and "
            f"{config.max_characters}; 20 and 4000 are usual"
        )
    out = Path(os.path.realpath(out))
    _check_out(out)
    stream: Iterable[Document | Skipped]
    given = [inputs] if isinstance(inputs, (str, Path)) else inputs
    first = next(iterator := iter(given), None)
    reader: InputReader | None = None
    if first is None or isinstance(first, (str, Path)):
        paths = cast(Iterator[str | Path], iterator)
        stream = reader = InputReader([] if first is None else [first, *paths], config)
    else:
        stream = cast(Iterator[Document | Skipped], itertools.chain([first], iterator))
    partial = out.parent / f".{out.name}.partial"
    build = _Build(partial, config, reader)
    with disk_errors(out, partial, build.needed):
        build.clear()
        build.stage(stream, on_progress)
        manifest = build.finish()
        if out.exists():
            out.rmdir()
        partial.rename(out)
    return Corpus(out, manifest)


def _check_out(out: Path) -> None:
    """Refuse now, and not after hours of reading, a place that the finished folder cannot take."""
    # A place that may not be entered, or has too long a name, is refused when the build begins there.
    if not os.path.exists(out):
        return
    try:
        is_empty = not os.listdir(out)
    except OSError:  # a file, or a folder that may not be read
        is_empty = False
    if not is_empty:
        raise OutputError(f"{out} exists already; choose another --out, or remove it first")
    reason = "it is the folder you are in" if os.path.samefile(out, os.curdir) else ""
    if reason or os.path.ismount(out):
        raise OutputError(
            f"{out} cannot be replaced, because {reason or 'it is a disk of its own'}; give a new folder, "
            f"for example --out {out / 'corpus'}"
        )


class _Build:
    """The state between the passes of one build."""

    def __init__(self, folder: Path, config: CorpusConfig, reader: InputReader | None) -> None:
        self.folder, self.config, self.reader = folder, config, reader
        self.documents_read = self.passages_added = self.given_bytes = 0
        self.staged_bytes = 0
        self.dropped: Counter[str] = Counter()
        self.samples: dict[str, list[str]] = {}
        self.repaired: Counter[str] = Counter()

    def clear(self) -> None:
        """Make the temporary folder, without what a killed build may have left in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def needed(self) -> str:
        """How much room the build needs, as far as it can be known."""
        total = float(self.staged_bytes)
        if not total and self.reader is not None and self.reader.total_bytes and self.reader.bytes_read:
            written = sum(file.stat().st_size for file in self.folder.glob("*") if file.is_file())
            total = written * self.reader.total_bytes / self.reader.bytes_read
        # Temporary shards go as the final ones come, so that at most one shard is there twice.
        room = total + min(total, _SHARD_ROOM_BYTES)
        return f"; about {readable_bytes(room)} are needed in all" if room else ""

    def drop(self, reason: str, location: str) -> None:
        self.dropped[reason] += 1
        places = self.samples.setdefault(reason, [])
        if len(places) < _SAMPLES:
            places.append(replace_surrogates(location)[0])

    def stage(
        self, stream: Iterable[Document | Skipped], on_progress: Callable[[Progress], None] | None
    ) -> None:
        """First pass: clean and cut every document, collect its hash, write it to temporary shards."""
        self.duplicates = DuplicateFinder(self.folder)
        self.staged = ShardWriter(self.folder, "staged", keyed=True, level=1)
        try:
            for item in stream:
                self.documents_read += 1
                if isinstance(item, Skipped):
                    self.drop(item.reason, item.location)
                else:
                    self._stage_document(item)
                if on_progress and self.documents_read % _PROGRESS_EVERY == 0:
                    on_progress(self._progress())
            self.staged.close()
            self.staged_bytes = sum(path.stat().st_size for path, _ in self.staged.finished)
        finally:
            self.staged.abort()
        if on_progress:
            on_progress(self._progress())

    def _progress(self) -> Progress:
        if self.reader is None:
            return Progress(self.documents_read, self.given_bytes, None)
        return Progress(self.documents_read, self.reader.bytes_read, self.reader.total_bytes)

    def _stage_document(self, document: Document) -> None:
        document, repaired = clean_document(document)
        if repaired:
            self.repaired["invalid characters replaced"] += 1
        key = split_key(document.text if self.config.heldout_key == "content" else document.id)
        title_bytes = _num_bytes(document.title)
        parts = cut_document(document, self.config)
        self.passages_added += len(parts) - 1
        for part in parts:
            if isinstance(part, Skipped):
                self.drop(part.reason, part.location)
                continue
            digest = content_hash(part.text)
            self.duplicates.add(digest)
            language = part.language or guess_language(part.text)
            num_bytes = _num_bytes(part.text)
            self.given_bytes += num_bytes
            row: tuple[str | bytes, ...] = (*values_of(replace(part, language=language)), digest, key)
            self.staged.add(row, num_bytes + title_bytes)

    def finish(self) -> Manifest:
        """Second pass: drop duplicates, split, write the shards and, last, the manifest."""
        config = self.config
        is_first = self.duplicates.first_occurrences()
        num_kept = int(is_first.sum())
        if num_kept < 2:
            self.dropped["exact duplicate"] += len(is_first) - num_kept
            raise self._too_few(num_kept)
        keys = SmallestKeys((config.heldout_documents or 1) + 1)
        keys.update(key for (key,) in self._kept(is_first, ["key"]))
        # One long text: its passages can only be told apart by their ids.
        key_of_id = keys.num_texts < 2 or len(keys.smallest()) < 2
        if key_of_id:
            keys = SmallestKeys((config.heldout_documents or 1) + 1)
            keys.update(split_key(id_) for (id_,) in self._kept(is_first, ["id"]))
            if len(keys.smallest()) < 2:
                raise InputError(
                    "all texts have the same id, so they cannot be split by it; "
                    'set corpus.heldout_key="content"'
                )
        return self._write(is_first, keys, key_of_id)

    def _write(self, is_first: npt.NDArray[np.bool_], keys: SmallestKeys, key_of_id: bool) -> Manifest:
        limit = heldout_limit(keys, self.config)
        training = ShardWriter(self.folder, TRAINING_PREFIX, keyed=False)
        heldout = ShardWriter(self.folder, HELDOUT_PREFIX, keyed=True)
        prints = {False: hashlib.sha256(), True: hashlib.sha256()}
        characters = text_bytes = 0
        languages: Counter[str] = Counter()
        names: set[str] = set()
        is_repeated = False
        try:
            for row in self._kept(is_first, KEYED_COLUMNS, last=True):
                *values, digest, key = row
                document = Document(**dict(zip(COLUMNS, values, strict=True)))
                if key_of_id:
                    key = split_key(document.id)
                held = key < limit
                num_bytes = _num_bytes(document.text)
                characters += len(document.text)
                text_bytes += num_bytes
                languages[document.language] += 1
                beside = (value for name, value in zip(COLUMNS, values, strict=True) if name != "text")
                prints[held].update("\0".join(beside).encode("utf-8"))
                prints[held].update(digest)
                row_bytes = num_bytes + _num_bytes(document.title)
                if not held:
                    training.add(row[:-1], row_bytes)
                    continue
                heldout.add((*row[:-1], key), row_bytes)
                # Only as many different names are kept as the keys that were asked for have passages.
                if self.config.heldout_documents is not None and not is_repeated:
                    is_repeated = document.id in names
                    names.add(document.id)
            training.close()
            heldout.close()
        finally:
            training.abort()
            heldout.abort()
        num_training, num_heldout = (
            sum(rows for _, rows in writer.finished) for writer in (training, heldout)
        )
        manifest = Manifest(
            version=MANIFEST_VERSION,
            fingerprint=hashlib.sha256(prints[False].digest() + prints[True].digest()).hexdigest(),
            documents_read=self.documents_read,
            passages_added=self.passages_added,
            documents_kept=num_training + num_heldout,
            num_training=num_training,
            num_heldout=num_heldout,
            characters=characters,
            text_bytes=text_bytes,
            dropped=dict(sorted(self.dropped.items())),
            dropped_samples={reason: tuple(places) for reason, places in sorted(self.samples.items())},
            repaired=dict(self.repaired),
            languages=dict(sorted(languages.items(), key=lambda item: (-item[1], item[0]))),
            notes=self._notes(keys, key_of_id, num_heldout if is_repeated else None),
            inputs=self._inputs(),
            config=self.config,
            shards=tuple(
                ShardSummary(name=path.name, num_documents=rows, num_bytes=path.stat().st_size)
                for path, rows in training.finished + heldout.finished
            ),
        )
        (self.folder / MANIFEST_NAME).write_bytes(manifest.to_json())
        for path in (*sorted(self.folder.iterdir()), self.folder):
            _synchronise(path)
        return manifest

    def _kept(
        self, is_first: npt.NDArray[np.bool_], columns: Sequence[str], *, last: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Some columns of the staged rows that are no duplicates; the last time also counts and deletes."""
        index = 0
        for path, _ in self.staged.finished:
            for batch in read_batches(path, columns):
                keep = is_first[index : index + batch.num_rows].tolist()
                index += batch.num_rows
                for row, kept in zip(
                    zip(*(batch.column(name).to_pylist() for name in columns), strict=True), keep, strict=True
                ):
                    if kept:
                        yield row
                    elif last:
                        self.drop("exact duplicate", row[0])
            if last:
                path.unlink()

    def _inputs(self) -> tuple[InputSummary, ...]:
        if self.reader is None:
            return (InputSummary(path="(documents)", num_bytes=self.given_bytes),)
        return tuple(InputSummary(path=path, num_bytes=size) for path, size in self.reader.num_bytes)

    def _notes(self, keys: SmallestKeys, key_of_id: bool, repeated: int | None) -> tuple[str, ...]:
        """What a person should know; `repeated`: documents held out, if some of them have the same id."""
        notes = []
        asked = self.config.heldout_documents
        if self.config.heldout_key == "id" and repeated not in {None, asked}:
            notes.append(
                f"held out {repeated} documents instead of {asked}: ids are not unique, and documents "
                'with the same id stay on the same side; set corpus.heldout_key="content" for an exact number'
            )
        elif asked is not None and asked > keys.num_texts // 2:
            notes.append(
                f"held out {keys.num_texts // 2} texts instead of {asked}: at most half of {keys.num_texts}"
            )
        if key_of_id:
            notes.append("all passages come from one text, so they were split by passage")
        return tuple(notes)

    def _too_few(self, num_kept: int) -> InputError:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in self.dropped.most_common(5) if count)
        hint = "give more text"
        if any(reason.startswith("shorter") for reason in self.dropped):
            hint = "give longer texts, or lower corpus.min_characters"
        elif any(reason.startswith("invalid UTF-8") for reason in self.dropped):
            hint = "save the files as UTF-8, for example: iconv -f GB18030 -t UTF-8 OLD > NEW"
        return InputError(
            f"at least 2 different documents are needed, {num_kept} left of {self.documents_read} read"
            f"{'; dropped: ' + reasons if reasons else ''}; {hint}"
        )


def _num_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
