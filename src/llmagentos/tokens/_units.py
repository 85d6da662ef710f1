"""The unit rule: which tokens together are one word, from the tokenizer's own offsets.

Tokens whose character spans overlap form one unit; in scripts written with spaces, tokens up to
the next white space or punctuation form one; in scripts without spaces each remaining token is
one; a lone space token belongs to the following unit (design 2.1). `word_ids()` is never asked:
with SentencePiece it makes a whole Chinese sentence one word.
"""

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from llmagentos.tokens._characters import CLASS, SPACE, WORD, running_count


def mark_units(
    classes: UInt8[np.ndarray, " C"],
    starts: Int64[np.ndarray, " T"],
    ends: Int64[np.ndarray, " T"],
    first: Bool[np.ndarray, " T"],
) -> Bool[np.ndarray, " T"]:
    """Mark the tokens that begin a unit.

    Args:
        classes: uint8 (C,), the character table's entry for each character of all texts.
        starts: int64 (T,), first character of each token, counted over all texts.
        ends: int64 (T,), one past the last character of each token.
        first: bool (T,), the first token of each text.

    Returns:
        bool (T,), true where a unit begins.

    Example:
        >>> from llmagentos.tokens._characters import character_table, code_points
        >>> text = "unit tests, 中文"  # tokens: unit | test | s | , | 中 | 文
        >>> spans = np.array([(0, 4), (5, 9), (9, 10), (10, 11), (12, 13), (13, 14)])
        >>> first = np.array([True] + [False] * 5)
        >>> mark_units(character_table()[code_points(text)], spans[:, 0], spans[:, 1], first).tolist()
        [True, True, False, True, True, True]
    """
    if len(starts) == 0:
        return np.zeros(0, bool)
    kinds = classes & CLASS
    # A token may carry the space before its word (byte-level BPE, SentencePiece): it is a lone
    # space only if it has no other character. A token of no character at all is one where it begins
    # a text (a mark that the normaliser put in) or stands behind a space (byte-level BPE with
    # `trim_offsets` takes the space out of the span), and elsewhere part of what is before it.
    empty = ends <= starts
    lone_space = empty & (first | (kinds.take(starts - 1, mode="wrap") == SPACE))
    blank_end = np.flatnonzero(~empty & (kinds.take(ends - 1, mode="wrap") == SPACE))
    if len(blank_end):
        spaces = running_count(kinds == SPACE)
        from_, to = starts[blank_end], ends[blank_end]
        lone_space[blank_end] = spaces[to] - spaces[from_] == to - from_

    # Offsets may go back: a character that became several tokens gives its span to each.
    previous_end = np.zeros_like(ends)
    np.maximum.accumulate(ends[:-1], out=previous_end[1:])
    # A word goes on where nothing but letters stands from the last one before to the first one
    # here, also where the tokenizer took a letter out in between (accents, soft hyphens).
    breaks = running_count(kinds != WORD)
    from_letter = np.maximum(previous_end - 1, 0)
    to_letter = np.minimum(starts + 1, len(classes))
    continues = (previous_end > 0) & (breaks[to_letter] == breaks[from_letter])
    joined = (starts < previous_end) | (empty & ~lone_space) | continues
    joined[1:] |= lone_space[:-1]
    units: Bool[np.ndarray, " T"] = first | ~joined
    return units
