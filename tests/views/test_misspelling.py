"""One typing error a word, of four kinds, with letters that the text has."""

from collections import Counter

import numpy as np
from scipy.stats import chisquare

from llmagentos.views._misspelling import Misspeller

from .test_noise import edit_of


def misspelt(misspeller: Misspeller, words: list[str], seed: int = 0) -> list[str]:
    characters = np.array([ord(char) for word in words for char in word], dtype=np.int32)
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    random = np.random.default_rng(seed).integers(0, 2**64, len(words), dtype=np.uint64)
    result, lengths, _ = misspeller.misspell(characters, lengths, random)
    ends = np.cumsum(lengths)
    text = "".join(map(chr, result))
    return [text[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def test_the_four_errors_are_equally_likely_and_fall_on_every_place() -> None:
    found = misspelt(Misspeller(["abcdefgh"]), ["hedgfa"] * 8000)
    kinds = Counter(edit_of("hedgfa", word) for word in found)
    assert set(kinds) == {"insert", "delete", "substitute", "transpose"}
    assert chisquare(list(kinds.values())).pvalue > 0.001
    gone = [word for word in found if len(word) == 5]
    places = Counter(next(k for k in range(6) if "hedgfa"[:k] + "hedgfa"[k + 1 :] == word) for word in gone)
    assert len(places) == 6 and chisquare(list(places.values())).pvalue > 0.001


def test_letters_are_drawn_as_often_as_they_occur() -> None:
    misspeller = Misspeller(["aaab", "XYZ", "中"])
    inserted = Counter(
        "".join(w for w in misspelt(misspeller, ["cc"] * 8000) if len(w) == 3).replace("c", "")
    )
    assert set(inserted) == {"a", "b"}
    assert (
        chisquare([inserted["a"], inserted["b"]], [0.75 * inserted.total(), 0.25 * inserted.total()]).pvalue
        > 0.001
    )


def test_script_and_case_stay() -> None:
    words = misspelt(Misspeller(["abc XYZ 中文字 где"]), ["Word", "中国", "ГОД", "год"] * 500)
    for given, word in zip(["Word", "中国", "ГОД", "год"] * 500, words, strict=True):
        new = Counter(word) - Counter(given)
        expected = {"Word": "abcXYZ", "中国": "中文字", "ГОД": "", "год": "где"}[given]
        assert set(new) <= set(expected) | set(given), (given, word)


def test_what_has_no_letters_stays_and_so_do_all_without_an_alphabet() -> None:
    words = ["123", "", "!?", "1a"]
    found = misspelt(Misspeller(["xyz"]), words * 50)
    assert {word for word, given in zip(found, words * 50, strict=True) if given != "1a"} == {"123", "", "!?"}
    assert all(set(word) <= set("abAB") for word in misspelt(Misspeller([]), ["abAB"] * 50))


def test_a_letter_is_inserted_at_every_place_also_behind_the_last() -> None:
    found = misspelt(Misspeller(["x"]), ["abcd"] * 8000)
    places = Counter(word.index("x") for word in found if len(word) == 5)
    assert set(places) == set(range(5)) and chisquare(list(places.values())).pvalue > 0.001
