"""Words to tokens and back, in four kinds of tokenizer."""

from itertools import pairwise

import pytest

from llmagentos.tokens import encode_texts
from llmagentos.views._spelling import Spelling

from .conftest import CHINESE, ENGLISH, train


@pytest.mark.parametrize(
    ("kind", "marker"), [("wordpiece", ""), ("unigram", ""), ("metaspace", "\u2581"), ("bytes", "\u0120")]
)
def test_every_unit_of_a_text_is_read_and_written_back(kind: str, marker: str) -> None:
    tokenizer = train(kind, ENGLISH + CHINESE)
    spelling = Spelling(tokenizer)
    assert spelling.marker == marker
    batch = encode_texts(ENGLISH[:2], tokenizer)
    starts = [*(place for place, flag in enumerate(batch.flags) if flag & 1), len(batch.tokens)]
    words = []
    for begin, end in pairwise(starts):
        ids = batch.tokens[begin:end].tolist()
        read = spelling.read(ids)
        assert read is not None
        assert spelling.write(*read) == ids
        words.append(read[1])
    text = " ".join(ENGLISH[:2])
    assert "".join(words).lower() == text.replace(" ", "").lower()


def test_a_word_keeps_the_space_of_its_position() -> None:
    tokenizer = train("bytes", ENGLISH)
    spelling = Spelling(tokenizer)
    first, later = spelling.write("", "fox"), spelling.write(spelling.marker, "fox")
    assert first is not None and later is not None and first != later
    assert tokenizer.decode(first) == "fox" and tokenizer.decode(later) == " fox"


def test_what_cannot_be_spelled_is_none() -> None:
    spelling = Spelling(train("wordpiece", ENGLISH))
    assert spelling.read([0]) is None
    assert spelling.write("", "漢") is None
    assert Spelling(train("unigram", ENGLISH)).write("", "漢") is None


def test_characters_beyond_ascii_survive_byte_level_tokens() -> None:
    spelling = Spelling(train("bytes", ENGLISH))
    ids = spelling.write("", "né漢😀")
    assert ids is not None
    assert spelling.read(ids) == ("", "né漢😀")
    assert spelling.read(ids[1:2]) is None


def test_normalised_as_the_tokenizer_sees_it() -> None:
    assert Spelling(train("wordpiece", ENGLISH)).normalised("\uff26OX") == "fox"
    assert Spelling(train("bytes", ENGLISH)).normalised("Fox") == "Fox"
