"""The tables from names of words to numbers and spellings."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmagentos.views._names import Names, SpellingTable


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=60), max_size=5))
def test_names_are_a_dictionary(batches: list[list[int]]) -> None:
    names, reference = Names(), dict[int, int]()
    for batch in batches:
        array = np.array(batch, dtype=np.uint64)
        assert names.find(array).tolist() == [reference.get(name, -1) for name in batch]
        new = [name for name in dict.fromkeys(batch) if name not in reference]
        names.add(np.array(new, dtype=np.uint64))
        reference.update({name: len(reference) + k for k, name in enumerate(new)})
        assert names.find(array).tolist() == [reference[name] for name in batch]
    assert len(names) == len(reference)


def test_names_that_want_the_same_slot_are_told_apart() -> None:
    names = Names()
    same_slot = np.arange(1, 400, dtype=np.uint64) << np.uint64(32)
    names.add(same_slot)
    assert names.find(same_slot).tolist() == list(range(399))
    assert (names.find(same_slot + np.uint64(1 << 60)) == -1).all()


@pytest.mark.parametrize("most", [1 << 18, 500])
def test_a_table_grows_remembers_and_is_emptied(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmagentos.views._names._MOST_SPELLINGS", most)
    table, asked = SpellingTable(), Counter[int]()
    random = np.random.default_rng(0)
    for _ in range(30):
        names = random.integers(0, 5000, 300, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)

        def spelling(name: int) -> list[int]:
            return [name >> 40, name & 0xFF, 3, 4][: name % 5]

        def spell(places: np.ndarray, names: np.ndarray = names) -> list[list[int]]:
            asked.update(names[places].tolist())
            return [spelling(name) for name in names[places].tolist()]

        tokens, lengths = table.spellings(names, spell)
        assert lengths.tolist() == [len(spelling(name)) for name in names.tolist()]
        assert tokens.tolist() == [token for name in names.tolist() for token in spelling(name)]
    assert (max(asked.values()) == 1) == (most > 500)
