"""Words to tokens and back, in four kinds of tokenizer."""

from itertools import pairwise

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from llmagentos.tokens import encode_texts
from llmagentos.views._spelling import Spelling

from ..tokens.conftest import minilm
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
    without_case, with_case = Spelling(train("wordpiece", ENGLISH)), Spelling(train("bytes", ENGLISH))
    assert without_case.write("", "\uff26OX") == without_case.write("", "fox")
    assert with_case.write("", "Fox") != with_case.write("", "fox")


def test_small_letters_that_a_tokenizer_changes_or_cuts_are_changed_and_cut() -> None:
    tokenizer = train("bytes", ENGLISH)
    fox, o, x = (tokenizer.encode(text, add_special_tokens=False).ids for text in ("fox", "o", "x"))
    assert Spelling(tokenizer).write("", "fox") == fox
    tokenizer.normalizer = normalizers.Replace("f", "o")
    assert Spelling(tokenizer).write("", "fx") == tokenizer.encode("ox", add_special_tokens=False).ids
    tokenizer.normalizer = normalizers.Replace("fo", "o")  # a rule for two letters
    assert Spelling(tokenizer).write("", "fox") == tokenizer.encode("fox", add_special_tokens=False).ids
    tokenizer.normalizer = normalizers.Replace("zzqj", "o")  # and one that no word of the vocabulary shows
    assert Spelling(tokenizer).write("", "zzqj") == o
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("o", "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    assert Spelling(tokenizer).write("", "ox") == [*o, *x]


MIXED = ["high-speed", "don't", "x/y_z", "皇天", "中国人", "カタカナ", "naive皇天"]


@pytest.mark.parametrize("kind", ["minilm", "wordpiece", "unigram", "metaspace", "bytes", "prefixed bytes"])
def test_a_word_has_the_tokens_that_it_has_in_a_text(kind: str) -> None:
    tokenizer = minilm() if kind == "minilm" else train(kind.split()[-1], ENGLISH + CHINESE + MIXED)
    if kind == "prefixed bytes":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    spelling = Spelling(tokenizer)

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return found

    before, whole = len(ids("the")), len(ids("the dogs"))
    for word in MIXED:
        in_text = ids(f"the {word} dogs")
        assert spelling.write(spelling.marker, word) == in_text[before : len(in_text) - whole + before]
        if "space" not in kind:  # there a bracket and the word behind it are cut as one
            assert spelling.write("", word) == ids(f"({word})")[len(ids("(")) : -1]
    assert spelling.write(spelling.marker, "") is None


def test_what_goes_on_without_a_space_keeps_its_mark_apart_from_the_word() -> None:
    tokenizer = minilm()
    spelling = Spelling(tokenizer)
    ids = tokenizer.encode("カタ", add_special_tokens=False).ids
    assert [spelling.read([one]) for one in ids] == [("", "カ"), ("##", "タ")]
    assert spelling.read(ids) == ("", "カタ")
    longer = tokenizer.encode("カタナ", add_special_tokens=False).ids
    assert spelling.write("##", "タナ") == longer[1:]
    # What the tokenizer cuts off from the letter before it does not go on.
    for word in ("天", "-タ"):
        assert spelling.write("##", word) == tokenizer.encode(f"カ{word}", add_special_tokens=False).ids[1:]


def test_what_ends_a_word_is_no_part_of_it() -> None:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator(["the lazy fox and the dog"], trainer)
    spelling = Spelling(tokenizer)
    for word in ("fox", "fax", "tehe"):
        ids = tokenizer.encode(word).ids
        assert spelling.read(ids) == ("", word) and spelling.write("", word) == ids
    assert "fox" in spelling.vocabulary
