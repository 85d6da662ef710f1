"""Which words no operation may delete, replace or misspell: numbers, addresses, code, negations.

A view that turns "not found" into "found", or one version number into another, is not a view of
the same meaning. All is decided on the characters, so it does not matter how a tokenizer cuts them:
digits and Chinese negations by the character table, English negations by comparing all words of the
batch at once, and the rest by patterns that run only over texts that can have them.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt32

from llmagentos.tokens._characters import CLASS, DIGIT, NEGATION, WORD

# Addresses are ASCII: in Chinese and Japanese the sentence goes on behind one without a space. The
# look-behind keeps the search linear in a long run of letters.
_ADDRESS: Final = re.compile(
    r"(?:https?|ftp|file)://[!-~]+|\bwww\.[!-~]+|(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]+", re.ASCII
)
_CODE: Final = re.compile(r"```.*?```|``[^`\n]+``|`[^`\n]+`", re.DOTALL)
_CONTRACTION: Final = re.compile(r"(?<![A-Za-z])[A-Za-z]+n['’]t(?![A-Za-z])", re.IGNORECASE)
_CONTRACTED: Final = ("n't", "n’t", "N'T", "N’T")

NEGATIONS: Final = frozenset(
    (
        *("no", "not", "none", "never", "nor", "neither", "nothing", "nobody", "nowhere"),
        *("without", "cannot", "except", "unless", "hardly", "barely"),
    )
)
"""English words that turn a meaning round, of at most 7 letters (compared in lower case)."""

# A word of up to 7 ASCII letters is one 64-bit integer, so a whole batch of words is compared at once.
_NEGATION_KEYS: Final = np.array([int.from_bytes(word.encode(), "little") for word in NEGATIONS], np.uint64)
_INITIALS: Final = np.array(sorted({ord(word[0]) for word in NEGATIONS}), np.uint32)
_LONGEST: Final = max(map(len, NEGATIONS))
_LOWER: Final = np.uint32(0x20)


def protected_characters(
    texts: Sequence[str],
    text_starts: Int64[np.ndarray, " N+1"],
    characters: UInt32[np.ndarray, " C"],
    classes: UInt8[np.ndarray, " C"],
) -> Bool[np.ndarray, " C"]:
    """Mark the characters of all protected words.

    Args:
        texts: N texts.
        text_starts: int64 (N + 1,), first character of each, with something that is no letter
            between texts.
        characters: uint32 (C,), code points of all texts.
        classes: uint8 (C,), the character table's entry for each.

    Returns:
        bool (C,).
    """
    marked = (classes & (DIGIT | NEGATION)) > 0
    for start, end in zip(*_negations(characters, classes), strict=True):
        marked[start:end] = True
    for text, base in zip(texts, text_starts.tolist(), strict=False):
        for start, end in protected_spans(text):
            marked[base + start : base + end] = True
    return marked


def _negations(
    characters: UInt32[np.ndarray, " C"], classes: UInt8[np.ndarray, " C"]
) -> tuple[Int64[np.ndarray, " K"], Int64[np.ndarray, " K"]]:
    """First character and end of every word that is an English negation."""
    letters = np.concatenate([[False], classes & CLASS == WORD, [False]])
    edges = np.flatnonzero(letters[1:] != letters[:-1])
    starts, ends = edges[::2], edges[1::2]
    candidates = (ends - starts <= _LONGEST) & np.isin(characters[starts] | _LOWER, _INITIALS)
    starts, ends = starts[candidates], ends[candidates]
    keys = np.zeros(len(starts), np.uint64)
    for place in range(_LONGEST):
        inside = starts + place < ends
        letter = characters[np.where(inside, starts + place, starts)] | _LOWER
        # Letters that are not ASCII become 255, which is no letter of any negation.
        keys |= np.where(inside, np.minimum(letter, 255), 0).astype(np.uint64) << np.uint64(8 * place)
    found = np.isin(keys, _NEGATION_KEYS)
    return starts[found], ends[found]


def protected_spans(text: str) -> Iterator[tuple[int, int]]:
    """Character spans (start, end) of addresses, code and contracted negations.

    Example:
        >>> list(protected_spans("see `ls -l` or mail a@b.org, don't wait"))
        [(20, 27), (4, 11), (29, 34)]
    """
    if "://" in text or "@" in text or "www." in text:
        yield from (match.span() for match in _ADDRESS.finditer(text))
    if "`" in text:
        yield from (match.span() for match in _CODE.finditer(text))
    if any(ending in text for ending in _CONTRACTED):
        yield from (match.span() for match in _CONTRACTION.finditer(text))
