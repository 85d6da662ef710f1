"""Two views of N texts: the first step of the seed, and the only random part of a batch."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from tokenizers import Tokenizer

from llmagentos.errors import ConfigError
from llmagentos.tokens import TokenBatch
from llmagentos.views import _operations as operations
from llmagentos.views._edits import Step
from llmagentos.views._noise import CharacterNoise
from llmagentos.views._random import Ints, UInts, subkeys, text_keys
from llmagentos.views._recipe import ViewsConfig
from llmagentos.views._related import learn_related_words
from llmagentos.views._replacement import RelatedWords, Replacement, read_dictionary
from llmagentos.views._units import UnitBatch

# The arrays of 256 texts stay in a core's cache and in memory that the process already holds: with
# 1,024 texts at once the four operations on words ran at 23,000 texts/s instead of 31,000.
_CHUNK_TEXTS = 256


class TextStore(Protocol):
    """What views need of a `TokenStore`."""

    @property
    def num_documents(self) -> int:
        """How many texts."""

    @property
    def hashes(self) -> UInts:
        """uint64 (num_documents,), content hash of each text."""

    @property
    def groups(self) -> UInts:
        """uint64 (num_documents,), group of each text, 0 for none."""

    @property
    def tokenizer(self) -> Tokenizer:
        """What made the tokens."""

    def batch(self, indices: Ints, *, limit: int | None = None) -> TokenBatch:
        """The texts at `indices`, or the first `limit` tokens of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewBatch:
    """Two views of each of N texts, and what tells false negatives.

    Attributes:
        a: N first views.
        b: N second views.
        hashes: uint64 (N,), content hash of each text.
        groups: uint64 (N,), group of each text, 0 for none.
    """

    a: TokenBatch
    b: TokenBatch
    hashes: UInts
    groups: UInts


class Views:
    """Makes two views of each text, each a pure function of (seed, epoch, index of the text).

    Args:
        store: the texts as tokens.
        config: what is done to them.
        related: related words for word replacement; without them they come from config.dictionary, or
            are learned from the store (about half a minute).

    Raises:
        ConfigError: the rates contradict each other.
        InputError: the dictionary cannot be used, or the store is too small to learn related words.
    """

    def __init__(self, store: TextStore, config: ViewsConfig, *, related: RelatedWords | None = None) -> None:
        self._store = store
        self.recipe = config.resolved()
        self.related: RelatedWords = {}
        if self.recipe.word_replacement > 0:
            self.related = related if related is not None else self._related_words()
        self._replacement = Replacement(self.related, store.tokenizer) if self.related else None
        self._noise = CharacterNoise(store.tokenizer) if self.recipe.character_noise > 0 else None

    def _related_words(self) -> RelatedWords:
        if self.recipe.dictionary is not None:
            return read_dictionary(self.recipe.dictionary)
        return learn_related_words(self._store)

    def views(self, indices: Ints, *, seed: int, epoch: int, max_tokens: int) -> ViewBatch:
        """Make two views of each text.

        Args:
            indices: int64 (N,), 0 to num_documents - 1.
            seed: any integer.
            epoch: any integer.
            max_tokens: most tokens of a view, >= 1.

        Returns:
            N pairs; a view is empty only where its text is.

        Raises:
            ConfigError: max_tokens is below 1.
        """
        first: list[TokenBatch] = []
        second: list[TokenBatch] = []
        for begin in range(0, max(1, len(indices)), _CHUNK_TEXTS):
            chunk = indices[begin : begin + _CHUNK_TEXTS]
            # One token more than fits tells whether the last unit is whole.
            limit = None if self.recipe.crops else max_tokens + 1
            _, whole = self._texts(chunk, max_tokens, limit)
            keys = text_keys(seed, epoch, chunk)
            for views, view in ((first, 0), (second, 1)):
                # Only the last step is kept: earlier ones would push the arrays in use out of the cache.
                last = deque(self._steps(whole, subkeys(keys, view), max_tokens), maxlen=1).pop()
                views.append(last.units.to_tokens())
        return ViewBatch(
            a=_concatenated(first),
            b=_concatenated(second),
            hashes=self._store.hashes[indices],
            groups=self._store.groups[indices],
        )

    def steps(
        self, indices: Ints, *, seed: int, epoch: int, max_tokens: int
    ) -> tuple[list[Step], list[Step]]:
        """The same two views, with the texts after every operation that is on.

        Args:
            indices: int64 (N,), 0 to num_documents - 1.
            seed: any integer.
            epoch: any integer.
            max_tokens: most tokens of a view, >= 1.

        Returns:
            The steps to the first and to the second view.

        Raises:
            ConfigError: max_tokens is below 1.
        """
        texts, whole = self._texts(indices, max_tokens, None)
        keys = text_keys(seed, epoch, indices)
        first, second = (
            [Step("text", texts), *self._steps(whole, subkeys(keys, view), max_tokens)] for view in (0, 1)
        )
        return first, second

    def _texts(self, indices: Ints, max_tokens: int, limit: int | None) -> tuple[UnitBatch, UnitBatch]:
        """The texts, and what of them the operations see: without a crop, as much as a view can hold."""
        if max_tokens < 1:
            raise ConfigError(
                f"max_tokens must be at least 1, got {max_tokens}; 64 to 512 is usual (training.max_tokens)"
            )
        texts = UnitBatch.from_tokens(self._store.batch(indices, limit=limit), max_unit_tokens=max_tokens)
        return texts, texts if self.recipe.crops else operations.fit(texts, max_tokens)

    def _steps(self, units: UnitBatch, keys: UInts, max_tokens: int) -> Iterator[Step]:
        """The operations in their fixed order, each with a key of its own, whichever others are on."""
        recipe = self.recipe
        if recipe.crops:
            minimum, maximum = recipe.crop_min, recipe.crop_max
            units = operations.crop(units, minimum, maximum, max_tokens, subkeys(keys, 0))
            yield Step("crop", units)
        else:
            yield Step("max_tokens", units)
        if recipe.sentence_reordering > 0:
            units = operations.reorder_sentences(units, recipe.sentence_reordering, subkeys(keys, 1))
            yield Step("sentence_reordering", units)
        if recipe.word_swap > 0:
            units = operations.swap(units, recipe.word_swap, subkeys(keys, 2))
            yield Step("word_swap", units)
        if self._replacement is not None:
            units = self._replacement.apply(units, recipe.word_replacement, max_tokens, subkeys(keys, 3))
            yield Step("word_replacement", units)
        if recipe.word_deletion > 0:
            units = operations.delete(units, recipe.word_deletion, subkeys(keys, 4))
            yield Step("word_deletion", units)
        if recipe.repetition > 0:
            units = operations.repeat(units, recipe.repetition, subkeys(keys, 5))
            yield Step("repetition", units)
        if self._noise is not None:
            units = self._noise.apply(units, recipe.character_noise, max_tokens, subkeys(keys, 6))
            yield Step("character_noise", units)
        if self._replacement is not None or self._noise is not None or recipe.repetition > 0:
            yield Step("max_tokens", operations.fit(units, max_tokens))


def _concatenated(batches: list[TokenBatch]) -> TokenBatch:
    """One batch of all texts, in order."""
    if len(batches) == 1:
        return batches[0]
    ends = np.cumsum([batch.tokens.size for batch in batches])
    offsets = [batch.offsets[1:] + end - batch.tokens.size for batch, end in zip(batches, ends, strict=True)]
    return TokenBatch(
        tokens=np.concatenate([batch.tokens for batch in batches]),
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), *offsets]),
        flags=np.concatenate([batch.flags for batch in batches]),
    )
