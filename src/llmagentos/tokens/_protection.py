"""Which words no operation may delete, replace or misspell: numbers, addresses, code, negations, yours.

A view that turns "not found" into "found", or one version number into another, is not a view of
the same meaning. All is decided on the characters, so it does not matter how a tokenizer cuts them:
digits and Chinese negations by the character table, English negations by comparing all words of the
batch at once, and the rest by patterns that run only where their rarest character stands: over whole
texts they took 30 ms a million characters of technical English, a tenth of the tokenizer's time.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt32

from llmagentos.tokens._batch import ragged_index
from llmagentos.tokens._characters import CLASS, DIGIT, NEGATION, WORD, between_digits

# Addresses are ASCII: in Chinese and Japanese the sentence goes on behind one without a space. The
# look-behind keeps the search linear in a long run of letters.
_ADDRESS: Final = re.compile(
    r"(?:https?|ftp|file)://[!-~]+|\bwww\.[!-~]+|(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]+", re.ASCII
)
# Three back quotes begin code up to the next three. One or two begin code up to the next one or two, with no
# space inside at either end, as in reStructuredText (and then it may go over line ends), or with one at both,
# as in Markdown. LaTeX's ``quotes'' and accents (\`e) and most stray quotes make no code of what is between
# them: a quote behind a letter or a backslash opens none, one behind a bracket and before a word closes none.
# Every branch begins with the quote and looks back behind it, so that the search stops at quotes alone; all
# is possessive, so that it is linear.
_CODE: Final = re.compile(
    r"```(?<!````)(?!`).*?(?<!`)```(?!`)"
    r"|`(?<!``)`(?!`)(?:"
    r"(?=\S)(?:[^`\n]++|`(?<!``)(?!`)|\n(?![ \t\r]*\n))++(?<!\s)``(?!(?<=[(\[{]``)\S)"
    r"|(?= )(?:[^`\n]++|`(?<!``)(?!`))++(?<= )``"
    r")(?![`0-9A-Za-z_])"
    r"|`(?<![`\\0-9A-Za-z]`)(?!`)(?:"
    r"(?=\S)(?:[^`\n]++|\n(?![ \t\r]*\n))++(?<!\s)`(?!`|(?<=[(\[{]`)[0-9A-Za-z])"
    r"|(?= )[^`\n]++(?<= )`(?![`0-9A-Za-z_]))",
    re.DOTALL,
)
# Between digits: 3.14, 1,000, 12:30, 2026-11-25, 1/2, and Arabic's decimal and thousands separators.
_NUMBER_SIGNS: Final = ".,:/-\u066b\u066c"
_APOSTROPHES: Final = "'\u2019\u02bc"

NEGATIONS: Final = frozenset(
    (
        *("no", "not", "none", "never", "nor", "neither", "nothing", "nobody", "nowhere"),
        *("without", "cannot", "except", "unless", "hardly", "barely"),
    )
)
"""English words that turn a meaning round, of at most 7 letters (compared in lower case)."""

# A word of up to 7 ASCII letters is one 64-bit integer, so a whole batch of words is compared at once.
_NEGATION_KEYS: Final = np.sort(
    np.array([int.from_bytes(word.encode(), "little") for word in NEGATIONS], np.uint64)
)
_LONGEST: Final = max(map(len, NEGATIONS))
# Only words with the length and the first letter of a negation become integers: one in twenty.
_BY_LENGTH_AND_INITIAL: Final = np.zeros((_LONGEST + 1, 128), bool)
for _word in NEGATIONS:
    _BY_LENGTH_AND_INITIAL[len(_word), ord(_word[0])] = True
_LOWER: Final = np.uint32(0x20)

_Spans = Int64[np.ndarray, "K 2"]


def whole_spans(
    source: str,
    text_starts: Int64[np.ndarray, " N+1"],
    classes: UInt8[np.ndarray, " C"],
    protect: Sequence[str] = (),
) -> _Spans:
    """Addresses, code, and words and phrases of the user: they are protected, and no sentence ends inside.

    Args:
        source: N texts, a line end behind each.
        text_starts: int64 (N + 1,), first character of each.
        classes: uint8 (C,), the character table's entry for each character.
        protect: words and phrases of the user, see `TokensConfig.protect`.

    Returns:
        int64 (W, 2), first character and end of each.
    """
    found = (
        _addresses(source),
        _code(source, text_starts),
        _phrases(protect, source, text_starts, classes),
    )
    edges = chain.from_iterable(chain.from_iterable(found))
    return np.fromiter(edges, np.int64).reshape(-1, 2)


def within(spans: _Spans, number: int) -> Bool[np.ndarray, " C"]:
    """Which of `number` characters have another one of their span before them."""
    inside = np.zeros(number, bool)
    starts, ends = spans.T
    inside[ragged_index(starts + 1, ends - starts - 1)] = True
    return inside


def protected_characters(
    source: str,
    characters: UInt32[np.ndarray, " C"],
    classes: UInt8[np.ndarray, " C"],
    wholes: _Spans,
) -> Bool[np.ndarray, " C"]:
    """Mark the characters of all protected words.

    Args:
        source: texts, a line end behind each.
        characters: uint32 (C,), its code points.
        classes: uint8 (C,), the character table's entry for each.
        wholes: from `whole_spans`.

    Returns:
        bool (C,).
    """
    marked = (classes & (DIGIT | NEGATION)) > 0
    marked[between_digits(characters, classes, _NUMBER_SIGNS)] = True
    words = _words(classes)
    negations = _negations(characters, *words), _contracted_negations(source, characters, *words)
    starts, ends = np.concatenate([*negations, wholes]).T
    marked[ragged_index(starts, ends - starts)] = True
    return marked


def _words(classes: UInt8[np.ndarray, " C"]) -> tuple[Int64[np.ndarray, " W"], Int64[np.ndarray, " W"]]:
    """First character and end of every run of letters and digits of a script with spaces."""
    letters = np.concatenate([[False], classes & CLASS == WORD, [False]])
    edges = np.flatnonzero(letters[1:] != letters[:-1])
    return edges[::2], edges[1::2]


def _negations(
    characters: UInt32[np.ndarray, " C"], starts: Int64[np.ndarray, " W"], ends: Int64[np.ndarray, " W"]
) -> _Spans:
    """Which words are English negations."""
    short = ends - starts <= _LONGEST
    starts, ends = starts[short], ends[short]
    initials = np.minimum(characters[starts] | _LOWER, 127)
    candidates = _BY_LENGTH_AND_INITIAL[ends - starts, initials]
    starts, ends = starts[candidates], ends[candidates]
    keys = np.zeros(len(starts), np.uint64)
    for place in range(_LONGEST):
        inside = starts + place < ends
        letter = characters[np.where(inside, starts + place, starts)] | _LOWER
        # Letters that are not ASCII become 255, which is no letter of any negation.
        keys |= np.where(inside, np.minimum(letter, 255), 0).astype(np.uint64) << np.uint64(8 * place)
    found = _NEGATION_KEYS[np.searchsorted(_NEGATION_KEYS[:-1], keys)] == keys
    return np.stack([starts[found], ends[found]], axis=1)


def _contracted_negations(
    source: str,
    characters: UInt32[np.ndarray, " C"],
    starts: Int64[np.ndarray, " W"],
    ends: Int64[np.ndarray, " W"],
) -> _Spans:
    """Words such as don't and WON’T."""
    signs = _APOSTROPHES[:1] if source.isascii() else _APOSTROPHES
    at = np.sort(np.concatenate([np.flatnonzero(characters == ord(sign)) for sign in signs]))
    at = at[(at > 1) & (at < len(characters) - 1)]
    at = at[(characters[at - 1] | _LOWER == ord("n")) & (characters[at + 1] | _LOWER == ord("t"))]
    first = starts[np.searchsorted(starts, at - 1, side="right") - 1]
    found = (first < at - 1) & (ends[np.searchsorted(ends, at + 1, side="right")] == at + 2)
    spans: _Spans = np.stack([first, at + 2], axis=1)[found]
    return spans


def _addresses(source: str) -> Iterator[tuple[int, int]]:
    """Addresses of pages and of mail."""
    end = 0
    for at in sorted(chain.from_iterable(_places(source, sign) for sign in ("@", "://", "www."))):
        if at >= end:  # or what stands here has been looked at
            # No address goes over a space or a line end.
            start = source.rfind(" ", end, at) + 1 or end
            start = source.rfind("\n", start, at) + 1 or start
            line_end = source.find("\n", at)
            end = source.find(" ", at, line_end)
            end = line_end if end < 0 else end
            yield from (match.span() for match in _ADDRESS.finditer(source, start, end))


def _code(source: str, text_starts: Int64[np.ndarray, " N+1"]) -> Iterator[tuple[int, int]]:
    """Code between back quotes, never over the end of a text."""
    starts = text_starts.tolist()
    at = source.find("`")
    while at >= 0:
        end = starts[bisect_right(starts, at)] - 1  # of the text that the quote is in
        yield from (match.span() for match in _CODE.finditer(source, at, end))
        at = source.find("`", end)


def _phrases(
    protect: Sequence[str],
    source: str,
    text_starts: Int64[np.ndarray, " N+1"],
    classes: UInt8[np.ndarray, " C"],
) -> Iterator[tuple[int, int]]:
    """The user's words and phrases: 3 ms a million characters, and about 1 ms for each phrase.

    A letter at either end of a phrase must not stand beside a letter in the text, unless its script
    is written without spaces. Between the words of a phrase any white space may stand, also a line end.
    """
    if not protect:
        return
    text = _same_length_lower(source)
    starts = text_starts.tolist()
    for phrase in protect:
        words = _same_length_lower(phrase).split()
        pattern = re.compile(r"\s+".join(map(re.escape, words)))
        at = text.find(words[0])
        while at >= 0:
            match = pattern.match(text, at, starts[bisect_right(starts, at)])
            if match is not None and _stands_alone(*match.span(), classes):
                yield match.span()
            at = text.find(words[0], at + 1)


def _stands_alone(start: int, end: int, classes: UInt8[np.ndarray, " C"]) -> bool:
    """Whether no word goes on over either end of the span."""
    return not any(
        0 < place < len(classes) and classes[place - 1] & CLASS == WORD and classes[place] & CLASS == WORD
        for place in (start, end)
    )


def _same_length_lower(text: str) -> str:
    """Lower case, character by character; İ is the only one whose lower case has two."""
    return text.replace("İ", "i").lower()


def _places(source: str, sign: str) -> Iterator[int]:
    """Where a sign stands: at GB/s where there is none, which is ten times as fast as with arrays."""
    at = source.find(sign)
    while at >= 0:
        yield at
        at = source.find(sign, at + 1)
