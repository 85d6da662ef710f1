"""Tokens are the tokenizer's own, and flags follow design 2.1, in every language and tokenizer."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from llmagentos.tokens import PROTECTED, SENTENCE_START, UNIT_START, TokenBatch, encode_texts

from . import reference
from .conftest import KINDS, TEXTS, byte_level, quick, read_texts, texts

_PHRASES = ["Kubernetes", "pay per use", "对比学习", "C++", "STRASSE", "İ", "学", "a a", ".NET"]
_PARTS = [*_PHRASES, *(" ", "\n", "  ", "x", "é", "中", "kubernetes", "PAY PER", "a", "\0", "-", "1", "i")]


def rows(batch: TokenBatch, name: str) -> list[list[int]]:
    values = getattr(batch, name)
    return [values[a:b].tolist() for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]


def check(given_texts: Sequence[str], tokenizer: Tokenizer, protect: Sequence[str] = ()) -> None:
    batch = encode_texts(given_texts, tokenizer, protect)
    encodings = [tokenizer.encode(text, add_special_tokens=False) for text in given_texts]
    assert rows(batch, "tokens") == [encoding.ids for encoding in encodings]
    expected = [reference.flags(t, e.offsets, protect) for t, e in zip(given_texts, encodings, strict=True)]
    assert rows(batch, "flags") == expected


def test_texts_in_many_languages(tokenizer: Tokenizer) -> None:
    check(TEXTS, tokenizer)


@quick
@given(st.lists(texts, max_size=4))
@example(["no", "t", "not"])
@example(["a", " b", "\n", "", "1"])
@example([])
def test_any_text(tokenizer: Tokenizer, given_texts: list[str]) -> None:
    check(given_texts, tokenizer)


@pytest.mark.parametrize(
    "name", ["arxiv/train-fin.jsonl.zst", "zh_docs_tidb/docs.jsonl.zst", "techdocs/peps.jsonl.zst"]
)
def test_real_text(tokenizer: Tokenizer, name: str) -> None:
    check([text[:2000] for text in read_texts(name, 8)], tokenizer)


def test_a_text_does_not_depend_on_its_batch(tokenizer: Tokenizer) -> None:
    together = encode_texts(TEXTS[::-1], tokenizer)
    alone = [encode_texts([text], tokenizer) for text in TEXTS[::-1]]
    for name in ("tokens", "flags"):
        assert np.array_equal(getattr(together, name), np.concatenate([getattr(b, name) for b in alone]))


@pytest.mark.parametrize("name", ["techdocs/peps.jsonl.zst", "zh_laws/laws.jsonl.zst"])
def test_units_partition_a_text_and_cross_no_space(tokenizer: Tokenizer, name: str) -> None:
    for text in [*TEXTS, *(text[:2000] for text in read_texts(name, 4))]:
        spans = tokenizer.encode(text, add_special_tokens=False).offsets
        starts = np.flatnonzero(encode_texts([text], tokenizer).flags & UNIT_START)
        assert starts[:1].tolist() == [0] * bool(spans)
        for start, end in pairwise([*starts.tolist(), len(spans)]):
            unit = spans[start:end]
            characters = text[min(a for a, _ in unit) : max(b for _, b in unit)]
            kinds = [reference.kind(character) for character in characters]
            if characters.strip() in (text[a:b].strip() for a, b in unit):
                continue  # one token has it all: what is unknown may be one over many words
            inner = " ".join("_" if kind == "space" else kind for kind in kinds).strip("_ ")
            assert "_" not in inner, characters
            # Where words have no spaces tokens are one unit only if they share a character, which bytes
            # of one character do; a mark for a space that is not there has no character.
            if "unspaced" in kinds:
                visible = [(a, b) for a, b in unit if text[a:b].strip()]
                assert all(after[0] < before[1] for before, after in pairwise(visible))


@quick
@given(
    st.lists(st.one_of(texts, st.lists(st.sampled_from(_PARTS), max_size=12).map("".join)), max_size=3),
    st.lists(st.sampled_from(_PHRASES), max_size=3),
)
@example(["İstanbul ISTANBUL istanbul"], ["istanbul"])
@example(["pay per", "use pay per\n use"], ["pay per use"])
def test_any_text_with_protected_phrases(
    tokenizer: Tokenizer, given_texts: list[str], phrases: list[str]
) -> None:
    check(given_texts, tokenizer, phrases)


def test_protected_phrases_are_whole_words_whatever_the_case(tokenizer: Tokenizer) -> None:
    text = "We run KUBERNETES, not kubernetesx; Pay\nper use 用Kubernetes做对比学习吧 per day."
    marks = encode_texts([text], tokenizer, ("Kubernetes", "pay per use", "对比学习")).flags & PROTECTED
    spans = tokenizer.encode(text, add_special_tokens=False).offsets
    marked = {place for (a, b), mark in zip(spans, marks, strict=True) if mark for place in range(a, b)}
    for word in ("KUBERNETES", "Pay", "per use", "Kubernetes", "学"):
        assert text.index(word) + len(word) - 1 in marked
    unknown = any(a <= text.index("学") and b > text.index("吧") for a, b in spans)  # the whole clause
    for word in ("kubernetesx", "run", "per day", "day", *("" if unknown else "吧")):
        assert text.index(word) + len(word) - 1 not in marked


def test_protected_phrases_of_a_lone_text_and_of_a_batch_are_the_same() -> None:
    tokenizer = KINDS["bytes"]()
    both = encode_texts(["pay per", "use", "pay per use"], tokenizer, ("pay per use",))
    assert [any(flag & PROTECTED for flag in row) for row in rows(both, "flags")] == [False, False, True]


def test_shapes_and_types(tokenizer: Tokenizer) -> None:
    for batch in (
        encode_texts([], tokenizer),
        encode_texts(["", ""], tokenizer),
        encode_texts(TEXTS, tokenizer),
    ):
        dtypes = [array.dtype.name for array in (batch.tokens, batch.offsets, batch.flags)]
        assert dtypes == ["int32", "int64", "uint8"]
        assert batch.offsets[0] == 0 and batch.offsets[-1] == len(batch.tokens) == len(batch.flags)
        first = batch.offsets[:-1][batch.lengths > 0]
        assert (batch.flags[first] & 3 == 3).all()
    assert len(encode_texts([], tokenizer)) == 0


def words_of(text: str, tokenizer: Tokenizer, flag: int = 0) -> list[str]:
    """The characters of each unit that has the flag, without spaces around them."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    found = []
    marks = encode_texts([text], tokenizer).flags
    for unit in reference.units(text, encoding.offsets):
        if marks[unit[0]] & flag == flag:
            spans = [encoding.offsets[number] for number in unit]
            found.append(text[min(s for s, _ in spans) : max(e for _, e in spans)].strip())
    return found


def test_units_are_words(tokenizer: Tokenizer) -> None:
    text = "The fox-hunter will cooperate, naively: yes"
    expected = ["The", "fox", "-", "hunter", "will", "cooperate", ",", "naively", ":", "yes"]
    assert words_of(text, tokenizer) == expected


def test_words_stay_whole_where_the_tokenizer_takes_letters_out() -> None:
    minilm = KINDS["minilm"]()
    for text in ("antidis\u00adestablishment", "می\u200cخواهم", "noncoope\u0301rations"):
        assert len(minilm.encode(text, add_special_tokens=False)) > 1
        assert words_of(text, minilm) == [text]


def test_negations_digits_addresses_and_code_are_protected(tokenizer: Tokenizer) -> None:
    text = "I would not pay 25 euros, nor mail x@y.org or `rm -r`; it CANNOT and WON’T do, knot notes."
    words = " ".join(words_of(text, tokenizer, PROTECTED))
    for word in ("not", "25", "nor", "x", "@", "y", "org", "rm", "-", "CANNOT", "WON"):
        assert word in words
    for word in ("would", "pay", "euros", "mail", "knot", "notes"):
        assert word not in words


@pytest.mark.parametrize(
    ("text", "protected"),
    [
        ("See ``a_b(c)\n  + d`` now", "a _ b ( c ) + d"),
        ("See ``a b\n\nc d`` now", ""),
        ("So ``quoted'' and ``quoted again'' it is (``so'') or (``not'')", "not"),
        ("Between ``\nlines and `` more `and` ``", "more and"),
        ("Between ``\n- lines\n- here: `` ends", ""),
        ("``a`b`` and ``''.join(x)`` and `` `n `` is", "a b ' ' . join ( x ) n"),
        ("`so' and `so' and ` so ` is (`not') or (`so')", "so not"),
        (r"Fr\`echet and Poincar\`e, the system`s and the disk`s size", ""),
        ("Use `foo\nbar` and `baz`s", "foo bar baz"),
        ("Empty ```` and ``` more, ```\nx = 1\n\ny\n``` is", "more , 1"),
        ("Between `one` and `two` ends", "one two"),
        ("Is `` a'b `` code", "a ' b"),
        ("I donʼt and don’t", "donʼt don ’ t"),
        ("٣٫١٤ and 3.14", "٣ ٫ ١٤ 3 . 14"),
    ],
)
def test_what_code_and_apostrophes_are(text: str, protected: str) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = [word.strip("` ") for word in words_of(text, tokenizer, PROTECTED)]
    assert " ".join(filter(None, words)) == protected


def test_a_negation_that_the_tokenizer_cuts_is_protected_as_a_whole() -> None:
    characters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = {"[UNK]": 0} | {c: i + 1 for i, c in enumerate(characters)}
    vocabulary |= {"##" + c: i + 27 for i, c in enumerate(characters)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    flags = encode_texts(["is not nota"], tokenizer).flags
    assert (flags & PROTECTED > 0).tolist() == [False] * 2 + [True] * 3 + [False] * 4
    assert np.flatnonzero(flags & UNIT_START).tolist() == [0, 2, 5]


def test_chinese_negations_are_protected(tokenizer: Tokenizer) -> None:
    protected = "".join(words_of("我们没有钱，他不去，无人未来。", tokenizer, PROTECTED))
    if tokenizer.encode("没").tokens == ["[UNK]"]:
        return
    assert all(character in protected for character in "没不无未")


@pytest.mark.parametrize("kind", ["minilm", "bytes"])
def test_an_address_ends_where_chinese_begins(kind: str) -> None:
    tokenizer = KINDS[kind]()
    text = "请看https://a.org/b这里的文档很长，写信到me@b.org谢谢你们"
    assert "文" not in "".join(words_of(text, tokenizer, PROTECTED))
    assert "谢" not in "".join(words_of(text, tokenizer, PROTECTED))


def test_sentences_begin_with_their_first_word(tokenizer: Tokenizer) -> None:
    text = "One 😀 goes. Two 𠀀 goes! And three?\nFour."
    if len(tokenizer.encode(text, add_special_tokens=False).offsets) < 10:
        return
    assert words_of(text, tokenizer, SENTENCE_START) == ["One", "Two", "And", "Four"]


def test_a_space_token_belongs_to_the_word_behind_it() -> None:
    vocabulary = {"[UNK]": 0, "\u2581": 1, "a": 2, "B": 3, ".": 4}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    flags = encode_texts(["a.  B "], tokenizer).flags
    # a | . | (space space B) | space: the second sentence begins with its first space.
    assert flags.tolist() == [3, 1, 3, 0, 0, 1]


def test_a_space_that_its_span_leaves_out_belongs_to_the_word_behind_it() -> None:
    whole, trimmed = byte_level(), byte_level(trimmed=True)
    text = "hello world 中文 hello 😀 "
    assert whole.encode(text).offsets != trimmed.encode(text).offsets
    for some in ([text], ["  two  spaces ", *TEXTS, "", " ", "a"]):
        left, right = encode_texts(some, whole), encode_texts(some, trimmed)
        assert rows(left, "tokens") == rows(right, "tokens")
        assert rows(left, "flags") == rows(right, "flags")


def test_a_long_run_of_letters_takes_no_long_time() -> None:
    text = "a" * 200_000 + " @ " + "中" * 100_000 + "n't`" + "``" * 20_000
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert len(encode_texts([text], tokenizer).tokens) < 20
