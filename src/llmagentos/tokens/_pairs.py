"""Pairs of texts beside a token store: where each side stands, and the tokens of what is no document.

rows.bin    int64  (P, 2)   row of the store, or ~row of `texts/` where negative
hashes.bin  uint64 (P,)     of the text whose other views are no negatives of the pair
groups.bin  uint64 (P,)     hash of the session, or of the first text where there is none
kinds.bin   uint8  (P,)     place in `PAIR_KINDS`
texts/                      token store of titles, headings and the like; absent where there are none
"""

import json
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int64, UInt64

from llmagentos.corpus import PAIR_KINDS, Document, PairKind, TextPair, disk_errors
from llmagentos.errors import InputError
from llmagentos.tokens._batch import TokenBatch, concatenated, ragged_index
from llmagentos.tokens._store import (
    StoreProgress,
    TokenStore,
    build_store,
    read_array,
    refuse_existing,
    text_hash,
)

# A title of many texts ("Abstract", the book that 7,070 passages are from) says what kind of texts they are;
# to pull all of them to it, and each from the others, teaches nothing. The number is a choice.
_MOST_WITH_A_SIDE: Final = 5
_TEXTS = "texts"
_MISSING = np.iinfo(np.int64).min


class PairStore:
    """Pairs of texts as tokens, read by number.

    Args:
        folder: what `build_pairs` wrote.
        store: the documents that it was built beside.

    Raises:
        InputError: the folder holds no pairs, or is damaged.
    """

    def __init__(self, folder: Path, store: TokenStore) -> None:
        self.store = store
        try:
            number: int = json.loads((folder / "pairs.json").read_text(encoding="utf-8"))["num_pairs"]
            rows = read_array(folder / "rows.bin", np.dtype(np.int64), 2 * number)
            self._rows: Int64[np.ndarray, "P 2"] = rows.reshape(-1, 2)
            self.hashes: UInt64[np.ndarray, " P"] = read_array(
                folder / "hashes.bin", np.dtype(np.uint64), number
            )
            self.groups: UInt64[np.ndarray, " P"] = read_array(
                folder / "groups.bin", np.dtype(np.uint64), number
            )
            self._kinds = read_array(folder / "kinds.bin", np.dtype(np.uint8), number)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder} holds no complete pairs ({error}); build them again") from error
        self._texts = TokenStore(folder / _TEXTS) if (folder / _TEXTS).exists() else None

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def num_by_kind(self) -> dict[PairKind, int]:
        """How many pairs of each kind there are; kinds without any are left out."""
        counts = np.bincount(self._kinds, minlength=len(PAIR_KINDS)).tolist()
        return {kind: count for kind, count in zip(PAIR_KINDS, counts, strict=True) if count}

    def batch(self, indices: Int64[np.ndarray, " B"]) -> tuple[TokenBatch, TokenBatch]:
        """The first and the second texts of some pairs.

        Args:
            indices: int64 (B,), in [0, number of pairs).

        Returns:
            B texts each, whole, in the order asked for.
        """
        first, second = (self._side(rows) for rows in self._rows[indices].T)
        return first, second

    def _side(self, rows: Int64[np.ndarray, " B"]) -> TokenBatch:
        beside = rows < 0
        if self._texts is None or not beside.any():
            return self.store.batch(rows)
        both = concatenated([self.store.batch(rows[~beside]), self._texts.batch(~rows[beside])])
        # The documents came first; where each text of `rows` stands among all.
        place = np.where(beside, (~beside).sum() + np.cumsum(beside), np.cumsum(~beside)) - 1
        lengths = both.lengths[place]
        index = ragged_index(both.offsets[place], lengths)
        return TokenBatch(
            tokens=both.tokens[index],
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            flags=both.flags[index],
        )


def build_pairs(
    pairs: Iterable[TextPair],
    store: TokenStore,
    folder: Path,
    *,
    protect: Sequence[str] = (),
    on_progress: Callable[[StoreProgress], None] | None = None,
) -> PairStore | None:
    """Find the sides of pairs in a token store, and tokenise those that are not there.

    Args:
        pairs: read once.
        store: of the documents; its tokenizer is used.
        folder: created; written beside it and renamed at the end, so it is whole or absent.
        protect: see `TokensConfig.protect`.
        on_progress: called as texts that are no documents are tokenised.

    Returns:
        The opened pairs, without those of which a side has no token or is a side of more than 5; None where
        there are none.

    Raises:
        OutputError: `folder` exists, or the disk is full; nothing half-written stays.
    """
    refuse_existing(folder)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    documents = _Rows(store.hashes)
    sides, hashes, groups, kinds = array("Q"), array("Q"), array("Q"), array("B")

    def beside() -> Iterator[Document]:
        """The texts that are no documents, while all pairs are noted down."""
        for pair in pairs:
            for text in (pair.first, pair.second):
                sides.append(number := text_hash(text))
                if number not in documents:
                    yield Document(id="", text=text)
            hashes.append(text_hash(pair.text))
            # Texts with one title are no negatives of each other.
            groups.append(text_hash(pair.group or pair.first))
            kinds.append(PAIR_KINDS.index(pair.kind))

    with disk_errors(folder, partial):
        partial.mkdir(parents=True)
        waiting = beside()
        first = list(islice(waiting, 1))
        if first:
            with suppress(InputError):  # none of them has a token
                build_store(
                    chain(first, waiting),
                    store.tokenizer,
                    partial / _TEXTS,
                    protect=protect,
                    on_progress=on_progress,
                )
        asked = np.array(sides, np.uint64)
        rows = documents.find(asked)
        if (partial / _TEXTS).exists():
            found = _Rows(TokenStore(partial / _TEXTS).hashes).find(asked)
            rows = np.where((rows == _MISSING) & (found != _MISSING), ~found, rows)
        rows = rows.reshape(-1, 2)
        sides_of_few = [_num_equal(column) <= _MOST_WITH_A_SIDE for column in rows.T]
        whole = (rows != _MISSING).all(axis=1) & np.logical_and(*sides_of_few)
        if not whole.any():
            shutil.rmtree(partial)
            return None
        (partial / "rows.bin").write_bytes(rows[whole].tobytes())
        for name, values, dtype in (
            ("hashes", hashes, np.uint64),
            ("groups", groups, np.uint64),
            ("kinds", kinds, np.uint8),
        ):
            (partial / f"{name}.bin").write_bytes(np.array(values, dtype)[whole].tobytes())
        meta = {"num_pairs": int(whole.sum())}
        (partial / "pairs.json").write_text(json.dumps(meta), encoding="utf-8")
        partial.rename(folder)
    return PairStore(folder, store)


def _num_equal(values: Int64[np.ndarray, " P"]) -> Int64[np.ndarray, " P"]:
    """How many of the values are like each."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return counts[places]


class _Rows:
    """Rows of a store by the hash of their text."""

    def __init__(self, hashes: UInt64[np.ndarray, " N"]) -> None:
        self._order = np.argsort(hashes)
        self._sorted = hashes[self._order]

    def __contains__(self, number: int) -> bool:
        place = int(self._sorted.searchsorted(np.uint64(number)))
        return place < len(self._sorted) and int(self._sorted[place]) == number

    def find(self, asked: UInt64[np.ndarray, " Q"]) -> Int64[np.ndarray, " Q"]:
        """The row of each hash, or `_MISSING`."""
        places = np.minimum(self._sorted.searchsorted(asked), len(self._sorted) - 1)
        return np.where(self._sorted[places] == asked, self._order[places], _MISSING)
