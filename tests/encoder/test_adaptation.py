"""New words for a pretrained Transformer."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from llmagentos.corpus import Document
from llmagentos.encoder import TransformerEncoder, adapt_vocabulary, load_encoder
from llmagentos.encoder._adaptation import ExtendedEmbedding, _random_rows
from llmagentos.tokens import TokensConfig, extend_tokenizer
from tests.encoder.tiny import TEXTS, encoder_of, ragged, tiny_bert

NEW = ["Глубокое обучение учит модель", "модель учит foxdog 天地", "The quick foxdog jumps 天地"]


@cache
def _built() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    return tiny_bert()  # the library's trainer gives other pieces each time


def plain() -> TransformerEncoder:
    built = _built()  # before `encoder_of` seeds the rest
    return encoder_of(lambda: deepcopy(built))


def adapted(seed: int = 0) -> TransformerEncoder:
    encoder = plain()
    documents = [Document(id=str(n), text=text) for n, text in enumerate(NEW * 2)]
    tokenizer = extend_tokenizer(encoder.tokenizer, documents, TokensConfig(vocabulary_size=300))
    adapt_vocabulary(encoder, tokenizer, seed=seed)
    return encoder


def embedding(encoder: TransformerEncoder) -> ExtendedEmbedding:
    module = encoder.backbone.get_input_embeddings()
    assert isinstance(module, ExtendedEmbedding)
    return module


def table(encoder: TransformerEncoder) -> torch.Tensor:
    module = encoder.backbone.get_input_embeddings()
    if isinstance(module, ExtendedEmbedding):
        return module.joined
    return cast(nn.Embedding, module).weight.detach()


def test_old_texts_keep_their_vectors_to_the_bit() -> None:
    before, after = plain(), adapted()
    texts = [
        text for text in TEXTS if "！" not in text
    ]  # read as "!" now, which the old one knows as another
    assert torch.equal(after(*ragged(after, texts)), before(*ragged(before, texts)))


def test_old_rows_are_not_trained_and_new_ones_are_the_table() -> None:
    encoder = adapted()
    frozen = [name for name, p in encoder.named_parameters() if not p.requires_grad]
    assert [name for name in frozen if "pooler" not in name] == [  # which has no part in the mean
        "backbone.embeddings.word_embeddings.weight"
    ]
    assert encoder.table is embedding(encoder).new
    encoder(*ragged(encoder, NEW)).square().sum().backward()
    gradient = embedding(encoder).new.grad
    assert gradient is not None
    used = {i for text in NEW for i in encoder.tokenizer.encode(text).ids}
    size = len(embedding(encoder).weight)
    with_gradient = set((gradient.abs().sum(1).nonzero()[:, 0] + size).tolist())
    assert with_gradient == {i for i in used if i >= size}


def test_gradient_is_that_of_one_table() -> None:
    encoder = adapted()
    encoder(*ragged(encoder, NEW)).square().sum().backward()
    extended, one = embedding(encoder), nn.Embedding(*table(encoder).shape)
    one.weight.data = table(encoder)
    encoder.backbone.set_input_embeddings(one)
    encoder(*ragged(encoder, NEW)).square().sum().backward()
    assert one.weight.grad is not None
    torch.testing.assert_close(extended.new.grad, one.weight.grad[-len(extended.new) :])


def test_a_word_with_known_pieces_starts_as_their_mean() -> None:
    before, encoder = plain(), adapted()
    pieces = before.tokenizer.encode("foxdog", add_special_tokens=False).ids
    assert len(pieces) > 1
    new = encoder.tokenizer.token_to_id("foxdog")
    torch.testing.assert_close(table(encoder)[new], table(before)[pieces].mean(0))


def test_unknown_words_start_all_different_and_by_the_seed() -> None:
    one, same, other = adapted(0), adapted(0), adapted(1)
    assert torch.equal(table(one), table(same))
    row = one.tokenizer.token_to_id("天")
    assert not torch.equal(table(one)[row], table(other)[row])
    assert not torch.equal(table(one)[row], table(one)[one.tokenizer.token_to_id("地")])


def test_random_rows_have_mean_and_covariance_of_the_table() -> None:
    generator = torch.Generator().manual_seed(0)
    old = torch.randn(50, 4, generator=generator) @ torch.randn(4, 4, generator=generator) + 3
    rows = _random_rows(old, 200_000, 1).numpy()
    np.testing.assert_allclose(rows.mean(0), old.numpy().mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(rows.T), np.cov(old.numpy().T, bias=True), atol=0.1)


def test_what_is_saved_is_a_plain_model_of_the_same_vectors(tmp_path: Path) -> None:
    encoder = adapted()
    encoder.save(tmp_path)
    texts = [*NEW, *TEXTS[:4]]
    ours = encoder(*ragged(encoder, texts)).detach()
    again = load_encoder(tmp_path)
    assert isinstance(again, TransformerEncoder)
    torch.testing.assert_close(again(*ragged(again, texts)).detach(), ours)
    theirs = SentenceTransformer(str(tmp_path), device="cpu").encode(texts)
    np.testing.assert_allclose(theirs, nn.functional.normalize(ours).numpy(), atol=1e-5)
    assert "new" not in "".join(name for name, _ in again.named_parameters()).split(".")


def test_a_model_with_a_tokenizer_of_its_own_reads_the_new_forms_elsewhere(tmp_path: Path) -> None:
    encoder = load_encoder("minilm")
    assert isinstance(encoder, TransformerEncoder)  # of which the class is BertTokenizer
    documents = [Document(id=str(n), text="客厅家具的坐标和学习，想象") for n in range(2)]
    adapt_vocabulary(
        encoder, extend_tokenizer(encoder.tokenizer, documents, TokensConfig(vocabulary_size=300))
    )
    encoder.save(tmp_path)
    vectors = SentenceTransformer(str(tmp_path), device="cpu").encode(
        ["客厅家具的坐标和学习，想象", "客廳傢俱的座標和學習，想像", "The lazy dog"]
    )
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    old = load_encoder("minilm")
    expected = nn.functional.normalize(old(*ragged(old, ["The lazy dog"])).detach()).numpy()
    np.testing.assert_allclose(vectors[2:], expected, atol=1e-5)


@pytest.mark.parametrize("text", ["天", "foxdog"])
def test_new_words_are_one_token(text: str) -> None:
    assert len(adapted().tokenizer.encode(text, add_special_tokens=False).ids) == 1
