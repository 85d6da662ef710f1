"""Where the texts of views come from: a token store, or plain strings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol, runtime_checkable

import numpy as np
from tokenizers import Tokenizer

from llmagentos.errors import InputError
from llmagentos.tokens import TokenBatch, WordBatch, split_words
from llmagentos.views._links import OPERATIONS
from llmagentos.views._misspelling import Misspeller
from llmagentos.views._noise import CharacterMisspelling, TokenMisspelling
from llmagentos.views._random import Ints, UInts
from llmagentos.views._recipe import Recipe
from llmagentos.views._spacing import Spacing
from llmagentos.views._spelling import Spelling, WordSpelling
from llmagentos.views._strings import CharacterSpelling, units_of
from llmagentos.views._traits import token_traits
from llmagentos.views._units import UnitBatch

_MASK_TOKENS: Final = ("[MASK]", "<mask>", "<|mask|>", "<MASK>")
# The letters of a language are known after some thousands of texts.
_SAMPLED_TEXTS: Final = 4_096


@runtime_checkable
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


class TokenSource:
    """The texts of a token store.

    Args:
        store: the texts as tokens.
        recipe: what will be done to them.
    """

    told = "as tokens"

    def __init__(self, store: TextStore, recipe: Recipe) -> None:
        self.store = store
        self.spelling = Spelling(store.tokenizer)
        ids = (store.tokenizer.token_to_id(token) for token in _MASK_TOKENS)
        self.mask_token = next((number for number in ids if number is not None), None)
        asked = recipe.crops or recipe.uses(*OPERATIONS)
        self._traits = token_traits(store.tokenizer) if asked else None

    @property
    def num_documents(self) -> int:
        """How many texts."""
        return self.store.num_documents

    def units(self, indices: Ints, max_unit_tokens: int, limit: int | None = None) -> UnitBatch:
        """The texts at `indices`, or the first `limit` tokens of each; longer units are cut."""
        return UnitBatch.from_tokens(self.store.batch(indices, limit=limit), max_unit_tokens, self._traits)

    def misspelling(self) -> TokenMisspelling:
        """What misspells words, in tokens."""
        return TokenMisspelling(self.spelling)

    def spacing(self, recipe: Recipe) -> Spacing | None:
        """What spells words for their places; None where every word is spelled alike in all of them."""
        spelling = self.spelling
        if spelling.marker:
            return Spacing(spelling) if recipe.moves or recipe.crops else None
        # Without spaces, only a word that moves may have to go on from another one or not.
        moves = recipe.uses("sentence_reordering", "word_swap")
        return Spacing(spelling) if moves and spelling.continuation else None


class StringSource:
    """Texts given as strings.

    Args:
        texts: any sequence; read by place, so a column of a dataset need not fit into memory.
        recipe: what will be done to them: what it does not need is not looked for.
        protect: words and phrases that no operation may change.

    Raises:
        InputError: one string instead of a sequence of them, or what has no length; `protect` likewise,
            or with a text that has no visible character.
    """

    told = "as plain strings, split by the built-in rule"
    mask_token = None

    def __init__(self, texts: Sequence[str], recipe: Recipe, protect: Sequence[str]) -> None:
        if isinstance(texts, str | bytes):
            raise InputError("views need a list of texts, got a single string; put it into a list: [text]")
        if not (hasattr(texts, "__len__") and hasattr(texts, "__getitem__")):
            raise InputError(
                f"views read texts by their place, which {type(texts).__name__} has not; make a list of it"
            )
        if isinstance(protect, str) or not all(word.split() for word in protect):
            raise InputError(
                f"protect must be a list of words and phrases, got {protect!r}; for example "
                '["Kubernetes", "pay per use"]'
            )
        self._texts = texts
        self._recipe = recipe
        self._protect = tuple(protect)
        self.spelling: WordSpelling = CharacterSpelling()

    @property
    def num_documents(self) -> int:
        """How many texts."""
        return len(self._texts)

    def words(self, indices: Ints, *, sentences: bool | None = None) -> WordBatch:
        """The texts at `indices` as words."""
        return split_words(
            self._read(indices),
            protection=self._recipe.protects,
            sentences=self._recipe.uses("sentence_reordering") if sentences is None else sentences,
            protect=self._protect,
        )

    def units_of(self, words: WordBatch, max_unit_tokens: int) -> UnitBatch:
        """Words as units of at most `max_unit_tokens` characters."""
        units = units_of(words)
        lengths = np.minimum(units.pool.lengths, max_unit_tokens)
        return replace(units, pool=replace(units.pool, lengths=lengths))

    def units(self, indices: Ints, max_unit_tokens: int) -> UnitBatch:
        """The texts at `indices` as units of at most `max_unit_tokens` characters."""
        return self.units_of(self.words(indices), max_unit_tokens)

    def batch(self, indices: Ints) -> TokenBatch:
        """The texts at `indices` as characters, without their white space."""
        return units_of(self.words(indices, sentences=True)).to_tokens()

    def misspelling(self) -> CharacterMisspelling:
        """What misspells words, with the letters of these texts (of 4,096 of them, spread evenly)."""
        number = min(self.num_documents, _SAMPLED_TEXTS)
        places = np.arange(number) * self.num_documents // max(number, 1)
        return CharacterMisspelling(Misspeller(self._read(places)))

    def spacing(self, recipe: Recipe) -> None:
        """Spaces are characters of their own."""

    def _read(self, indices: Ints) -> list[str]:
        texts = [self._texts[index] for index in indices.tolist()]
        for index, text in zip(indices.tolist(), texts, strict=True):
            if not isinstance(text, str):
                raise InputError(
                    f"text {index} is {type(text).__name__}, not str; leave out what has no text, or make it "
                    "an empty string"
                )
        return texts
