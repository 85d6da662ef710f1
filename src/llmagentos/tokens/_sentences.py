"""Sentence boundaries in any language, by ICU (Unicode Standard Annex 29)."""

from icu4py.breakers import SentenceBreaker


def sentence_starts(text: str) -> list[int]:
    """Character positions at which the sentences of a text begin.

    Args:
        text: any text.

    Returns:
        Increasing positions, the first 0; empty for an empty text.

    Source: Unicode Standard Annex 29, section 5. ICU scored F1 92.8 on mixed text where blingfire
    scored 47.9 (design section 5).

    Example:
        >>> sentence_starts("It rains. 他说你好。再见！")
        [0, 10, 15]
    """
    starts = [start for start, _ in SentenceBreaker(text, "en").segments()]
    if text.isascii() or max(text) <= "\uffff":
        return starts
    # ICU counts UTF-16 code units; characters above the basic plane take two of them.
    positions, unit = {}, 0
    for index, character in enumerate(text):
        positions[unit] = index
        unit += 2 if character > "\uffff" else 1
    return [positions[start] for start in starts if start in positions]
