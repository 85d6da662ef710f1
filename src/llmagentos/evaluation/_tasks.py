"""Evaluation tasks, read from files: retrieval, sentence similarity (STS) and classification.

Three plain forms, the same that any judge can read without this package, so a score can be repeated
elsewhere. Everything malformed is refused with the file, the line and what was expected: an
evaluation that silently drops rows measures something else than its name says.
"""

import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmagentos.errors import InputError

FOLDS = 5
# nDCG uses 2^grade; judgments have a handful of grades, and a column of something else shows here.
_HIGHEST_GRADE = 60
# File names that say nothing on their own: the folder's name is put before them.
_PLAIN_NAMES = {"train", "dev", "test", "all", "heldout", "data", "eval", "validation"}


@dataclass(frozen=True, kw_only=True)
class RetrievalTask:
    """Queries, documents and graded judgments.

    `relevant[i]` maps the ids of the documents that answer query i to their grade (> 0). Judged ids
    that are not in `document_ids` still count in the ideal ranking and in recall, as they should:
    a document that was lost cannot be found.
    """

    name: str
    source: str
    queries: tuple[str, ...]
    documents: tuple[str, ...]
    document_ids: tuple[str, ...]
    relevant: tuple[Mapping[str, int], ...]
    primary: str = "ndcg@10"
    notes: tuple[str, ...] = ()
    kind: str = field(default="retrieval", init=False)

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """Its texts, by kind."""
        return self.queries, self.documents

    @property
    def size(self) -> str:
        """How much is measured, in words."""
        return f"{len(self.queries):,} queries, {len(self.documents):,} documents"


@dataclass(frozen=True, kw_only=True)
class STSTask:
    """Sentence pairs with a human similarity each; `gold` is float, any scale (only its order counts)."""

    name: str
    source: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    gold: tuple[float, ...]
    primary: str = "spearman"
    notes: tuple[str, ...] = ()
    kind: str = field(default="sts", init=False)

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """Its texts, by kind."""
        return self.left, self.right

    @property
    def size(self) -> str:
        """How much is measured, in words."""
        return f"{len(self.gold):,} pairs"


@dataclass(frozen=True, kw_only=True)
class ClassificationTask:
    """Texts with one label each, for classification and clustering of frozen vectors."""

    name: str
    source: str
    labels: tuple[str, ...]
    texts: tuple[str, ...]
    primary: str = "accuracy"
    notes: tuple[str, ...] = ()
    kind: str = field(default="classification", init=False)

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """Its texts, by kind."""
        return (self.texts,)

    @property
    def size(self) -> str:
        """How much is measured, in words."""
        return f"{len(self.texts):,} texts, {len(set(self.labels)):,} labels"


Task = RetrievalTask | STSTask | ClassificationTask


def load_task(path: str | Path) -> Task:
    """The task that a folder, a TSV or `FILE.jsonl:title` holds.

    Args:
        path: a folder with `corpus.jsonl`, `queries.jsonl` and `qrels.tsv` (BEIR layout): retrieval;
            a TSV with header `score sentence1 sentence2`: STS; a TSV with header `label text`:
            classification and clustering; `FILE.jsonl:title`: find each text of the file by its
            title. Every file may also be `FILE.zst`.

    Returns:
        The task, complete in memory.

    Raises:
        InputError: the path does not exist, has none of these forms, or a line of it is malformed.

    Examples:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "pairs.tsv"
        >>> rows = "score\\tsentence1\\tsentence2\\n5\\ta cat\\tthe cat\\n0\\ta cat\\tthe sea\\n"
        >>> _ = file.write_text(rows)
        >>> load_task(file).size
        '2 pairs'
    """
    text = str(path)
    if text.endswith(":title"):
        return _title_task(Path(text.removesuffix(":title")))
    path = Path(path)
    if path.is_dir():
        return _retrieval_task(path)
    lines = _lines(path)
    header = next(lines, (0, ""))[1].split("\t")
    if header[:3] == ["score", "sentence1", "sentence2"]:
        return _sts_task(path, lines)
    if header[:2] == ["label", "text"]:
        return _classification_task(path, lines)
    hint = f"; for title -> text retrieval inside it write {path}:title" if ".jsonl" in path.name else ""
    raise InputError(
        f"{path} is not a task: its first line must be the header `score<TAB>sentence1<TAB>sentence2` "
        f"or `label<TAB>text`, got {header[0][:60]!r}{hint}"
    )


def _title_task(path: Path) -> RetrievalTask:
    titles: list[str] = []
    texts: list[str] = []
    skipped = 0
    for number, row in _json_rows(path):
        title, text = _string(row, "title", path, number), _string(row, "text", path, number)
        if title and text:
            titles.append(title)
            texts.append(text)
        else:
            skipped += 1
    if len(texts) < 2:
        raise InputError(
            f"{path}:title needs at least 2 rows with both `title` and `text`, got {len(texts)}; "
            "give a .jsonl file whose rows have both"
        )
    ids = tuple(str(index) for index in range(len(texts)))
    return RetrievalTask(
        name=f"{_name(path)} title -> text",
        source=f"{path}:title",
        queries=tuple(titles),
        documents=tuple(texts),
        document_ids=ids,
        relevant=tuple({one: 1} for one in ids),
        primary="mrr@10",
        notes=(f"{skipped:,} rows without title or text are left out",) if skipped else (),
    )


def _retrieval_task(folder: Path) -> RetrievalTask:
    for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv"):
        if not _existing(folder / name):
            raise InputError(
                f"{folder} is not a retrieval task: {name} (or {name}.zst) is missing; "
                "a task folder holds corpus.jsonl, queries.jsonl and qrels.tsv"
            )
    corpus, queries = folder / "corpus.jsonl", folder / "queries.jsonl"
    documents: dict[str, str] = {}
    for number, row in _json_rows(corpus):
        title = _string(row, "title", corpus, number)
        text = _string(row, "text", corpus, number, needed=True)
        whole = " ".join(part for part in (title, text) if part)
        _add(documents, _id(row, corpus, number), whole, corpus, number)
    if not documents:
        raise InputError(
            f"{corpus} holds no documents; a retrieval task needs at least one row with `_id` and `text`"
        )
    asked: dict[str, str] = {}
    for number, row in _json_rows(queries):
        text = _string(row, "text", queries, number, needed=True)
        _add(asked, _id(row, queries, number), text, queries, number)
    judged = _judgments(folder / "qrels.tsv")
    kept = [one for one in asked if any(document in documents for document in judged.get(one, ()))]
    if not kept:
        raise InputError(
            f"{folder}: no query of queries.jsonl has a relevant document "
            "(grade > 0 in qrels.tsv, id in corpus.jsonl); check that the ids of the three files are the same"
        )
    notes = []
    if len(kept) < len(asked):
        left_out = len(asked) - len(kept)
        notes.append(f"{left_out:,} of {len(asked):,} queries have no relevant document and are left out")
    return RetrievalTask(
        name=_name(folder),
        source=str(folder),
        queries=tuple(asked[one] for one in kept),
        documents=tuple(documents.values()),
        document_ids=tuple(documents),
        relevant=tuple(judged[one] for one in kept),
        notes=tuple(notes),
    )


def _judgments(path: Path) -> dict[str, dict[str, int]]:
    """`{query: {document: grade}}` with grades > 0, from `query document grade` or TREC's four columns."""
    judged: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        parts = line.split("\t") if "\t" in line else line.split()
        try:
            query, document, grade = parts[0].strip(), parts[-2].strip(), int(parts[-1])
            if len(parts) < 3 or grade > _HIGHEST_GRADE:
                raise ValueError
        except (IndexError, ValueError):
            if number == 1:  # The header.
                continue
            raise InputError(
                f"{path}, line {number}: a judgment is `query-id<TAB>document-id<TAB>grade` "
                f"with a whole-number grade of at most {_HIGHEST_GRADE}, got {line[:80]!r}"
            ) from None
        if grade > 0:
            judged.setdefault(query, {})[document] = grade
    return judged


def _sts_task(path: Path, lines: Iterator[tuple[int, str]]) -> STSTask:
    left: list[str] = []
    right: list[str] = []
    gold: list[float] = []
    unscored = 0
    for number, line in lines:
        row = line.split("\t")
        if len(row) < 3:
            raise InputError(
                f"{path}, line {number}: a row is `score<TAB>sentence1<TAB>sentence2`, got {line[:80]!r}"
            )
        if not row[0].strip():
            unscored += 1
            continue
        try:
            score = float(row[0])
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise InputError(f"{path}, line {number}: score must be a finite number, got {row[0][:40]!r}")
        gold.append(score)
        left.append(row[1])
        right.append(row[2])
    if len(set(gold)) < 2:
        raise InputError(
            f"{path} needs at least two pairs with different scores, got {len(gold)} pairs with "
            f"{len(set(gold))} different scores; a rank correlation is undefined otherwise"
        )
    return STSTask(
        name=_name(path),
        source=str(path),
        left=tuple(left),
        right=tuple(right),
        gold=tuple(gold),
        notes=(f"{unscored:,} pairs without a score are left out",) if unscored else (),
    )


def _classification_task(path: Path, lines: Iterator[tuple[int, str]]) -> ClassificationTask:
    labels: list[str] = []
    texts: list[str] = []
    for number, line in lines:
        row = line.split("\t")
        if len(row) < 2 or not row[0].strip():
            raise InputError(f"{path}, line {number}: a row is `label<TAB>text`, got {line[:80]!r}")
        labels.append(row[0])
        texts.append(row[1])
    counts = Counter(labels)
    usable = sum(count >= 2 for count in counts.values())
    # A label with one text is in no training fold when that text is tested: two others must be.
    if usable < 2 or max(counts.values()) < FOLDS:
        raise InputError(
            f"{path} needs at least 2 labels with 2 texts each, and {FOLDS} texts of the most frequent one "
            f"(for {FOLDS}-fold cross-validation), got {len(texts)} texts with {len(counts)} labels, "
            f"of which {usable} have 2 texts; add texts, or leave out this task"
        )
    rare = sum(count < FOLDS for count in counts.values())
    notes = (f"{rare:,} labels have fewer than {FOLDS} texts, so some folds lack them",) if rare else ()
    return ClassificationTask(
        name=_name(path), source=str(path), labels=tuple(labels), texts=tuple(texts), notes=notes
    )


def _existing(path: Path) -> Path | None:
    """The path itself or its .zst, whichever is there."""
    packed = path.with_name(path.name + ".zst")
    return path if path.is_file() else packed if packed.is_file() else None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) of each line that is not blank."""
    import zstandard

    from llmagentos.corpus import read_zstd

    found = _existing(path)
    if found is None:
        raise InputError(
            f"there is no task at {path}; give a folder with corpus.jsonl, queries.jsonl and qrels.tsv, "
            "a .tsv file (`score sentence1 sentence2` or `label text`), or FILE.jsonl:title"
        )
    try:
        with found.open("rb") as raw:
            stream = io.BytesIO(b"".join(read_zstd(raw))) if found.suffix == ".zst" else raw
            # utf-8-sig: spreadsheets write a byte-order mark that would hide the header.
            with io.TextIOWrapper(stream, encoding="utf-8-sig") as text:
                for number, line in enumerate(text, start=1):
                    if line.strip():
                        yield number, line.rstrip("\n")
    except (OSError, EOFError, UnicodeDecodeError, zstandard.ZstdError) as error:
        raise InputError(
            f"{found} cannot be read: {error}; it must be UTF-8 text (or that in .zst)"
        ) from error


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: expected one JSON object a line, got {line[:60]!r}")
        yield number, row


def _string(row: Mapping[str, Any], key: str, path: Path, number: int, *, needed: bool = False) -> str:
    value = row.get(key)
    if value is None and not needed:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{path}, line {number}: `{key}` must be a text, got {value!r:.60}")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{path}, line {number}: `{key}` holds half a surrogate pair, got {value!r:.60}")
    return value


def _id(row: Mapping[str, Any], path: Path, number: int) -> str:
    value = row.get("_id", row.get("id"))
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise InputError(
            f"{path}, line {number}: `_id` (or `id`) must be a text or a whole number, got {value!r:.60}"
        )
    return str(value)


def _add(table: dict[str, str], key: str, text: str, path: Path, number: int) -> None:
    if key in table:
        raise InputError(f"{path}, line {number}: the id {key!r} occurs twice; every id must be unique")
    table[key] = text


def _name(path: Path) -> str:
    stem = path.name.removesuffix(".zst").removesuffix(".jsonl").removesuffix(".tsv")
    parent = path.resolve().parent.name
    return f"{parent}/{stem}" if stem in _PLAIN_NAMES and parent else stem
