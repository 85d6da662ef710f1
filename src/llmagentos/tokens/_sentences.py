"""Sentence boundaries in any language, by ICU (Unicode Standard Annex 29), but for abbreviations."""

from itertools import chain

import numpy as np
from icu4py.breakers import SentenceBreaker
from jaxtyping import Int64, UInt32

from llmagentos.tokens._abbreviations import inside_sentences
from llmagentos.tokens._characters import code_points


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
        >>> sentence_starts("Ask Dr. J. R. Smith. He knows.")
        [0, 21]
    """
    starts: list[int] = sentence_boundaries(text, code_points(text)).tolist()
    return starts


def sentence_boundaries(text: str, characters: UInt32[np.ndarray, " C"]) -> Int64[np.ndarray, " B"]:
    """Where sentences begin in one text, or in many with a line end behind each.

    A line end ends a sentence and nothing behind it matters to what is before, so that many texts
    can go through ICU together: on texts of 300 characters that takes half the time.

    Args:
        text: C characters.
        characters: uint32 (C,), their code points.

    Returns:
        int64 (B,), increasing.
    """
    segments = chain.from_iterable(SentenceBreaker(text, "en").segments())
    units = np.fromiter(segments, np.int64)[::2]  # start, end, start, end, ...
    # ICU counts UTF-16 code units; characters above the basic plane take two of them.
    wide = np.flatnonzero(characters > 0xFFFF)
    starts: Int64[np.ndarray, " S"] = units - np.searchsorted(wide + np.arange(len(wide)), units)
    boundaries: Int64[np.ndarray, " B"] = starts[~inside_sentences(text, characters, starts)]
    return boundaries
