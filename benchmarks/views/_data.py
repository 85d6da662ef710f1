"""The texts that the figures are measured on: real ones, the same in every run."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks._texts import hashed, read_lines, read_rows
from llmagentos.corpus import Document

TECHDOCS = tuple(f"corpus/techdocs/{name}.jsonl.zst" for name in ("eips", "peps", "powershell", "rust-rfcs"))
SYNONYMS = "thesaurus/oewn/synonyms.tsv.zst"


def paragraphs(number: int | None = None) -> list[str]:
    """Different paragraphs of 80 to 160 words of the technical documents, those with the smallest hashes."""
    found = {
        part.strip()
        for name in TECHDOCS
        for row in read_rows(name)
        for part in re.split(r"\n\s*\n", row["text"])
        if 80 <= len(part.split()) <= 160
    }
    return sorted(found, key=hashed)[:number]


def passages(words: int, number: int | None = None) -> list[str]:
    """The technical documents cut into passages of so many words, those with the smallest hashes."""
    found = []
    for name in TECHDOCS:
        for row in read_rows(name):
            text = row["text"]
            spans = [match.span() for match in re.finditer(r"\S+", text)]
            for first in range(0, len(spans) - words + 1, words):
                found.append(text[spans[first][0] : spans[first + words - 1][1]])
    return sorted(found, key=hashed)[:number]


def documents(texts: Iterable[str]) -> list[Document]:
    """Texts as `build_store` takes them."""
    return [Document(id=str(number), text=text) for number, text in enumerate(texts)]


def synonym_rows() -> list[tuple[str, str, list[str]]]:
    """Word, part of speech and synonyms of Open English WordNet."""
    fields = (line.split("\t") for line in read_lines(SYNONYMS))
    return [(word, speech, others.split("|")) for word, speech, others in fields]


def write_synonyms(path: Path) -> Path:
    """WordNet as our dictionary file: word<TAB>synonym|synonym, the part of speech dropped."""
    path.write_text(
        "".join(f"{word}\t{'|'.join(others)}\n" for word, _, others in synonym_rows()), encoding="utf-8"
    )
    return path


def mean_words(texts: Sequence[str]) -> float:
    """Words a text."""
    return sum(len(text.split()) for text in texts) / len(texts)
