"""The text of a unit and the tokens of a word, exactly as one tokenizer writes them.

`tokenizer.decode` and `tokenizer.encode` work on sentences: they strip and add spaces, so a word put
into the middle of a text comes out wrong. Here a word goes through the tokenizer's own normaliser,
pre-tokenizer and model one by one. What its first token owes to its place in the text belongs to the
position and is kept apart from the word as its marker: a leading space of the vocabulary (U+2581, or
U+0120 in byte-level BPE), or the prefix of WordPiece for what goes on without a space ("##"), with which
a unit begins in scripts that are written without spaces.
"""

import json
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import product
from string import ascii_lowercase
from typing import Any, Protocol

from tokenizers import Tokenizer

from llmagentos.tokens import UNSPACED, character_classes

_BLANK_BYTES = {f"<0x{ord(char):02X}>": char for char in "\t\n\r "}
_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
_METASPACE = "\u2581"
_BYTE_SPACE = "\u0120"
_TRIED_WORDS = 256
# Normalisers and pre-tokenizers without rules for single letters or words.
_SAME_FOR_ALL_LETTERS = frozenset(
    (
        *("BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Prepend"),
        *("Strip", "StripAccents", "BertPreTokenizer", "ByteLevel", "Digits", "Metaspace", "Punctuation"),
        *("UnicodeScripts", "Whitespace", "WhitespaceSplit"),
    )
)


def _byte_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in for each of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in printable)
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + k) for k, byte in enumerate(others)}


def _sees_letters(step: dict[str, Any] | None) -> bool:
    """Whether a normaliser or pre-tokenizer may treat one small ASCII letter or word unlike another."""
    if step is None or step["type"] in _SAME_FOR_ALL_LETTERS:
        return False
    if step["type"] == "Sequence":
        return any(map(_sees_letters, step.get("normalizers") or step.get("pretokenizers") or ()))
    if step["type"] in ("Replace", "Split"):
        return re.search(r"[A-Za-z]|\\\d", "".join(step["pattern"].values())) is not None
    return True


class WordSpelling(Protocol):
    """Reads and writes single words in some kind of tokens."""

    marker: str
    """What a token begins with that brings the space in front of it; empty where there is no such token."""
    markers: tuple[str, ...]
    """All that a word may begin with because of its place."""

    def markers_of(self, word: str) -> tuple[str, ...]:
        """Those of `markers` that this word may begin with."""

    def read(self, ids: Sequence[int]) -> tuple[str, str] | None:
        """The marker and the text of a unit; None where the tokens do not spell text."""

    def write(self, marker: str, word: str) -> list[int] | None:
        """The tokens of a word; None where it cannot be spelled."""

    def show(self, ids: Sequence[int]) -> str:
        """Any tokens as a person would see them."""


class Spelling:
    """Reads and writes single words in a tokenizer's vocabulary.

    Args:
        tokenizer: WordPiece, Unigram, WordLevel or BPE, the latter with or without byte-level characters.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> vocabulary = {"[UNK]": 0, "un": 1, "##do": 2, "do": 3}
        >>> spelling = Spelling(Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]")))
        >>> spelling.read([1, 2]), spelling.write("", "undo"), spelling.write("", "xyz")
        (('', 'undo'), [1, 2], None)
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        parts: dict[str, Any] = json.loads(tokenizer.to_str())
        model = parts["model"]
        self._steps = parts["normalizer"], parts["pre_tokenizer"]
        cutter = json.dumps(parts["pre_tokenizer"])
        self.continuation: str = model.get("continuing_subword_prefix") or ""
        self._word_end: str = model.get("end_of_word_suffix") or ""  # which the model itself writes
        self._bytes = (
            {char: byte for byte, char in _byte_alphabet().items()}
            if "ByteLevel" in cutter + json.dumps(parts["decoder"])
            else None
        )
        unmarked = self._bytes is None and tokenizer.token_to_id(_METASPACE) is None
        self.marker = "" if unmarked else _METASPACE if self._bytes is None else _BYTE_SPACE
        # Other tokenizers with a marker have it from their normaliser: the pre-tokenizer sees the marker.
        self._space = " " if "ByteLevel" in cutter or "Metaspace" in cutter else self.marker
        self.markers = tuple(dict.fromkeys(("", self.marker, self.continuation)))
        unknown = model.get("unk_token")
        if model["type"] == "Unigram" and model.get("unk_id") is not None:
            unknown = model["vocab"][model["unk_id"]][0]
        self._banned = {token["content"] for token in parts["added_tokens"]} | {unknown}
        self._banned_ids = {tokenizer.token_to_id(token) for token in self._banned if token is not None}

    def read(self, ids: Sequence[int]) -> tuple[str, str] | None:
        """The marker and the text of a unit; None where the tokens do not spell text.

        Args:
            ids: the unit's token ids.

        Returns:
            (marker, word), the first one of `markers`; or None for unknown and special tokens and for
            parts of a character.
        """
        pieces: list[str] = []
        for token in ids:
            piece = self._texts[token]
            if piece is None:
                return None
            pieces.append(piece)
        marker = self.marker_of(pieces[0])
        first = pieces[0].removeprefix(marker)
        word = self.plain(first + "".join(piece.removeprefix(self.continuation) for piece in pieces[1:]))
        return None if word is None else (marker, word)

    def show(self, ids: Sequence[int]) -> str:
        """Any tokens as the tokenizer shows them, also unknown ones and parts of characters."""
        shown: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return shown.strip()

    def markers_of(self, word: str) -> tuple[str, ...]:
        """Those of `markers` that this word may begin with.

        A unit of a script with spaces goes on from nothing that is not part of it.
        """
        if self.continuation and character_classes(word[:1]).tolist() != [UNSPACED]:
            return tuple(marker for marker in self.markers if marker != self.continuation)
        return self.markers

    @cached_property
    def begins_with_space(self) -> bool:
        """Whether the tokenizer puts a space in front of every text."""
        tokens = self._tokenizer.encode("a", add_special_tokens=False).tokens
        return bool(self.marker) and tokens[:1] != [] and tokens[0].startswith(self.marker)

    def is_blank_byte(self, piece: str) -> bool:
        """Whether a token is the byte of a white-space character, as where bytes are the last resort."""
        return piece in _BLANK_BYTES and piece not in self._banned

    def marker_of(self, piece: str) -> str:
        """What a token owes to its place, one of `markers`."""
        return next((one for one in self.markers if one and piece.startswith(one)), "")

    def plain(self, spelled: str) -> str | None:
        """Vocabulary characters as text: byte-level stand-ins become the characters they encode."""
        if self._bytes is None:
            return spelled
        try:
            return bytes(self._bytes[char] for char in spelled).decode()
        except (KeyError, UnicodeDecodeError):
            return None

    def write(self, marker: str, word: str) -> list[int] | None:
        """The tokens of a word; None where the vocabulary cannot spell it.

        Args:
            marker: what `read` gave for the position.
            word: without spaces; is normalised here.

        Returns:
            Token ids, at least one, none unknown.
        """
        small = word.isascii() and word.isalpha() and word.islower() and self._takes_letters_as_they_are
        pieces = [marker + word] if small else self._pieces(marker, self._normalised(word))
        ids: list[int] = []
        for piece in pieces:
            tokens = [token.id for token in self._tokenizer.model.tokenize(piece)]
            if not tokens or not self._banned_ids.isdisjoint(tokens):
                return None
            ids += tokens
        return ids or None

    @cached_property
    def _takes_letters_as_they_are(self) -> bool:
        """Whether a word of small ASCII letters reaches the model unchanged, behind its marker.

        So it is with most tokenizers, and then a word is written in half the time. Their steps must be of
        kinds that do nothing to some small letters alone, and it is tried on every pair of letters and on
        words of the vocabulary.
        """
        words = [word for word in self.vocabulary if word.isascii() and word.isalpha() and word.islower()]
        every_pair = "".join(map("".join, product(ascii_lowercase, repeat=2)))
        return not any(map(_sees_letters, self._steps)) and all(
            self._pieces(marker, self._normalised(word)) == [marker + word]
            for word in (every_pair, *words[:: max(1, len(words) // _TRIED_WORDS)])
            for marker in self.markers
        )

    def _pieces(self, marker: str, word: str) -> list[str]:
        """A normalised word with its marker, cut as in a text: what the model sees one by one."""
        if not word.strip():
            return []
        if marker and marker == self.continuation:
            # Behind a letter, as in a text, the word goes on, or is cut off before its first character.
            first, *rest = self._cut("a" + word)
            return [marker + first[1:], *rest] if len(first) > 1 else rest
        if marker:
            return self._cut(self._space + word)
        pieces = self._cut(word)
        # Some pre-tokenizers put a space before every text.
        if pieces:
            pieces[0] = pieces[0].removeprefix(self.marker)
        return [piece for piece in pieces if piece]

    def _cut(self, text: str) -> list[str]:
        cutter = self._tokenizer.pre_tokenizer
        return [text] if cutter is None else [piece for piece, _ in cutter.pre_tokenize_str(text)]

    def _normalised(self, word: str) -> str:
        """A word as the tokenizer sees it (case, accents, width)."""
        if self._tokenizer.normalizer is None:
            return word
        # Some normalizers (Llama's) put the marker in front themselves.
        normalised: str = self._tokenizer.normalizer.normalize_str(word)
        return normalised.removeprefix(self.marker)

    @cached_property
    def _texts(self) -> list[str | None]:
        """Every entry of the vocabulary by its id; None where it spells no text by itself."""
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        texts: list[str | None] = [None] * (max(vocabulary.values(), default=-1) + 1)
        for piece, number in vocabulary.items():
            if piece not in self._banned and not _BYTE_TOKEN.fullmatch(piece):
                texts[number] = piece.removesuffix(self._word_end)
            elif piece in _BLANK_BYTES:
                texts[number] = _BLANK_BYTES[piece]
        return texts

    @cached_property
    def vocabulary(self) -> list[str]:
        """The plain text of every token that has one, sorted."""
        pieces = sorted(piece for piece in self._texts if piece is not None)
        words = (self.plain(piece.removeprefix(self.marker_of(piece))) for piece in pieces)
        return [word for word in words if word]
