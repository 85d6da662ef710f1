"""The small encoder: it begins as the static one, learns order, and sentence-transformers loads it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.nn import functional

from llmagentos.encoder import EncoderConfig, StaticEncoder, TransformerEncoder, load_encoder
from llmagentos.encoder._small import grow, spread
from llmagentos.errors import ConfigError

from .tiny import TEXTS, ragged, word_tokenizer

CONFIG = EncoderConfig(layers=2, heads=4)


def trained_static(width: int = 256) -> StaticEncoder:
    """Rows of very different lengths, as a trained table has them, and a direction that all share."""
    tokenizer = word_tokenizer()
    rows = tokenizer.get_vocab_size()
    lengths = np.random.default_rng(0).lognormal(0.0, 0.7, rows).astype(np.float32)
    encoder = StaticEncoder(tokenizer, width, token_weights=lengths)
    encoder.embedding.data.add_(0.05)
    return encoder


def similarities(h: Tensor) -> Tensor:
    unit = functional.normalize(h)
    return unit @ unit.T


@pytest.mark.parametrize("layers", [1, 3])
def test_it_begins_as_the_static_one(layers: int) -> None:
    static = trained_static()
    encoder = grow(static, EncoderConfig(layers=layers, heads=4))
    batch = ragged(static, TEXTS)
    with torch.no_grad():
        expected, actual = similarities(static(*batch)), similarities(encoder(*batch))
    assert (expected - actual).abs().max() < 0.01
    # The mirror is all that differs: as one turned text by text, the vectors are the same.
    mirror = torch.linalg.lstsq(static.embedding.detach(), spread(static.embedding.detach())).solution
    with torch.no_grad():
        cosine = functional.cosine_similarity(static(*batch) @ mirror, encoder(*batch))
    kept = [text != "" for text in TEXTS]
    assert cosine[kept].min() > 0.999


def test_its_first_weights_are_a_function_of_the_seed() -> None:
    static = trained_static()
    first, again, other = (grow(static, CONFIG, seed=seed).state_dict() for seed in (1, 1, 2))
    torch.manual_seed(5)
    later = grow(static, CONFIG, seed=1).state_dict()
    name = "backbone.layers.0.attn.Wqkv.weight"
    assert all(torch.equal(first[key], again[key]) and torch.equal(first[key], later[key]) for key in first)
    assert not torch.equal(first[name], other[name])


def test_what_it_grows_on_stays_as_it_is() -> None:
    static = trained_static()
    before = static.embedding.detach().clone()
    with torch.no_grad():
        grow(static, CONFIG).table.zero_()
    assert torch.equal(static.embedding, before)


def test_the_first_gradient_reaches_the_branch_and_the_table() -> None:
    encoder = grow(trained_static(), CONFIG)
    h = encoder(*ragged(encoder, TEXTS))
    (h * torch.linspace(-1, 1, h.numel()).view(h.shape)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        # Behind outputs that are zero nothing counts yet.
        first = name.endswith("Wo.weight") or "final" in name or "embeddings" in name
        assert bool(parameter.grad.any()) == first, name


def test_a_trained_branch_sees_the_order_of_words() -> None:
    encoder = grow(trained_static(), CONFIG)
    first, turned = ragged(encoder, ["the quick brown fox", "fox brown quick the"]), None
    with torch.no_grad():
        untrained = encoder(*first)
        torch.testing.assert_close(untrained[0], untrained[1])
        for layer in encoder.layers:
            layer.get_parameter("attn.Wo.weight").copy_(torch.eye(256))
        turned = encoder(*first)
    assert (turned[0] - turned[1]).abs().max() > 0.01


def test_sentence_transformers_gives_the_same_vectors(tmp_path: Path) -> None:
    encoder = grow(trained_static(), CONFIG)
    for parameter in encoder.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.05)
    encoder.save(tmp_path)
    # What transformers 4 needs to read it, of which no copy is at hand: 4.57.1 gave the same vectors.
    written = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert written["model_input_names"] == ["input_ids", "attention_mask"]
    assert json.loads((tmp_path / "config.json").read_text())["global_attn_every_n_layers"] == 1
    judge = SentenceTransformer(str(tmp_path), device="cpu")
    with torch.no_grad():
        ours = functional.normalize(encoder(*ragged(encoder, TEXTS)))
    theirs = judge.encode(TEXTS)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5)
    loaded = load_encoder(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(functional.normalize(loaded(*ragged(loaded, TEXTS))), ours)
    assert isinstance(loaded, TransformerEncoder) and loaded.packs


def test_its_texts_have_no_special_tokens_and_go_without_padding() -> None:
    encoder = grow(trained_static(), CONFIG)
    assert encoder.packs
    assert encoder.max_tokens == encoder.max_seq_length == 8192
    assert (
        encoder.tokenizer.encode(TEXTS[0]).ids
        == encoder.tokenizer.encode(TEXTS[0], add_special_tokens=False).ids
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(1, 20), st.integers(0, 1_000))
def test_a_mirrored_table_keeps_its_similarities(width: int, rows: int, seed: int) -> None:
    table = torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32))
    turned = spread(table)
    scale = table.square().mean()
    torch.testing.assert_close(turned @ turned.T * scale, table @ table.T, atol=1e-4, rtol=1e-4)
    # What the norm takes away is the smallest singular value of the table.
    lost = turned.sum(1).norm() / width**0.5 * scale.sqrt()
    values = np.linalg.svd(table.numpy(), compute_uv=False)
    assert lost.item() == pytest.approx(0.0 if rows < width else float(values[-1]), abs=1e-4)


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(ConfigError, match=r"heads must divide half .* 256, got 5; 4 is the nearest"):
        grow(trained_static(), EncoderConfig(heads=5))
    with pytest.raises(ConfigError, match="choose an even dimension"):
        EncoderConfig().check_heads(63)
