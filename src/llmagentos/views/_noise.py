"""Character noise: one typing error in some words.

The only operation that needs the tokenizer, so only the words that change are tokenised, and each
word has `VARIANTS` misspellings at most, which are remembered: after a while nearly every error is a
dictionary look-up.
"""

import unicodedata
from bisect import bisect_right
from collections import Counter, defaultdict
from itertools import accumulate

import numpy as np
from tokenizers import Tokenizer

from llmagentos.views._random import UInts, chance, mix, ragged_random
from llmagentos.views._spelling import Spelling
from llmagentos.views._units import UnitBatch, hash_spans

# 16 misspellings a word keep the cache small and hit it often; an encoder sees a given word misspelt
# far fewer than 16 times in a short training.
VARIANTS = 16
# About 150 bytes each: 40 MB. The long tail of a large corpus has no end, so the cache is emptied.
_CACHE_ENTRIES = 1 << 18


class CharacterNoise:
    """Inserts, deletes, substitutes or transposes one character of a word, with equal probability.

    New characters are drawn from those of the tokenizer's vocabulary that have the script and case of
    the character in that place, as often as they occur there: the language's own letters, without a
    table of languages.

    Args:
        tokenizer: the one that made the tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._spelling = Spelling(tokenizer)
        self._alphabets = _alphabets(self._spelling.vocabulary())
        self._cache: dict[int, bytes] = {}

    def apply(self, units: UnitBatch, rate: float, max_unit_tokens: int, keys: UInts) -> UnitBatch:
        """Misspell some units; protected ones and those that are not words stay.

        Args:
            units: N texts.
            rate: probability that a unit is drawn, 0 to 1.
            max_unit_tokens: a misspelling with more tokens is not used.
            keys: uint64 (N,).

        Returns:
            N texts with as many units.
        """
        random = ragged_random(keys, units.offsets)
        places = np.flatnonzero(chance(random, rate))
        places = places[~units.pool.protected[units.ids[places]]]
        spans = units.ids[places]
        starts, lengths = units.pool.starts[spans], units.pool.lengths[spans]
        variant = mix(random[places]) % np.uint64(VARIANTS)
        names = mix(hash_spans(units.pool.tokens, starts, lengths) + variant)
        words = []
        for number, name in enumerate(names.tolist()):
            found = self._cache.get(name)
            if found is None:
                begin = starts[number]
                ids = units.pool.tokens[begin : begin + lengths[number]].tolist()
                found = np.array(self._misspelt(ids, name), dtype=np.int32).tobytes()
                if len(self._cache) >= _CACHE_ENTRIES:
                    self._cache.clear()
                self._cache[name] = found
            words.append(found)
        new_lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words)) // 4
        changed = np.flatnonzero((new_lengths > 0) & (new_lengths <= max_unit_tokens))
        tokens = np.frombuffer(b"".join(words[number] for number in changed), dtype=np.int32)
        ids = units.ids.copy()
        ids[places[changed]] = units.pool.starts.size + np.arange(changed.size)
        pool = units.pool.extended(tokens, new_lengths[changed], spans[changed])
        return UnitBatch(pool=pool, ids=ids, offsets=units.offsets)

    def _misspelt(self, ids: list[int], random: int) -> list[int]:
        """Tokens of the misspelling that `random` names; none where the unit cannot be misspelt."""
        read = self._spelling.read(ids)
        if read is None:
            return []
        marker, word = read
        changed = self._edited(word, random)
        return (self._spelling.write(marker, changed) if changed != word else None) or []

    def _edited(self, word: str, random: int) -> str:
        """The word with one edit; the bits of `random` choose the operation, the place, the character."""
        letters = [place for place, char in enumerate(word) if char.isalpha()]
        if not letters:
            return word
        operation, random = random & 3, random >> 2
        place = letters[(random & 0xFFFF) % len(letters)]
        if operation == 0 and len(letters) > 1:
            return word[:place] + word[place + 1 :]
        pairs = [k for k in letters if k + 1 < len(word) and word[k + 1].isalpha() and word[k] != word[k + 1]]
        if operation == 1 and pairs:
            place = pairs[(random & 0xFFFF) % len(pairs)]
            return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        drawn = self._drawn(word[place], random >> 16, differs=operation != 2)
        kept = word[place] if operation == 2 else ""
        return word[:place] + drawn + kept + word[place + 1 :]

    def _drawn(self, char: str, random: int, *, differs: bool) -> str:
        """A character of the same script and case; another one where `differs`."""
        chars, ends = self._alphabets.get(_group(char), ([char], [1]))
        drawn = bisect_right(ends, random % ends[-1])
        if differs and chars[drawn] == char:
            drawn = (drawn + 1) % len(chars)
        return chars[drawn]


def _group(char: str) -> tuple[str, str]:
    """Script (first word of the Unicode name) and general category, which tells case."""
    return unicodedata.name(char, "").partition(" ")[0], unicodedata.category(char)


def _alphabets(words: list[str]) -> dict[tuple[str, str], tuple[list[str], list[int]]]:
    """For each script and case, its characters and the running sum of their counts."""
    groups: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for char, count in sorted(Counter(char for word in words for char in word if char.isalpha()).items()):
        groups[_group(char)].append((char, count))
    return {
        group: ([char for char, _ in found], list(accumulate(count for _, count in found)))
        for group, found in groups.items()
    }
