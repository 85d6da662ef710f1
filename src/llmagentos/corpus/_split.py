"""Which texts are held out: those whose SHA-256 key is below one limit.

A limit on a hash needs no list and no random state. With a fraction the limit is the same in every
corpus, and so is the side of a text: a corpus can grow without training on what an older model was
tested with. Two things are not stable when text is added: with a number of texts the limit moves down,
and held-out texts may change sides; and in a corpus so small that a fraction puts all texts on one side,
the limit is that of its smallest keys, until it has grown.
"""

import hashlib
import heapq
from collections.abc import Iterable

from llmagentos.corpus._config import CorpusConfig

__all__ = ["SmallestKeys", "heldout_limit", "split_key"]


def split_key(text: str) -> bytes:
    """SHA-256 of a text or an id, 32 bytes."""
    return hashlib.sha256(text.encode("utf-8")).digest()


class SmallestKeys:
    """The `count` smallest different keys of a stream, and how many runs of equal keys it had.

    Passages of one text follow each other and share its key, so that a run is a text.

    Examples:
        >>> keys = SmallestKeys(2)
        >>> keys.update([b"c", b"c", b"a", b"b"])
        >>> keys.smallest(), keys.num_texts
        ([b'a', b'b'], 3)
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._keys: set[bytes] = set()
        self._bound: bytes | None = None
        self._last: bytes | None = None
        self.largest = b""
        self.num_texts = 0

    def update(self, keys: Iterable[bytes]) -> None:
        """Take the next keys."""
        for key in keys:
            if key == self._last:
                continue
            self._last = key
            self.num_texts += 1
            self.largest = max(self.largest, key)
            if self._bound is None or key <= self._bound:
                self._keys.add(key)
                if len(self._keys) > 2 * self._count + 1_000:
                    self._keys = set(self.smallest())
                    self._bound = max(self._keys)

    def smallest(self) -> list[bytes]:
        """The smallest keys, smallest first."""
        return heapq.nsmallest(self._count, self._keys)


def heldout_limit(keys: SmallestKeys, config: CorpusConfig) -> bytes:
    """The limit L: a text is held out if its key is less than L.

    With a fraction f, L = f * 2^256. Where all texts would be on one side, L is the second smallest
    key, so that one text is held out, which may change sides when text is added. With a number n, L is
    the key after the n smallest, where n is at most half of the texts.

    Args:
        keys: of all texts, at least 2 different ones, made with room for `heldout_documents` + 1.
        config: the rule.

    Returns:
        The limit; empty (nothing is held out) for a fraction of 0.
    """
    smallest = keys.smallest()
    if config.heldout_documents is not None:
        return smallest[max(1, min(config.heldout_documents, keys.num_texts // 2, len(smallest) - 1))]
    if config.heldout_fraction == 0:
        return b""
    limit = int(config.heldout_fraction * 2**64).to_bytes(8, "big")
    # Few texts may all fall on one side by chance (of 20 texts at 5%, none is held out every third time).
    if smallest[0] >= limit or keys.largest < limit:
        return smallest[1]
    return limit
