"""Makes text uniform without changing what it says, and cuts long texts into passages.

NFC and not NFKC: NFKC turns "x²" into "x2" and full-width Chinese punctuation into
ASCII, which changes the text for good; a tokenizer may still fold these, reversibly for the user,
because the corpus keeps the original.
"""

import re
import unicodedata
from functools import cache

__all__ = ["clean_text", "clean_title", "has_at_least", "passages", "replace_surrogates"]

_LINE_ENDS = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
# Control characters other than newline and tab, byte order marks inside text, soft hyphens (invisible
# hyphenation points: "exam\xadple" is the word "example") and the code points that are never characters.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\ufeff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"[^\S\n]{2,}|[^\S\n ]")
_SPACES_AT_LINE_END = re.compile(r" ?\n ?")
_EMPTY_LINES = re.compile(r"\n{3,}")
_CLEAN_ASCII = re.compile(r"[ -~]*")
# Characters of scripts in which one character is about a syllable or a word: kana, Han, Hangul.
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_WIDE_WEIGHT = 3
# No script writes more marks on one letter (Unicode Standard Annex 15, Stream-Safe Text Format).
_MOST_MARKS = 30
_AFTER_MARKS = 0x20000  # All combining marks are in the first two planes.

_PARAGRAPH_END = re.compile(r"\n\n")
_LINE_END = re.compile(r"\n")
# Latin sentence ends need a space after them; Chinese ones do not: \u3002 full stop, \uff01 exclamation,
# \uff1f question, \u2026 ellipsis, \uff1b semicolon, each with the closing quotes and bracket.
_SENTENCE_END = re.compile(
    "[.!?]['\")\\]]*\\s+|[\u3002\uff01\uff1f\u2026\uff1b][\u201d\u2019\u300d\u300f\uff09]*\\s*"
)
_WORD_END = re.compile(r"\s+")
_BOUNDARIES = (_PARAGRAPH_END, _LINE_END, _SENTENCE_END, _WORD_END)


def clean_text(text: str) -> tuple[str, bool]:
    r"""A text in NFC with no invisible characters and single white space; lines and paragraphs stay.

    Args:
        text: any string, also one with lone surrogates (broken escapes in JSON).

    Returns:
        The clean text, and whether lone surrogates were replaced by U+FFFD. Cleaning a clean text
        changes nothing.

    Examples:
        >>> clean_text("  Caf\u0065\u0301 \t au\xa0lait\x00 \r\n\n\n\n Second  paragraph ")
        ('Café au lait\n\nSecond paragraph', False)
    """
    if text.isascii() and "  " not in text and _CLEAN_ASCII.fullmatch(text):
        return text.strip(" "), False
    text, repaired = replace_surrogates(text)
    # A mark after a removed character joins the letter before it, so NFC comes after the removal.
    text = _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text))
    if not text.isascii():
        # Before, because NFC sorts marks in quadratic time; after, because it takes some marks apart.
        text = _cut_marks(unicodedata.normalize("NFC", _cut_marks(text)))
    text = _SPACES_AT_LINE_END.sub("\n", _SPACES.sub(" ", text))
    return _EMPTY_LINES.sub("\n\n", text).strip(), repaired


def _cut_marks(text: str) -> str:
    """The text with at most 30 combining marks in a row."""
    mark, long_run = _mark_patterns()
    # A longer run has a mark at one of these places; looking there only is 30 times as fast.
    if not mark.search(text[:: _MOST_MARKS + 1]):
        return text
    return long_run.sub(r"\1", text)


@cache
def _mark_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """One combining mark; and more than 30 of them, of which the first 30 are a group."""
    marks = "".join(filter(unicodedata.combining, map(chr, range(0x300, _AFTER_MARKS))))
    return re.compile(f"[{marks}]"), re.compile(f"([{marks}]{{{_MOST_MARKS}}})[{marks}]+")


def replace_surrogates(text: str) -> tuple[str, bool]:
    r"""A string that can be written as UTF-8, and whether it had lone surrogates.

    Examples:
        >>> replace_surrogates("broken \ud800 escape")
        ('broken \ufffd escape', True)
    """
    if text.isascii():
        return text, False
    text, replaced = _SURROGATE.subn("\ufffd", text)
    return text, replaced > 0


def clean_title(title: str) -> tuple[str, bool]:
    r"""A clean text on one line.

    Examples:
        >>> clean_title("A title\n in two lines")
        ('A title in two lines', False)
    """
    text, repaired = clean_text(title)
    return " ".join(text.split()), repaired


def has_at_least(text: str, minimum: int) -> bool:
    """Whether a text has `minimum` characters, where a Han, kana or Hangul character counts as 3.

    Examples:
        >>> has_at_least("short", 20), has_at_least("机器学习是人工智能", 20)
        (False, True)
    """
    length = len(text)
    if length >= minimum or length * _WIDE_WEIGHT < minimum:
        return length >= minimum
    return length + (_WIDE_WEIGHT - 1) * len(_WIDE.findall(text)) >= minimum


def passages(text: str, maximum: int) -> list[str]:
    """The text cut into nearly equal passages of at most `maximum` characters.

    A cut is made at the paragraph end nearest to the aim, else at a line end, a sentence end, white
    space, and only then inside a word. Nothing but white space at the cuts is lost, and no passage is
    a tiny rest.

    Args:
        text: clean text.
        maximum: characters, at least 2.

    Examples:
        >>> passages("One sentence. Another one. A third.", 20)
        ['One sentence.', 'Another one.', 'A third.']
    """
    parts = []
    start = 0
    while (rest := len(text) - start) > maximum:
        # Equal shares, so that the last passage is as long as the others.
        aim = -(-rest // -(-rest // maximum))
        cut = _cut(text, start, aim, min(maximum, rest - aim // 2))
        parts.append(text[start:cut].strip())
        start = cut
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def _cut(text: str, start: int, aim: int, maximum: int) -> int:
    low, high = start + max(1, aim // 2), start + maximum
    for boundary in _BOUNDARIES:
        # White space after the end of a sentence may lie outside the window: it belongs to no passage.
        ends = [
            match.end()
            for match in boundary.finditer(text, low, min(high + 2, len(text)))
            if match.start() + len(match.group().rstrip()) <= high
        ]
        if ends:
            return min(ends, key=lambda end: abs(end - start - aim))
    return start + aim
