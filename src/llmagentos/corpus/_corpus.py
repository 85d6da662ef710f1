"""The corpus on disk: opened, read, and its held-out part written for others to score with."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow.parquet as pq

from llmagentos.corpus._document import Document
from llmagentos.corpus._manifest import MANIFEST_VERSION, Manifest
from llmagentos.corpus._output import write_whole
from llmagentos.corpus._parquet import ARROW_ERRORS
from llmagentos.corpus._shards import read_batches, read_shard
from llmagentos.corpus._split import SmallestKeys
from llmagentos.errors import InputError

__all__ = ["HELDOUT_PREFIX", "MANIFEST_NAME", "TRAINING_PREFIX", "Corpus"]

MANIFEST_NAME = "manifest.json"
TRAINING_PREFIX = "training"
HELDOUT_PREFIX = "heldout"


class Corpus:
    """A folder of cleaned, deduplicated, split documents; made by `build_corpus`.

    Args:
        path: the folder.
        manifest: what it holds.

    Examples:
        >>> import pathlib, tempfile
        >>> from llmagentos.corpus import CorpusConfig, build_corpus
        >>> texts = (Document(id=str(n), text=f"This is the text with number {n}.") for n in range(10))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "corpus")
        ...     built = build_corpus(texts, path, CorpusConfig(heldout_documents=3))
        ...     corpus = Corpus.open(path)
        ...     corpus.num_training, len(list(corpus.heldout()))
        (7, 3)
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @staticmethod
    def open(path: str | Path) -> "Corpus":
        """The corpus in a folder, after a check that every shard is there and whole.

        Raises:
            InputError: it is no corpus, or a shard is missing or damaged.
        """
        path = Path(path)
        try:
            data = (path / MANIFEST_NAME).read_bytes()
        except OSError as error:
            raise InputError(
                f"{path} is not a corpus (it has no {MANIFEST_NAME}); make one with "
                f"llmagentos corpus build INPUT... --out {path}"
            ) from error
        manifest = Manifest.from_json(data)
        if manifest.version != MANIFEST_VERSION:
            raise InputError(
                f"the corpus {path} has format {manifest.version}, this program reads format "
                f"{MANIFEST_VERSION}; build it again"
            )
        for shard in manifest.shards:
            file = path / shard.name
            try:
                whole = (
                    file.stat().st_size == shard.num_bytes
                    and pq.ParquetFile(file).metadata.num_rows == shard.num_documents
                )
            except ARROW_ERRORS:
                whole = False
            if not whole:
                raise InputError(
                    f"the corpus file {file} is {'damaged' if file.exists() else 'missing'}; "
                    "build the corpus again"
                )
        return Corpus(path, manifest)

    @property
    def num_training(self) -> int:
        """Number of training documents."""
        return self.manifest.num_training

    @property
    def num_heldout(self) -> int:
        """Number of held-out documents."""
        return self.manifest.num_heldout

    def training(self) -> Iterator[Document]:
        """The training documents, always in the same order."""
        return self._read(TRAINING_PREFIX)

    def heldout(self) -> Iterator[Document]:
        """The held-out documents, always in the same order: that of the input."""
        return self._read(HELDOUT_PREFIX)

    def _files(self, prefix: str) -> list[Path]:
        return [self.path / shard.name for shard in self.manifest.shards if shard.name.startswith(prefix)]

    def _read(self, prefix: str) -> Iterator[Document]:
        for file in self._files(prefix):
            yield from read_shard(file)

    def write_heldout(self, path: str | Path, limit: int = 2_000) -> int:
        """Write held-out documents as jsonl with `_id`, `title` and `text`, smallest SHA-256 key first.

        Of a text that was cut only the first passage is written, so that a title has one right answer.

        Args:
            path: the file; replaced at once when it is complete.
            limit: at most this many documents.

        Returns:
            The number of documents written.

        Raises:
            OutputError: the disk is full or cannot be written.
        """
        smallest = SmallestKeys(limit)
        for file in self._files(HELDOUT_PREFIX):
            for batch in read_batches(file, ["key"]):
                smallest.update(batch.column("key").to_pylist())
        wanted = set(smallest.smallest())
        rows: dict[bytes, bytes] = {}
        for file in self._files(HELDOUT_PREFIX):
            for batch in read_batches(file, ["id", "title", "text", "key"]):
                for row in batch.to_pylist():
                    key = row.pop("key")
                    if key in wanted and key not in rows:
                        ordered = {"_id": row["id"], "title": row["title"], "text": row["text"]}
                        rows[key] = orjson.dumps(ordered, option=orjson.OPT_APPEND_NEWLINE)
        write_whole(Path(path), b"".join(rows[key] for key in sorted(rows)))
        return len(rows)
