"""Near-duplicates: exactly those that comparing every text with every other finds."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.learning._near import near_duplicates, word_pairs

TEXTS = st.lists(st.lists(st.sampled_from("abcd"), max_size=6).map(" ".join), max_size=8)


@given(TEXTS, TEXTS, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_as_by_comparing_all(texts: list[str], others: list[str], threshold: float) -> None:
    near = {
        place
        for place, text in enumerate(texts)
        for other in others
        if (shared := len(word_pairs(text) & word_pairs(other)))
        and shared / len(word_pairs(text) | word_pairs(other)) >= threshold
    }
    assert near_duplicates(texts, others, threshold=threshold) == near


def test_case_and_punctuation_do_not_matter() -> None:
    assert near_duplicates(["Thanks!", "no words: ..."], ["thanks", "..."]) == {0}
