"""Traditional Chinese characters are read as simplified ones: a step of the tokenizer's normaliser.

Every character becomes one character, whatever stands around it but in four words, so offsets stay what they
are. This is one spelling for all text, in training and afterwards, and no translation: it does no harm
that 干 stands for 乾, 幹 and itself. The characters are OpenCC's. What is made of them is SentencePiece's
table of characters, because stock tokenizers read that from tokenizer.json and look every character up in it
once: the tokenizer takes a tenth longer. With one `Replace` for each character it takes 32 times as long for
Chinese, and a `Replace` with a pattern has one replacement for all that it finds. (A mark such as U+0301
on a traditional character is lost: the library looks up a letter with its marks as one.)
"""

import struct
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from tokenizers import Regex, normalizers

from llmagentos.tokens._characters import code_points

# The rare characters beyond the Basic Multilingual Plane stay: 900 of OpenCC's 4,700.
_HAN: Final = range(0x3400, 0xA000)
_KANA: Final = range(0x3041, 0x3100)
_WIDTHS: Final = range(0xFF00, 0xFFF0)
_WIDE_SPACE: Final = 0x3000
_CHINESE: Final = 0.01

# What OpenCC keeps where it stands alone and changes in words, such as 瞭解, 答覆 and 藉口; and in the last
# line what is simplified, in old names, and comes back as another character (谘议 by 諮議 as 咨议). Of a
# million characters that OpenCC made traditional, of a quarter of four Chinese corpora, 13 do not come back;
# without this 194.
_IN_WORDS: Final = {
    "瞭": "了", "覆": "复", "藉": "借", "彷": "仿", "祇": "只", "揹": "背", "伕": "夫", "甦": "苏",
    "暱": "昵",
    "谘": "咨", "馀": "余", "钜": "巨", "濬": "浚",
}  # fmt: skip
# Words of today (傢俱, 項鍊, 座標, 想像) of which one character is in other words of simplified text, so that
# it cannot be read alone. With them 5 do not come back, most in old names (甯戚, 钟繇). Three are seen by a
# character that only traditional text has, so simplified text stays (企业家俱乐部); 想像 is in either, and is
# read as 想象 where it does not say that thought is like something (思想像大海). Behind a number 座 counts
# what begins with 標 (一座標誌性建築). OpenCC itself writes 企業傢俱樂部, a club of entrepreneurs.
_COUNTS: Final = "[一二兩三四五六七八九十百千幾數這那每整]"
_IN_FOUR_WORDS: Final = {
    "(?<=傢)俱(?!樂)": "具", "(?<=項)鍊": "链", "(?<!思想)(?<=想)像": "象",
    f"(?<![插講底星客寶])(?:(?<!{_COUNTS})座(?=標)|(?<={_COUNTS})座(?=標(?![誌志準桿杆竿語本籤榜])))": "坐",
}  # fmt: skip

# A byte of UTF-8 that goes on with a character is one of 64.
_FIRST_CONTINUATION: Final = 0x80
_BLOCK: Final = 64
_BYTES: Final = 256


def is_chinese(texts: Sequence[str]) -> bool:
    """Whether one of a hundred characters is Chinese, and they are more than twice as many as Kana.

    Japanese has Chinese characters as well, 機 for a machine and 机 for a desk, with more Kana than those.

    Example:
        >>> is_chinese(["对比学习", "contrastive learning"]), is_chinese(["日本語のテキストです"])
        (True, False)
    """
    total = han = kana = 0
    for text in texts:
        total += len(text)
        if not text.isascii():
            codes = code_points(text)
            han += int(np.count_nonzero((codes >= _HAN.start) & (codes < _HAN.stop)))
            kana += int(np.count_nonzero((codes >= _KANA.start) & (codes < _KANA.stop)))
    return han > 2 * kana and han >= _CHINESE * total


def simplifying() -> normalizers.Sequence:
    """The step of a normaliser that writes traditional characters as simplified ones.

    Example:
        >>> simplifying().normalize_str("繁體中文與簡體中文的座標, Latin")
        '繁体中文与简体中文的坐标, Latin'
    """
    return _reading(simplified_characters())


def in_one_spelling() -> normalizers.Sequence:
    """The same step, which also writes full-width and half-width forms in the usual width: for a tokenizer
    that has a normaliser of its own, whose other text has to stay as it was.

    Example:
        >>> in_one_spelling().normalize_str("體驗，學習｡ ½")
        '体验,学习。 ½'
    """
    return _reading(simplified_characters() | _usual_widths())


def _reading(pairs: Mapping[str, str]) -> normalizers.Sequence:
    words = [normalizers.Replace(Regex(one), other) for one, other in _IN_FOUR_WORDS.items()]
    return normalizers.Sequence([*words, normalizers.Precompiled(_character_map(pairs))])


def simplified_characters() -> dict[str, str]:
    """The simplified character of each traditional one, those of Taiwan and Hong Kong included.

    Of several it is OpenCC's first. No character is on both sides, so that text which was read once does
    not change again.

    Example:
        >>> pairs = simplified_characters()
        >>> [pairs[character] for character in "體著衞裏裡"], "体" in pairs
        (['体', '着', '卫', '里', '里'], False)
    """
    from opencc import OpenCC  # only where there is Chinese text

    characters = [chr(code) for code in _HAN]
    pairs: dict[str, str] = {}
    for standard in ("tw2s", "hk2s", "t2s"):  # the last one decides
        converted = OpenCC(standard).convert("\n".join(characters)).split("\n")
        pairs |= {a: b for a, b in zip(characters, converted, strict=True) if a != b}
    pairs |= _IN_WORDS
    simplified = set(pairs.values())
    return {a: b for a, b in pairs.items() if a not in simplified}


def _usual_widths() -> dict[str, str]:
    """The character in the usual width of each full-width and half-width one."""
    widths = {chr(code): unicodedata.normalize("NFKC", chr(code)) for code in (_WIDE_SPACE, *_WIDTHS)}
    return {one: usual for one, usual in widths.items() if one != usual}


def _character_map(pairs: Mapping[str, str]) -> bytes:
    """A map of characters in the form of SentencePiece.

    It is the size in bytes of a double array, the array, and the replacements, each with a zero behind
    it. The array (of uint32) is a trie over the bytes of UTF-8: the child by byte c of the node at place p
    is at p ^ offset(p) ^ c, and its lowest 8 bits are c. Bit 8 says that a key ends here: its value, with
    bit 31 set, is at p ^ offset(p). The offset is in bits 10 and up. Here the nodes of the last byte come
    in blocks of 64, since UTF-8 goes on with one of 64 bytes, and all keys with the same replacement share
    its value.

    Args:
        pairs: one character of two or more bytes each, to its replacement.

    Source:
        Yata, Darts-clone: A clone of Darts (Double-ARray Trie System).
    """
    replacements = list(dict.fromkeys(pairs.values()))
    keys = {key.encode(): replacements.index(value) for key, value in pairs.items()}
    prefixes = sorted({key[:length] for key in keys for length in range(1, len(key))})
    base = {b"": 0}  # p ^ offset(p) of every inner node
    for number, prefix in enumerate(prefixes):
        base[prefix] = (_BYTES + number * _BLOCK) ^ _FIRST_CONTINUATION
    # Values begin at a multiple of 256, and the array ends at one: no byte of any text leads elsewhere.
    first = -(-(_BYTES + len(prefixes) * _BLOCK) // _BYTES) * _BYTES
    units = [0] * (-(-(first + len(replacements)) // _BYTES) * _BYTES)
    for prefix in prefixes:
        place = base[prefix[:-1]] ^ prefix[-1]
        units[place] = (place ^ base[prefix]) << 10 | prefix[-1]
    for key, number in keys.items():
        place = base[key[:-1]] ^ key[-1]
        units[place] = (place ^ (first + number)) << 10 | 1 << 8 | key[-1]
    texts = b""
    for number, replacement in enumerate(replacements):
        units[first + number] = 1 << 31 | len(texts)
        texts += replacement.encode() + b"\0"
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + texts
