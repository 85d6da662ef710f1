"""One typing error in each of many words, on arrays of characters.

A character is deleted, transposed with the next, inserted or substituted, with equal probability. New
characters are drawn from those that were counted, of the script and case of the character in that place, as
often as they occur: the language's own letters, without a table of languages.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from llmagentos.views._random import Ints, UInts, integers, mix

Characters = NDArray[np.int32]


@cache
def _letters() -> NDArray[np.bool_]:
    """Which code points are letters, bool (1,114,112,)."""
    return np.fromiter((chr(code).isalpha() for code in range(0x110000)), np.bool_, 0x110000)


def _group(char: str) -> tuple[str, str]:
    """Script (first word of the Unicode name) and general category, which tells case."""
    return unicodedata.name(char, "").partition(" ")[0], unicodedata.category(char)


class Misspeller:
    """Makes typing errors with the letters of some text.

    Args:
        text: words or texts, of which the letters are counted.
    """

    def __init__(self, text: Iterable[str]) -> None:
        counts = Counter(char for part in text for char in part if char.isalpha())
        chars = sorted(counts, key=lambda char: (_group(char), char))
        self._chars = np.array([ord(char) for char in chars], dtype=np.int32)
        ends = np.cumsum([counts[char] for char in chars], dtype=np.int64)
        self._ends = np.concatenate([np.zeros(1, dtype=np.int64), ends])
        sizes = [len(list(members)) for _, members in groupby(chars, key=_group)]
        group_ends = np.cumsum(sizes, dtype=np.int64)
        self._groups = {_group(chars[end - 1]): number for number, end in enumerate(group_ends.tolist())}
        self._group_starts = np.concatenate([np.zeros(1, dtype=np.int64), group_ends])
        self._order = np.argsort(self._chars, kind="stable")
        self._sorted = self._chars[self._order]
        self._group_of = np.repeat(np.arange(len(sizes)), sizes)

    def misspell(
        self, characters: Characters, lengths: Ints, random: UInts
    ) -> tuple[Characters, Ints, NDArray[np.bool_]]:
        """Make one error in each word.

        Args:
            characters: int32 (L,), the code points of K words one after another.
            lengths: int64 (K,), sums to L.
            random: uint64 (K,), chooses the error, the place and the character.

        Returns:
            The misspelt words in the same form, and bool (K,), which of them are any different: a word
            without letters, or of one letter that knows no other, stays.
        """
        starts = np.cumsum(lengths) - lengths
        letters = _letters()[characters]
        places = np.flatnonzero(letters)
        first = np.searchsorted(places, starts)
        num_letters = np.searchsorted(places, starts + lengths) - first
        inside = np.ones(characters.size, dtype=np.bool_)
        inside[(starts + lengths)[lengths > 0] - 1] = False  # the last character has no next
        following = np.append(characters[1:], 0)
        pairs = np.flatnonzero(letters & np.append(letters[1:], False) & inside & (characters != following))
        first_pair = np.searchsorted(pairs, starts)
        num_pairs = np.searchsorted(pairs, starts + lengths) - first_pair

        kind, which = (random & np.uint64(3)).astype(np.int64), mix(random)
        any_letter = num_letters > 0
        delete = np.flatnonzero((kind == 0) & (num_letters > 1))
        transpose = np.flatnonzero((kind == 1) & (num_pairs > 0))
        insert = np.flatnonzero((kind == 2) & any_letter)
        other = any_letter.copy()
        other[delete] = other[transpose] = other[insert] = False
        substitute = np.flatnonzero(other)

        def letter(words: Ints) -> Ints:
            chosen: Ints = places[first[words] + integers(which[words], num_letters[words])]
            return chosen

        left = pairs[first_pair[transpose] + integers(which[transpose], num_pairs[transpose])]
        gone, new = letter(delete), letter(substitute)
        # A new letter stands before one of the letters, or behind the last one.
        slot = integers(which[insert], num_letters[insert] + 1)
        behind = slot == num_letters[insert]
        added = places[first[insert] + slot - behind]
        copies = np.ones(characters.size, dtype=np.int64)
        copies[gone], copies[added] = 0, 2
        changed = characters.copy()
        changed[left], changed[left + 1] = characters[left + 1], characters[left]
        changed[new] = self._drawn(characters[new], mix(which[substitute]), differs=True)
        differs = any_letter.copy()
        differs[substitute] = changed[new] != characters[new]
        result = np.repeat(changed, copies)
        shift = np.cumsum(copies) - copies - np.arange(characters.size)
        result[added + shift[added] + behind] = self._drawn(
            characters[added], mix(which[insert]), differs=False
        )
        new_lengths = lengths.copy()
        new_lengths[delete] -= 1
        new_lengths[insert] += 1
        return result, new_lengths, differs

    def _drawn(self, characters: Characters, random: UInts, *, differs: bool) -> Characters:
        """For each character one of its script and case, another one where `differs` and there is any."""
        if not (characters.size and self._chars.size):
            return characters
        places = np.minimum(np.searchsorted(self._sorted, characters), self._sorted.size - 1)
        known = self._sorted[places] == characters
        groups = np.where(known, self._group_of[self._order[places]], -1)
        for unknown in np.unique(characters[~known]).tolist():
            groups[characters == unknown] = self._groups.get(_group(chr(unknown)), -1)
        result = characters.copy()
        some = np.flatnonzero(groups >= 0)
        starts, ends = self._group_starts[groups[some]], self._group_starts[groups[some] + 1]
        low, high = self._ends[starts], self._ends[ends]
        found = np.searchsorted(self._ends, low + integers(random[some], high - low), side="right") - 1
        if differs:
            same = self._chars[found] == characters[some]
            found = np.where(same, starts + (found + 1 - starts) % (ends - starts), found)
        result[some] = self._chars[found]
        return result
