"""The rules of design 2.1 in plain Python, one text at a time, without any table or array."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from icu4py.breakers import SentenceBreaker

from llmagentos.tokens import _characters as characters
from llmagentos.tokens._abbreviations import BEFORE_NUMBERS, BEGIN_SENTENCES, GOES_ON, MAY_END
from llmagentos.tokens._protection import NEGATIONS

# Beginnings of the Unicode names of letters in scripts that are written without spaces.
UNSPACED = (
    *(
        "CJK ",
        "HIRAGANA ",
        "KATAKANA",
        "HALFWIDTH KATAKANA",
        "BOPOMOFO ",
        "YI SYLLABLE",
        "HANGZHOU ",
        "KANGXI ",
    ),
    *("IDEOGRAPHIC ITERATION", "IDEOGRAPHIC CLOSING", "IDEOGRAPHIC NUMBER", "VERTICAL IDEOGRAPHIC"),
    *("VERTICAL KANA", "MASU ", "COMBINING KATAKANA"),
    *(
        "THAI ",
        "LAO ",
        "MYANMAR ",
        "KHMER ",
        "TAI LE ",
        "TAI THAM ",
        "TAI VIET ",
        "NEW TAI LUE ",
        "MODIFIER LETTER KHITAN",
    ),
)

Span = tuple[int, int]


def kind(character: str) -> str:
    """word, space, punctuation or unspaced."""
    category = unicodedata.category(character)
    if category[0] in "PS":
        return "punctuation"
    if category[0] == "Z" or category == "Cc" or character == "\u200b":
        return "space"
    return "unspaced" if unicodedata.name(character, "").startswith(UNSPACED) else "word"


def units(text: str, spans: Sequence[Span]) -> list[list[int]]:
    """The tokens of each unit."""
    found: list[list[int]] = []
    reach = 0  # end of the characters that tokens have covered so far
    after_space = False
    for number, (start, end) in enumerate(spans):
        empty = end <= start
        blank = all(kind(character) == "space" for character in text[start:end])
        lone_space = blank and (not empty or number == 0 or start == 0 or kind(text[start - 1]) == "space")
        between = text[max(reach - 1, 0) : start + 1]
        word_goes_on = reach > 0 and all(kind(character) == "word" for character in between)
        part = empty and not lone_space
        if number > 0 and (start < reach or part or after_space or word_goes_on):
            found[-1].append(number)
        else:
            found.append([number])
        after_space = lone_space
        reach = max(reach, end)
    return found


def sentence_starts(text: str) -> list[int]:
    """ICU's boundaries but those behind abbreviations, by decoding what stands before each."""
    encoded = text.encode("utf-16-le")
    starts = [
        len(encoded[: 2 * unit].decode("utf-16-le")) for unit, _ in SentenceBreaker(text, "en").segments()
    ]
    return [start for start in starts if not (inside_sentence(text, start) or wrapped(text, start))]


def wrapped(text: str, start: int) -> bool:
    """Whether the sentence goes on at `start`, which is behind a line end."""
    before = re.search(r"([^\n])\r?\n\Z", text[:start])
    behind = re.match(r"[ \t]{0,16}(\S)", text[start:])
    if before is None or behind is None:
        return False
    kind = characters.character_table()[ord(before[1])] & characters.CLASS
    return behind[1].islower() and (before[1] == "," or kind in (characters.WORD, characters.UNSPACED))


def inside_sentence(text: str, start: int) -> bool:
    """Whether the sentence goes on at `start`, which is behind an abbreviation."""
    before = re.search(
        r"(?<![\w.])([^\W\d_]+(?:\.[^\W\d_]+)*)\.(?:[ \xa0]{0,2}\r?\n|[ \xa0]{1,2})\Z", text[:start]
    )
    behind = re.match(r"[ \t]*[^\w\s]*(\w+)", text[start:])
    if before is None or behind is None:
        return False
    word, following = before[1], behind[1]
    initials = re.fullmatch(r"([A-Z]\.)*[A-Z]", word) is not None and not word.endswith("I")
    if word in GOES_ON or (word in BEFORE_NUMBERS and following[0].isdigit()):
        return True
    return (initials or word in MAY_END) and following[0].isupper() and following not in BEGIN_SENTENCES


ADDRESS = r"(?a:(?:https?|ftp|file)://[!-~]+|\bwww\.[!-~]+|(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]+)"


def code_spans(text: str) -> Iterator[tuple[int, int]]:
    """Code between back quotes, found character by character."""
    place = 0
    while place < len(text):
        end = -1
        if text[place] == "`" and not text[:place].endswith("`"):
            runs = [match.span() for match in re.finditer("`+", text) if match.start() >= place]
            three = [end for start, end in runs if end - start == 3]
            if runs[0][1] - place == 3:
                end = three[1] if len(three) > 1 else -1
            else:
                end = inline_code_end(text, runs)
        if end >= 0:
            yield place, end
        place = max(place + 1, end)


def inline_code_end(text: str, runs: Sequence[Span]) -> int:
    """Where code ends that the first run, of one or two back quotes, begins; -1 where it begins none."""
    start, begin = runs[0]
    width = begin - start
    if width == 1 and re.search(r"[\\0-9A-Za-z]\Z", text[:start]):
        return -1
    for end, behind in runs[1:]:
        if width == 2 and behind - end == 1:
            continue
        content = text[begin:end]
        padded = content[0] == content[-1] == " " and "\n" not in content
        tight = not (content[0].isspace() or content[-1].isspace())
        broken = re.search(r"\n[ \t\r]*\n", content)
        followed = (width == 2 or padded) and re.match("[0-9A-Za-z_]", text[behind : behind + 1])
        opens = re.match(r"\S" if width == 2 else "[0-9A-Za-z]", text[behind : behind + 1])
        followed = followed or (content[-1] in "([{" and opens)
        fits = behind - end == width <= 2 and (padded or tight) and not broken and not followed
        return behind if fits else -1
    return -1


def matches(patterns: Sequence[str], text: str) -> Iterator[tuple[int, int]]:
    """Where any of the patterns stands, each by one search over the whole text."""
    for pattern in patterns:
        yield from (match.span() for match in re.finditer(pattern, text))


def contracted(text: str) -> Iterator[tuple[int, int]]:
    """Where words end in n't."""
    for match in re.finditer("[nN]['’ʼ][tT]", text):
        start, end = match.span()
        while start and kind(text[start - 1]) == "word":
            start -= 1
        if start < match.start() and (end == len(text) or kind(text[end]) != "word"):
            yield start, end


def phrase_spans(text: str, phrase: str) -> Iterator[tuple[int, int]]:
    """Where a phrase stands as whole words, whatever the case, at every place."""
    words = [[character.lower()[0] for character in word] for word in phrase.split()]
    lower = [character.lower()[0] for character in text]
    for start in range(len(text)):
        end = start
        for number, word in enumerate(words):
            gap = end
            while number and end < len(text) and text[end].isspace():
                end += 1
            if lower[end : end + len(word)] != word or (number and end == gap):
                break
            end += len(word)
        else:
            kinds = ["space", *map(kind, text), "space"]
            if not any(kinds[edge] == kinds[edge + 1] == "word" for edge in (start, end)):
                yield start, end


def protected(text: str, phrases: Sequence[str] = ()) -> list[bool]:
    """Which characters are protected."""
    digit = [unicodedata.category(c)[0] == "N" for c in text]
    marked = [digit[place] or c in "不没沒无無非未别別莫勿毋否" for place, c in enumerate(text)]
    for place in range(1, len(text) - 1):
        marked[place] |= text[place] in ".,:/-٫٬" and digit[place - 1] and digit[place + 1]
    start = 0
    for end in range(len(text) + 1):
        if end == len(text) or kind(text[end]) != "word":
            word = text[start:end]
            if word.isascii() and word.lower() in NEGATIONS:
                marked[start:end] = [True] * (end - start)
            start = end + 1
    spans = [*matches([ADDRESS], text), *code_spans(text), *contracted(text)]
    for phrase in phrases:
        spans += phrase_spans(text, phrase)
    for start, end in spans:
        marked[start:end] = [True] * (end - start)
    return marked


def flags(text: str, spans: Sequence[Span], phrases: Sequence[str] = ()) -> list[int]:
    """UNIT_START = 1, SENTENCE_START = 2 and PROTECTED = 4 of each token."""
    result = [0] * len(spans)
    marked, starts = protected(text, phrases), sentence_starts(text)
    wholes = [*matches([ADDRESS], text), *code_spans(text)]
    wholes += [span for phrase in phrases for span in phrase_spans(text, phrase)]
    starts = [start for start in starts if not any(first < start < end for first, end in wholes)]
    before = None
    for unit in units(text, spans):
        result[unit[0]] |= 1
        last = max(spans[number][1] for number in unit) - 1
        sentence = sum(start <= last for start in starts)
        if sentence != before:
            result[unit[0]] |= 2
        before = sentence
        if any(any(marked[start:end]) for start, end in (spans[number] for number in unit)):
            for number in unit:
                result[number] |= 4
    return result
