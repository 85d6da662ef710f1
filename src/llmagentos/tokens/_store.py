"""The token store: every text of a corpus, tokenised once, in memory-mapped arrays.

    tokens.bin    uint16 or int32 (T,)   token ids, all texts one after the other
    flags.bin     uint8  (T,)            UNIT_START, SENTENCE_START, PROTECTED of each token
    offsets.bin   int64  (N + 1,)        text i is tokens[offsets[i]:offsets[i + 1]]
    hashes.bin    uint64 (N,)            content hash: equal texts are no negatives of each other
    groups.bin    uint64 (N,)            hash of the session, 0 for none
    documents.bin int64  (V,)            in how many texts each entry of the vocabulary occurs
    tokenizer.json, store.json

Only the rows of a batch are ever read, so resident memory does not grow with the corpus.
"""

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import xxhash
from jaxtyping import Int64, UInt64
from tokenizers import Encoding, Tokenizer

from llmagentos.corpus import Document, disk_errors
from llmagentos.errors import InputError, OutputError
from llmagentos.tokens._batch import TokenBatch
from llmagentos.tokens._encode import mark_encodings

# Texts tokenised together: enough to keep the tokenizer's threads busy, and few enough for the arrays of
# their marks to stay in the cache (a text of 110 words took 56 us, with 2,048 at once 66). Where texts are
# long the characters bound it: tokens with their spans take some 60 bytes a character, and there are two
# chunks at a time.
_CHUNK_TEXTS = 1_024
_CHUNK_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class StoreProgress:
    """What `build_store` has tokenised so far."""

    num_documents: int
    num_tokens: int


class TokenStore:
    """The texts of a corpus as tokens, read by row number.

    Args:
        folder: what `build_store` wrote.

    Raises:
        InputError: the folder is no token store, or is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        try:
            meta = json.loads((folder / "store.json").read_text(encoding="utf-8"))
            self.num_documents: int = meta["num_documents"]
            self.num_tokens: int = meta["num_tokens"]
            size: int = meta["vocabulary_size"]
            self._tokens = read_array(folder / "tokens.bin", np.dtype(meta["token_dtype"]), self.num_tokens)
            self._flags = read_array(folder / "flags.bin", np.dtype(np.uint8), self.num_tokens)
            self._offsets = read_array(folder / "offsets.bin", np.dtype(np.int64), self.num_documents + 1)
            self.hashes: UInt64[np.ndarray, " N"] = read_array(
                folder / "hashes.bin", np.dtype(np.uint64), self.num_documents
            )
            self.groups: UInt64[np.ndarray, " N"] = read_array(
                folder / "groups.bin", np.dtype(np.uint64), self.num_documents
            )
            self.document_counts: Int64[np.ndarray, " V"] = read_array(
                folder / "documents.bin", np.dtype(np.int64), size
            )
            if self._offsets[0] != 0 or self._offsets[-1] != self.num_tokens:
                raise ValueError(f"offsets.bin does not go from 0 to {self.num_tokens:,}")
            self.tokenizer = _read_tokenizer(folder / "tokenizer.json")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder} is not a complete token store ({error}); build it again") from error

    def __reduce__(self) -> tuple[type["TokenStore"], tuple[Path]]:
        # A worker process opens the folder itself: the arrays may be larger than its memory.
        return TokenStore, (self._folder,)

    def __len__(self) -> int:
        return self.num_documents

    def batch(self, indices: Int64[np.ndarray, " B"], *, limit: int | None = None) -> TokenBatch:
        """The texts of some rows, in the order asked for.

        Args:
            indices: int64 (B,), row numbers in [0, num_documents).
            limit: take only the first `limit` tokens of each text.

        Returns:
            B texts as a `TokenBatch`.
        """
        starts = self._offsets[indices]
        lengths = self._offsets[indices + 1] - starts
        if limit is not None:
            lengths = np.minimum(lengths, limit)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return TokenBatch(
            tokens=self._tokens.take(rows).astype(np.int32), offsets=offsets, flags=self._flags.take(rows)
        )


def build_store(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    protect: Sequence[str] = (),
    on_progress: Callable[[StoreProgress], None] | None = None,
) -> TokenStore:
    """Tokenise documents into a new token store.

    The next texts are tokenised in a second thread while units, sentences and protection of these are
    marked and written.

    Args:
        documents: read once, in order; row i of the store is the i-th document with any token.
        tokenizer: reports offsets; truncation and padding are switched off in the copy that is
            stored.
        folder: created; written beside it and renamed at the end, so it is whole or absent.
        protect: words and phrases to protect as well, see `TokensConfig.protect`.
        on_progress: called after every 1,024 texts, or fewer where they are long.

    Returns:
        The opened store.

    Raises:
        InputError: no document has any token.
        OutputError: `folder` exists, or the disk is full; nothing half-written stays.
    """
    refuse_existing(folder)
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with disk_errors(folder, partial):
        partial.mkdir(parents=True)
        _write(documents, tokenizer, partial, protect, on_progress)
        partial.rename(folder)
    return TokenStore(folder)


def _write(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    folder: Path,
    protect: Sequence[str],
    on_progress: Callable[[StoreProgress], None] | None,
) -> None:
    size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    dtype = np.dtype(np.uint16 if size <= 65_536 else np.int32)
    documents_with = np.zeros(size, np.int64)
    num_documents = num_tokens = 0
    with ExitStack() as files:
        tokens, flags, offsets, hashes, groups = (
            files.enter_context((folder / f"{name}.bin").open("wb"))
            for name in ("tokens", "flags", "offsets", "hashes", "groups")
        )
        pool = ThreadPoolExecutor(max_workers=1)
        files.callback(pool.shutdown, cancel_futures=True)
        offsets.write(np.int64(0).tobytes())
        for chunk, batch in _encoded(documents, tokenizer, protect, pool):
            kept = [place for place, length in enumerate(batch.lengths.tolist()) if length]
            tokens.write(batch.tokens.astype(dtype).tobytes())
            flags.write(batch.flags.tobytes())
            offsets.write((batch.offsets[1:][kept] + num_tokens).tobytes())
            hashes.write(np.array([text_hash(chunk[i].text) for i in kept], np.uint64).tobytes())
            groups.write(
                np.array(
                    [text_hash(chunk[i].group) if chunk[i].group else 0 for i in kept], np.uint64
                ).tobytes()
            )
            documents_with += _document_counts(batch, size)
            num_documents += len(kept)
            num_tokens += len(batch.tokens)
            if on_progress is not None:
                on_progress(StoreProgress(num_documents, num_tokens))
    if num_documents == 0:
        raise InputError(
            "no text has a single token for this tokenizer; give text in a language that it knows"
        )
    (folder / "documents.bin").write_bytes(documents_with.tobytes())
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    meta = {
        "num_documents": num_documents,
        "num_tokens": num_tokens,
        "token_dtype": dtype.name,
        "vocabulary_size": size,
    }
    (folder / "store.json").write_text(json.dumps(meta), encoding="utf-8")


def _encoded(
    documents: Iterable[Document], tokenizer: Tokenizer, protect: Sequence[str], pool: Executor
) -> Iterator[tuple[list[Document], TokenBatch]]:
    """The documents a chunk at a time, each with its tokens, while the pool tokenises the next one."""
    waiting: deque[tuple[list[Document], Future[list[Encoding]]]] = deque()

    def first_of_waiting() -> tuple[list[Document], TokenBatch]:
        chunk, encodings = waiting.popleft()
        return chunk, mark_encodings([document.text for document in chunk], encodings.result(), protect)

    for chunk in _chunks(documents):
        texts = [document.text for document in chunk]
        waiting.append((chunk, pool.submit(tokenizer.encode_batch, texts, add_special_tokens=False)))
        if len(waiting) > 1:
            yield first_of_waiting()
    while waiting:
        yield first_of_waiting()


def _document_counts(batch: TokenBatch, size: int) -> Int64[np.ndarray, " V"]:
    """In how many texts of the batch each of the `size` entries of the vocabulary occurs."""
    counts = np.zeros(size, np.int64)
    tokens = batch.tokens.astype(np.intp)  # what numpy would make of the tokens of every text by itself
    for start, end in pairwise(batch.offsets.tolist()):
        # One more for each entry, however often it stands in the text. Sorting all (text, entry) pairs
        # takes five times as long.
        counts[tokens[start:end]] += 1
    return counts


def _chunks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    chunk: list[Document] = []
    characters = 0
    for document in documents:
        chunk.append(document)
        characters += len(document.text)
        if len(chunk) >= _CHUNK_TEXTS or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def refuse_existing(folder: Path) -> None:
    """Raise an OutputError where the folder is there already."""
    if folder.exists():
        raise OutputError(f"{folder} exists already; remove it first, or give a new folder")


def text_hash(text: str) -> int:
    """64-bit hash of a text or the name of a group; 0 is that of none by chance of 5e-20."""
    return xxhash.xxh3_64_intdigest(text.encode())


def read_array(path: Path, dtype: np.dtype, length: int) -> np.ndarray:
    """A memory-mapped array from a file; ValueError if it has another length."""
    array = np.asarray(np.memmap(path, dtype, mode="r"))
    if len(array) != length:
        raise ValueError(f"{path.name} has {len(array):,} entries where {length:,} are due")
    return array


def _read_tokenizer(path: Path) -> Tokenizer:
    text = path.read_text(encoding="utf-8")
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # the library has no class of its own for a damaged file
        raise ValueError(f"{path.name} is damaged: {error}") from error
