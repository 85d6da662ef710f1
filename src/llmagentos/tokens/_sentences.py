"""Sentence boundaries in any language, by ICU (Unicode Standard Annex 29)."""

import numpy as np
from icu4py.breakers import SentenceBreaker

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
    """
    starts = [start for start, _ in SentenceBreaker(text, "en").segments()]
    if text.isascii() or len(text.encode("utf-16-le")) == 2 * len(text):
        return starts
    # ICU counts UTF-16 code units; characters above the basic plane take two of them.
    ends = np.cumsum(1 + (code_points(text) > 0xFFFF))
    return [int(start) for start in np.searchsorted(ends, starts, side="right")]
