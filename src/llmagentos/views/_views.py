"""Two views of N texts: the first step of the seed, and the only random part of a batch."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from llmagentos.errors import ConfigError, InputError
from llmagentos.tokens import TokenBatch, concatenated
from llmagentos.views import _operations as operations
from llmagentos.views._crops import crop_pair
from llmagentos.views._edits import Explanation, Step, explain
from llmagentos.views._program import Program
from llmagentos.views._random import Ints, UInts, subkeys, text_keys
from llmagentos.views._recipe import ViewsConfig, described
from llmagentos.views._related import learn_related_words
from llmagentos.views._replacement import RelatedWords, Replacement, read_dictionary
from llmagentos.views._source import StringSource, TextStore, TokenSource
from llmagentos.views._strings import rendered
from llmagentos.views._units import UnitBatch

# Arrays of so many texts stay in a core's cache, and what every call costs is shared by many texts: five
# operations ran at 45,000 texts/s with 256 at once, 49,000 with 512 and 46,000 with 1,024.
_CHUNK_TEXTS = 512
# Longer than any text.
_NO_LIMIT = 2**31 - 1


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
        texts: a `TokenStore`: its views are tokens, from `views`. Or plain strings: they are split by a
            built-in rule (`tokens.split_words`), and their views are strings, from `strings`.
        config: what is done to them; without one, two crops.
        related: related words for word replacement; without them they come from config.dictionary, or
            are learned from the texts (about half a minute).
        protect: words and phrases of plain strings that are never deleted, replaced, swapped, repeated,
            misspelt or masked, beside numbers, addresses, code and negations; a token store was given its
            own (`tokens.protect`).

    Raises:
        ConfigError: the amounts contradict each other, or `protect` with a token store.
        InputError: the dictionary cannot be used, there is too little text to learn related words, or
            `texts` is a single string.

    Example:
        >>> config = ViewsConfig(preset="seed", word_replacement=0)
        >>> views = Views(["Dr. Smith never pays 3 dollars. He waits."], config)
        >>> first, second = views.strings(seed=1)[0]
        >>> "never" in first and "3" in second
        True
    """

    def __init__(
        self,
        texts: TextStore | Sequence[str],
        config: ViewsConfig | None = None,
        *,
        related: RelatedWords | None = None,
        protect: Sequence[str] = (),
    ) -> None:
        if not isinstance(config, ViewsConfig | None):
            raise ConfigError(
                f'config must be a ViewsConfig, got {config!r}; for example ViewsConfig(preset="sentence")'
            )
        self.recipe = recipe = (config or ViewsConfig()).resolved()
        if isinstance(texts, TextStore):
            if protect:
                raise ConfigError(
                    "the words of a token store are protected when it is built; give protect to build_store "
                    "(tokens.protect)"
                )
            self._source: TokenSource | StringSource = TokenSource(texts, recipe)
        else:
            self._source = StringSource(texts, recipe, protect)
        self.related: RelatedWords = {}
        if recipe.uses("word_replacement"):
            self.related = related if related is not None else self._related_words()
        replacement = Replacement(self.related, self._source.spelling) if self.related else None
        if recipe.dictionary is not None and replacement is not None and not len(replacement):
            raise InputError(
                f"of the {len(self.related):,} words of the dictionary {recipe.dictionary} none can be "
                "replaced by one that this tokenizer spells; give one in the language of the texts "
                "(views.dictionary)"
            )
        self._program = Program(
            recipe,
            replacement=replacement,
            misspelling=self._source.misspelling() if recipe.uses("character_noise") else None,
            spacing=self._source.spacing(recipe),
            mask_token=self._source.mask_token,
        )

    def __len__(self) -> int:
        """How many texts there are."""
        return self._source.num_documents

    def __repr__(self) -> str:
        how = ", ".join(described(self.recipe)) or "the same text twice"
        return (
            f"Views({self._source.num_documents:,} texts, {self._source.told}; {self.recipe.preset}: {how})"
        )

    def _related_words(self) -> RelatedWords:
        if self.recipe.dictionary is not None:
            return read_dictionary(self.recipe.dictionary)
        source = self._source
        return learn_related_words(
            source.store if isinstance(source, TokenSource) else source, source.spelling
        )

    def views(self, indices: Ints, *, seed: int, epoch: int, max_tokens: int) -> ViewBatch:
        """Make two views of each text, as tokens.

        Args:
            indices: int64 (N,), 0 to num_documents - 1.
            seed: any integer.
            epoch: any integer.
            max_tokens: most tokens of a view, >= 1.

        Returns:
            N pairs; a view is empty only where its text is.

        Raises:
            ConfigError: max_tokens is below 1, or these texts are plain strings.
        """
        source = self._source
        if isinstance(source, StringSource):
            raise ConfigError(
                "these are views of plain strings and have no tokens; call strings(), or build a TokenStore "
                "with the tokenizer of your encoder (llmagentos.tokens.build_store)"
            )
        first: list[TokenBatch] = []
        second: list[TokenBatch] = []
        for begin in range(0, max(1, len(indices)), _CHUNK_TEXTS):
            chunk = indices[begin : begin + _CHUNK_TEXTS]
            # One token more than fits tells whether the last unit is whole.
            limit = None if self.recipe.crops else max_tokens + 1
            units = source.units(chunk, _checked(max_tokens), limit)
            for batches, view in zip(
                (first, second), self._pair(units, chunk, seed, epoch, max_tokens), strict=True
            ):
                batches.append(view.to_tokens())
        return ViewBatch(
            a=concatenated(first),
            b=concatenated(second),
            hashes=source.store.hashes[indices],
            groups=source.store.groups[indices],
        )

    def strings(
        self,
        indices: Sequence[int] | Ints | None = None,
        *,
        seed: int = 0,
        epoch: int = 0,
        max_characters: int | None = None,
    ) -> list[tuple[str, str]]:
        """Make two views of each text, as strings.

        Args:
            indices: N places in the texts, from 0; None for all of them, in order.
            seed: any integer.
            epoch: any integer; each has views of its own.
            max_characters: most characters of a view without its white space, >= 1; None for no limit.

        Returns:
            N pairs; a view is empty only where its text is.

        Raises:
            ConfigError: max_characters is below 1, or the texts are a token store.
            InputError: an index that is none, or a text that is no string.
        """
        source = self._source
        if isinstance(source, TokenSource):
            raise ConfigError(
                "the views of a token store are tokens; call views(), or explain() for single texts"
            )
        places = self._places(indices)
        limit = _NO_LIMIT if max_characters is None else _checked(max_characters, "max_characters")
        pairs: list[tuple[str, str]] = []
        for begin in range(0, len(places), _CHUNK_TEXTS):
            chunk = places[begin : begin + _CHUNK_TEXTS]
            words = source.words(chunk)
            first, second = self._pair(source.units_of(words, limit), chunk, seed, epoch, limit)
            pairs += zip(rendered(words, first), rendered(words, second), strict=True)
        return pairs

    def explain(
        self,
        indices: Sequence[int] | Ints | None = None,
        *,
        seed: int = 0,
        epoch: int = 0,
        max_tokens: int = _NO_LIMIT,
    ) -> list[tuple[Explanation, Explanation]]:
        """The same two views of each text, with what each operation changed.

        Args:
            indices: N places in the texts, from 0; None for all of them, in order.
            seed: any integer.
            epoch: any integer.
            max_tokens: most tokens of a view (of plain strings: characters), >= 1.

        Returns:
            N pairs.

        Raises:
            ConfigError: max_tokens is below 1.
            InputError: an index that is none, or a text that is no string.
        """
        found: list[tuple[Explanation, Explanation]] = []
        places = self._places(indices)
        for begin in range(0, len(places), _CHUNK_TEXTS):
            found += self._explained(places[begin : begin + _CHUNK_TEXTS], seed, epoch, max_tokens)
        return found

    def _explained(
        self, places: Ints, seed: int, epoch: int, max_tokens: int
    ) -> list[tuple[Explanation, Explanation]]:
        source = self._source
        first, second = self.steps(places, seed=seed, epoch=epoch, max_tokens=max_tokens)
        rows = range(len(places))
        pairs = [
            (explain(first, row, source.spelling), explain(second, row, source.spelling)) for row in rows
        ]
        if isinstance(source, TokenSource):
            return pairs
        # Strings have more white space than their words can tell.
        words = source.words(places)
        texts, a, b = (rendered(words, steps[-1].units) for steps in (first[:1], first, second))
        return [
            (
                replace(pair[0], original=texts[row], view=a[row]),
                replace(pair[1], original=texts[row], view=b[row]),
            )
            for row, pair in enumerate(pairs)
        ]

    def steps(
        self, indices: Ints, *, seed: int, epoch: int, max_tokens: int
    ) -> tuple[list[Step], list[Step]]:
        """The same two views, with the texts after every operation that is on.

        Args:
            indices: int64 (N,), 0 to num_documents - 1.
            seed: any integer.
            epoch: any integer.
            max_tokens: most tokens of a view (of plain strings: characters), >= 1.

        Returns:
            The steps to the first and to the second view.

        Raises:
            ConfigError: max_tokens is below 1.
        """
        texts = self._source.units(indices, _checked(max_tokens))
        first, second = self._steps(texts, indices, seed, epoch, max_tokens)
        return [Step("text", texts), *first], [Step("text", texts), *second]

    def _places(self, indices: Sequence[int] | Ints | None) -> Ints:
        """Places of texts as int64 (N,); None is all of them."""
        number = self._source.num_documents
        if indices is None:
            return np.arange(number)
        places = np.asarray(indices)
        if places.size == 0:
            return np.empty(0, dtype=np.int64)
        if places.ndim != 1 or places.dtype.kind not in "iu":
            raise InputError(f"indices must be a list of whole numbers, got {indices!r}; for example [0, 1]")
        wrong = places[(places < 0) | (places >= number)]
        if wrong.size:
            raise InputError(f"there is no text {wrong[0]}; indices of these texts are 0 to {number - 1}")
        return places.astype(np.int64)

    def _pair(
        self, texts: UnitBatch, indices: Ints, seed: int, epoch: int, max_tokens: int
    ) -> Iterator[UnitBatch]:
        """The first and the second views of some texts."""
        for steps in self._steps(texts, indices, seed, epoch, max_tokens):
            # Only the last step is kept: earlier ones would push the arrays in use out of the cache.
            yield deque(steps, maxlen=1).pop().units

    def _steps(
        self, texts: UnitBatch, indices: Ints, seed: int, epoch: int, max_tokens: int
    ) -> tuple[Iterator[Step], Iterator[Step]]:
        recipe, keys = self.recipe, text_keys(seed, epoch, indices)
        first, second = subkeys(keys, 0), subkeys(keys, 1)
        if recipe.crops:
            start = "crop"
            crop_keys = (subkeys(first, 0), subkeys(second, 0))
            a, b = crop_pair(
                texts, recipe.crop_min, recipe.crop_max, max_tokens, recipe.crop_relation, crop_keys
            )
        else:
            start = "max_tokens"
            a = b = operations.fit(texts, max_tokens)

        def steps(units: UnitBatch, keys: UInts) -> Iterator[Step]:
            yield Step(start, units)
            yield from self._program.steps(units, keys, max_tokens)

        return steps(a, first), steps(b, second)


def _checked(limit: int, name: str = "max_tokens") -> int:
    if limit < 1:
        usual = "64 to 512 is usual (training.max_tokens)" if name == "max_tokens" else "None is no limit"
        raise ConfigError(f"{name} must be at least 1, got {limit}; {usual}")
    return limit
