"""Traditional and simplified, full-width and half-width forms of a text have the same tokens."""

import json
import random
from typing import Literal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opencc import OpenCC
from tokenizers import Tokenizer

from llmagentos.tokens import TokensConfig, encode_texts, train_tokenizer
from llmagentos.tokens._simplified import is_chinese, simplified_characters, simplifying

from .conftest import documents, quick, read_texts, texts

PAIRS = simplified_characters()
STEP = simplifying()
TEXTS = [
    "历史后来发展为云计算，我们没有说谎。他看着书，了解一切！",
    "对比学习不需要标签。模型从大量文本中学习有用的表示！无论如何，请看 https://例え.org/路径 吧。",
    "共有 GPU 8 块，价格 3.50 元：“简体字”与‘繁体字’。",
]


@pytest.fixture(scope="module", params=["unigram", "wordpiece"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    kind: Literal["unigram", "wordpiece"] = request.param
    return train_tokenizer(documents(TEXTS * 2), TokensConfig(kind=kind))


def traditional(text: str, seed: int) -> str:
    """Any traditional character for each simplified one that has some."""
    forms: dict[str, list[str]] = {}
    for one, other in PAIRS.items():
        forms.setdefault(other, [other]).append(one)
    draw = random.Random(seed)
    return "".join(draw.choice(forms.get(character, [character])) for character in text)


def test_the_step_is_the_table_for_every_character() -> None:
    characters = [chr(code) for code in range(0x20, 0x110000) if not 0xD800 <= code < 0xE000]
    written = STEP.normalize_str("\n".join(characters)).split("\n")
    others = {one: other for one, other in zip(characters, written, strict=True) if one != other}
    assert others == PAIRS


def test_the_table_is_of_single_characters_and_needs_one_pass() -> None:
    assert len(PAIRS) > 3_500
    assert all(len(one) == len(other) == 1 for one, other in PAIRS.items())
    assert not set(PAIRS) & set(PAIRS.values())


def test_the_table_agrees_with_opencc_where_it_has_one_answer() -> None:
    convert = OpenCC("t2s").convert
    # The rest are Taiwan's and Hong Kong's own characters, those that OpenCC only changes in words, and four
    # of old names in simplified text.
    assert {one for one, other in PAIRS.items() if convert(one) != other} == set(
        "潀痺睪簷著敍枱粧糭衞衹瞭覆藉彷祇揹伕甦暱谘馀钜濬"
    )


@quick
@given(texts)
@example("臺灣後來發展爲雲計算")
@example("大的座標和傢俱")
def test_twice_is_once_and_what_is_simplified_stays(text: str) -> None:
    once = STEP.normalize_str(text)
    assert STEP.normalize_str(once) == once
    assert len(once) == len(text) or "\u0301" in text
    if not set(text) & set(PAIRS) and "想像" not in text:
        assert once == text


def test_words_whose_traditional_character_is_another_in_simplified_text() -> None:
    text = "想象客厅家具的坐标和项链，俱乐部的座位像，锻炼。"
    text += "坐标记录、坐标准确、坐标识别、三坐标测量机，企业家俱乐部。"
    for standard in ("s2t", "s2tw", "s2hk"):
        assert STEP.normalize_str(OpenCC(standard).convert(text)) == text


@pytest.mark.parametrize(
    "text",
    ["企业家俱乐部", "插座标准和讲座标题", "思想像大海", "锻炼", "一座标志性建筑，两座标准泳池，每座标本馆"],
)
def test_these_words_are_not_seen_across_others(text: str) -> None:
    assert STEP.normalize_str(text) == text
    assert STEP.normalize_str(traditional(text, 0)) == text


def test_these_words_have_the_offsets_and_marks_of_the_simplified_ones() -> None:
    text, other = "大的坐标大，家具和项链，想象", "大的座標大，傢俱和項鍊，想像"
    tokenizer = train_tokenizer(documents([*text]), TokensConfig())  # each character is a token
    one, two = tokenizer.encode(text), tokenizer.encode(other)
    assert one.ids == two.ids and one.offsets == two.offsets
    assert [end - start for start, end in one.offsets] == [1] * len(text)
    np.testing.assert_array_equal(
        encode_texts([text], tokenizer).flags, encode_texts([other], tokenizer).flags
    )


@pytest.mark.parametrize("seed", range(5))
def test_tokens_and_marks_are_those_of_the_simplified_text(tokenizer: Tokenizer, seed: int) -> None:
    for text in TEXTS:
        other = traditional(text, seed)
        assert other != text
        one, two = tokenizer.encode(text), tokenizer.encode(other)
        assert one.ids == two.ids and one.offsets == two.offsets
        np.testing.assert_array_equal(
            encode_texts([text], tokenizer).flags, encode_texts([other], tokenizer).flags
        )


@quick
@given(st.text(st.sampled_from([*list(PAIRS)[::7], *"学习，。 a1\u0301"]), max_size=20))
def test_offsets_are_places_in_the_text_as_it_was_given(tokenizer: Tokenizer, text: str) -> None:
    encoding = tokenizer.encode(text)
    spans = [span for span in encoding.offsets if span[0] < span[1]]
    assert spans == sorted(spans)
    covered = {place for start, end in spans for place in range(start, end)}
    assert {place for place, character in enumerate(text) if character not in " \u0301"} <= covered


def test_widths(tokenizer: Tokenizer) -> None:
    full = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)} | {" ": "\u3000"})
    half = str.maketrans("，！：。", ",!:｡")
    for text in TEXTS:
        expected = tokenizer.encode(text).ids
        assert tokenizer.encode(text.translate(full)).ids == expected
        assert tokenizer.encode(text.translate(half)).ids == expected


def test_a_saved_tokenizer_is_the_same(tokenizer: Tokenizer) -> None:
    again = Tokenizer.from_str(tokenizer.to_str())
    assert again.to_str() == tokenizer.to_str()
    text = traditional(TEXTS[0], 0)
    assert again.encode(text).ids == tokenizer.encode(text).ids
    assert 0 not in again.encode(text).ids


@pytest.mark.parametrize(
    ("given_texts", "expected"),
    [
        ([], False),
        (["only English"], False),
        (["Émile, naïve Ελληνικά"], False),
        (["a" * 990, "中" * 10], True),
        (["a" * 1000, "中" * 10], False),
        (["これは日本語の文章です。", "機械学習の研究"], False),
        (["한국어는 띄어씁니다"], False),
        (["漢字"], True),
    ],
)
def test_where_text_is_chinese(given_texts: list[str], expected: bool) -> None:
    assert is_chinese(given_texts) is is_chinese(given_texts[::-1]) is expected


def test_other_tokenizers_have_no_such_step() -> None:
    for text, expected in (("contrastive learning", False), ("对比学习 contrastive", True)):
        written = json.loads(train_tokenizer(documents([text]), TokensConfig()).to_str())
        steps = [step["type"] for step in written["normalizer"]["normalizers"]]
        assert ("Precompiled" in steps) is expected


def test_text_that_opencc_made_traditional() -> None:
    given_texts = [text[:1000] for text in read_texts("zh_modern/modern-60k.jsonl.zst", 100)]
    tokenizer = train_tokenizer(documents(given_texts), TokensConfig())
    for standard in ("s2t", "s2tw", "s2hk"):
        other = list(map(OpenCC(standard).convert, given_texts))
        one, two = encode_texts(given_texts, tokenizer), encode_texts(other, tokenizer)
        same = np.mean([a == b for a, b in zip(given_texts, other, strict=True)])
        assert same < 0.05
        known = np.isin(two.tokens, one.tokens).mean()
        assert known > 0.999 and abs(len(one.tokens) - len(two.tokens)) < 0.002 * len(one.tokens)
