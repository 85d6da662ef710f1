"""From the 64-bit names of words to their numbers or to other spellings, for thousands at once.

A hash table in two numpy arrays: a dictionary takes 0.1 us a word and the loop around it 1 us, which was
most of the time of character noise.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from llmagentos.tokens import ragged_index
from llmagentos.views._random import Ints, UInts

_SMALLEST = 1 << 10
# 72 bytes each where a spelling has three tokens: 19 MB. The long tail of a large corpus has no end.
_MOST_SPELLINGS = 1 << 18


class Names:
    """Numbers 0, 1, 2, ... for different names, in the order in which they were added.

    Example:
        >>> names = Names()
        >>> names.add(np.array([7, 1 << 40], dtype=np.uint64))
        >>> names.find(np.array([1 << 40, 5, 7], dtype=np.uint64)).tolist(), len(names)
        ([1, -1, 0], 2)
    """

    def __init__(self) -> None:
        self._size = 0
        self._keys: UInts = np.zeros(_SMALLEST, dtype=np.uint64)
        self._numbers: NDArray[np.int32] = np.full(_SMALLEST, -1, dtype=np.int32)

    def __len__(self) -> int:
        return self._size

    def find(self, names: UInts) -> Ints:
        """The number of each name, int64 (K,); -1 for one that was not added."""
        slots = self._slots(names)
        numbers = self._numbers.take(slots).astype(np.int64)
        astray = np.flatnonzero((numbers >= 0) & (self._keys.take(slots) != names))
        while astray.size:  # another name has the slot: the next one may have this
            slots[astray] = (slots[astray] + 1) & (self._keys.size - 1)
            numbers[astray] = self._numbers[slots[astray]]
            astray = astray[(numbers[astray] >= 0) & (self._keys[slots[astray]] != names[astray])]
        return numbers

    def add(self, names: UInts) -> None:
        """Give numbers to new names, all different."""
        if 2 * (self._size + names.size) > self._keys.size:
            known = self._keys[self._numbers >= 0][np.argsort(self._numbers[self._numbers >= 0])]
            size = _SMALLEST
            while size < 4 * (self._size + names.size):
                size *= 2
            self._keys = np.zeros(size, dtype=np.uint64)
            self._numbers = np.full(size, -1, dtype=np.int32)
            self._place(known, np.arange(known.size))
        self._place(names, np.arange(self._size, self._size + names.size))
        self._size += names.size

    def _place(self, names: UInts, numbers: Ints) -> None:
        slots = self._slots(names)
        left = np.arange(names.size)
        while left.size:
            free = left[self._numbers[slots[left]] < 0]
            # Of several names for one slot the last one written has it; the others see that they do not.
            self._numbers[slots[free]] = numbers[free]
            self._keys[slots[free]] = names[free]
            left = left[self._numbers[slots[left]] != numbers[left]]
            slots[left] = (slots[left] + 1) & (self._keys.size - 1)

    def _slots(self, names: UInts) -> Ints:
        return (names & np.uint64(self._keys.size - 1)).astype(np.int64)


class SpellingTable:
    """Remembers a spelling for each of many names, in arrays that grow and are emptied when they are full.

    Example:
        >>> table = SpellingTable()
        >>> names = np.array([8, 7, 7], dtype=np.uint64)
        >>> table.spellings(names, lambda missing: [[int(names[place])] * 2 for place in missing])
        (array([8, 8, 7, 7, 7, 7], dtype=int32), array([2, 2, 2]))
    """

    def __init__(self) -> None:
        self._empty()

    def _empty(self) -> None:
        self._names = Names()
        self._tokens: NDArray[np.int32] = np.empty(_SMALLEST, dtype=np.int32)
        self._ends: Ints = np.zeros(_SMALLEST, dtype=np.int64)

    def spellings(
        self, names: UInts, spell: Callable[[Ints], Sequence[Sequence[int]]]
    ) -> tuple[NDArray[np.int32], Ints]:
        """The spellings of names.

        Args:
            names: uint64 (K,).
            spell: called with places in `names`, int64 (M,), one for each name that is new; gives their M
                spellings, an empty one where there is none. It must depend on the name alone.

        Returns:
            Tokens one after another, int32 (L,), and the length of each spelling, int64 (K,).
        """
        numbers = self._names.find(names)
        missing = _first_of_each(names, np.flatnonzero(numbers < 0))
        if len(self._names) + missing.size > _MOST_SPELLINGS:
            self._empty()
            missing = _first_of_each(names, np.arange(names.size))
        if missing.size:
            self._add(names[missing], spell(missing))
            numbers = self._names.find(names)
        starts = np.where(numbers > 0, self._ends[numbers - 1], 0)
        lengths = self._ends[numbers] - starts
        return self._tokens.take(ragged_index(starts, lengths)), lengths

    def _add(self, names: UInts, spellings: Sequence[Sequence[int]]) -> None:
        before = len(self._names)
        self._names.add(names)
        last = int(self._ends[before - 1]) if before else 0
        lengths = np.fromiter(map(len, spellings), dtype=np.int64, count=len(spellings))
        tokens = np.fromiter(chain.from_iterable(spellings), dtype=np.int32, count=int(lengths.sum()))
        self._ends = _with_room(self._ends, len(self._names))
        self._ends[before : len(self._names)] = last + np.cumsum(lengths)
        self._tokens = _with_room(self._tokens, last + tokens.size)
        self._tokens[last : last + tokens.size] = tokens


def _first_of_each(names: UInts, places: Ints) -> Ints:
    """Of some places in `names` the first one of each different name."""
    _, first = np.unique(names[places], return_index=True)
    return places[first]


_Array = TypeVar("_Array", bound=np.ndarray)


def _with_room(array: _Array, size: int) -> _Array:
    """The same array, or a copy of at least twice its length where `size` does not fit."""
    if size <= array.size:
        return array
    grown = np.zeros(max(size, 2 * array.size), dtype=array.dtype)
    grown[: array.size] = array
    return cast(_Array, grown)
