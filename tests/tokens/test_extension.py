"""A pretrained tokenizer with the words of a corpus."""

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from llmagentos.corpus import Document
from llmagentos.errors import InputError, ModelError
from llmagentos.tokens import TokensConfig, check_extendable, extend_tokenizer
from tests.encoder.tiny import TEXTS, byte_level, wordpiece

ENGLISH = "contrastive learning learns by contrast, so contrastive learners learn"
CHINESE = "深度学习模型从大量文本中学习。深度模型需要文本！"
RUSSIAN = "обучение без учителя. обучение с учителем. учитель учится без обучения"
SMALL = TokensConfig(vocabulary_size=300)


def bert(vocabulary: list[str]) -> Tokenizer:
    pieces = {piece: number for number, piece in enumerate(["[UNK]", *vocabulary])}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def documents(*texts: str) -> list[Document]:
    return [Document(id=str(number), text=text) for number, text in enumerate(texts)]


def added(old: Tokenizer, new: Tokenizer) -> dict[str, int]:
    return {token: row for token, row in new.get_vocab().items() if token not in old.get_vocab()}


def test_chinese_characters_are_added_whole_and_nothing_is_unknown() -> None:
    old = bert(["学", "。"])
    new = extend_tokenizer(old, documents(CHINESE, CHINESE), SMALL)
    assert new.encode("深度学习。").tokens == ["深", "度", "学", "习", "。"]
    assert all(len(token) == 1 for token in added(old, new))
    assert sorted(added(old, new).values()) == list(range(3, 3 + len(added(old, new))))


def test_words_without_any_piece_get_the_trained_ones_at_their_places() -> None:
    old = bert(["the"])
    new = extend_tokenizer(old, documents(*[RUSSIAN] * 3), SMALL)
    for word in RUSSIAN.replace(".", "").split():
        tokens = new.encode(word).tokens
        assert "[UNK]" not in tokens
        assert "".join(token.removeprefix("##") for token in tokens) == word


def test_a_word_in_several_pieces_is_added_whole_and_its_pieces_stay() -> None:
    old = bert(["con", "##trast", "##ive", "learn", "##ing", "##s", "##ers", "by", ",", "so"])
    new = extend_tokenizer(old, documents(ENGLISH, ENGLISH), SMALL)
    assert new.encode("contrast").tokens == ["contrast"]
    assert new.encode("learns by").tokens[-1] == "by"
    assert not any(token.startswith("##") for token in added(old, new))


def test_texts_of_known_words_have_the_tokens_that_they_had() -> None:
    old = wordpiece().backend_tokenizer
    new = extend_tokenizer(old, documents(*[CHINESE + RUSSIAN] * 2), SMALL)
    assert added(old, new)
    for text in TEXTS:
        assert new.encode(text).ids == old.encode(text).ids


def test_a_word_that_stands_once_is_not_added() -> None:
    new = extend_tokenizer(bert(["a"]), documents("一 二 二"), SMALL)
    assert new.encode("一二").tokens == ["[UNK]", "二"]


def test_the_same_text_in_another_order_gives_the_same_tokenizer() -> None:
    old = bert(["the"])
    texts = documents(CHINESE, RUSSIAN, ENGLISH, CHINESE + "吗")
    assert extend_tokenizer(old, texts, SMALL).to_str() == extend_tokenizer(old, texts[::-1], SMALL).to_str()


def test_forms_of_chinese_text_have_the_same_tokens_and_english_stays() -> None:
    old = bert(["a", "½", "…", "gpu", ","])
    new = extend_tokenizer(old, documents(CHINESE, CHINESE, "體驗，體驗"), SMALL)
    assert "体" in added(old, new) and "體" not in added(old, new)
    assert new.encode("深度學習ＧＰＵ，").tokens == ["深", "度", "学", "习", "gpu", ","]
    assert new.encode("深度学习GPU,").ids == new.encode("深度學習ＧＰＵ，").ids
    assert new.encode("a½…").ids == old.encode("a½…").ids
    in_latin = extend_tokenizer(old, documents(ENGLISH, ENGLISH), SMALL)
    assert in_latin.normalizer.__getstate__() == old.normalizer.__getstate__()


def test_a_character_that_normalisation_spells_out_is_added_as_it_is() -> None:
    new = extend_tokenizer(bert(["a"]), documents("㎡ ㎡ 中㎡"), SMALL)
    assert new.encode("㎡").tokens == ["㎡"]


def test_byte_pairs_are_refused_with_the_reason() -> None:
    with pytest.raises(ModelError, match=r"WordPiece .* is BPE: new words would need new merges"):
        check_extendable(byte_level("", "").backend_tokenizer)


def test_text_that_is_known_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to add; train without --adapt-vocabulary"):
        extend_tokenizer(bert(["by", "so"]), documents("by so", "so by"), SMALL)
