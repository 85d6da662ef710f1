"""Which modules are the layers of a model, and what is frozen with the first of them."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AlbertConfig,
    AlbertModel,
    BloomConfig,
    BloomModel,
    DebertaV2Config,
    DebertaV2Model,
    MarkupLMConfig,
    MarkupLMModel,
    OPTConfig,
    OPTModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RemBertConfig,
    RemBertModel,
    XLMConfig,
    XLMModel,
)

from llmagentos.errors import ConfigError

from .tiny import (
    KINDS,
    NOT_PACKABLE,
    PACKABLE,
    SIZES,
    Build,
    encoder_of,
    some_texts,
    tiny_bert,
    tiny_gpt2,
    tiny_qwen3,
    tiny_roberta,
    wordpiece,
)


def sizes(**renamed: str) -> dict[str, Any]:
    return {"pad_token_id": 0} | {renamed.get(name, name): size for name, size in SIZES.items()}


def tiny_opt() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The last norm stands before the layers in its list of parameters."""
    tokenizer = wordpiece()
    config = OPTConfig(
        vocab_size=len(tokenizer), word_embed_proj_dim=32, **sizes(intermediate_size="ffn_dim")
    )
    return OPTModel(config), tokenizer


def tiny_rembert() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A product of matrices stands between the embeddings and the first layer."""
    tokenizer = wordpiece()
    config = RemBertConfig(
        vocab_size=len(tokenizer), input_embedding_size=16, bos_token_id=2, eos_token_id=3, **sizes()
    )
    return RemBertModel(config), tokenizer


def tiny_bloom() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A norm stands between the embeddings and the first layer, beside both."""
    tokenizer = wordpiece()
    config = BloomConfig(
        vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4, pad_token_id=0, bos_token_id=2
    )
    return BloomModel(config), tokenizer


def tiny_deberta() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Layers are given the weights of a table that is never called."""
    tokenizer = wordpiece()
    config = DebertaV2Config(
        vocab_size=len(tokenizer), relative_attention=True, pos_att_type=["p2c", "c2p"], **sizes()
    )
    return DebertaV2Model(config), tokenizer


def tiny_markuplm() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """As many tables in a list as there are layers."""
    tokenizer = wordpiece()
    config = MarkupLMConfig(
        vocab_size=len(tokenizer),
        max_depth=2,
        bos_token_id=2,
        eos_token_id=3,
        tag_pad_id=216,
        subs_pad_id=1001,
        **sizes(),
    )
    return MarkupLMModel(config), tokenizer


def tiny_xlm() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Four lists, each with a part of every layer."""
    tokenizer = wordpiece()
    config = XLMConfig(
        vocab_size=len(tokenizer),
        emb_dim=32,
        n_layers=2,
        n_heads=4,
        max_position_embeddings=64,
        pad_token_id=0,
    )
    return XLMModel(config), tokenizer


def tiny_albert() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """One layer, used twice."""
    tokenizer = wordpiece()
    return AlbertModel(
        AlbertConfig(vocab_size=len(tokenizer), embedding_size=16, bos_token_id=2, eos_token_id=3, **sizes())
    ), tokenizer


FREEZABLE: dict[str, Build] = KINDS | {
    "roberta": tiny_roberta,
    "opt": tiny_opt,
    "rembert": tiny_rembert,
    "bloom": tiny_bloom,
    "deberta": tiny_deberta,
    "markuplm": tiny_markuplm,
}


def last_layers(backbone: PreTrainedModel) -> set[str]:
    """Names of what comes after the first layer: the second and the last norm, but not BERT's pooler."""
    before = ("embedding", "embed_", "wte", "wpe", "pooler")
    return {
        name
        for name, _ in backbone.named_parameters()
        if not any(part in name for part in before) and not {"0"} & set(name.split("."))
    }


@pytest.mark.parametrize("kind", FREEZABLE)
def test_frozen_weights_get_no_gradient_and_all_others_do(kind: str) -> None:
    encoder = encoder_of(FREEZABLE[kind])
    encoder.freeze(1)
    torch.autograd.backward(encoder(*some_texts(encoder)).square().sum())
    with_gradient = {name for name, p in encoder.backbone.named_parameters() if p.grad is not None}
    assert with_gradient == last_layers(encoder.backbone)


def test_freezing_changes_nothing_else() -> None:
    encoder = encoder_of(tiny_bert).train()
    encoder.layers[0].train(False)
    modes = [module.training for module in encoder.modules()]
    random = torch.random.get_rng_state()
    encoder.freeze(1)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert [module.training for module in encoder.modules()] == modes
    assert not any(module._forward_pre_hooks for module in encoder.modules())


def test_freezing_no_layer_freezes_nothing() -> None:
    encoder = encoder_of(tiny_qwen3)
    encoder.freeze(0)
    assert all(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("num_layers", [2, 7])
def test_one_layer_at_least_has_to_be_trained(num_layers: int) -> None:
    encoder = encoder_of(tiny_bert)
    with pytest.raises(
        ConfigError, match=rf"freeze_layers must be below 2, the layers of transformer, got {num_layers}"
    ):
        encoder.freeze(num_layers)
    assert all(p.requires_grad for layer in encoder.layers for p in layer.parameters())


@pytest.mark.parametrize(("kind", "build"), [("xlm", tiny_xlm), ("albert", tiny_albert)])
def test_layers_that_cannot_be_told_are_not_guessed(kind: str, build: Build) -> None:
    encoder = encoder_of(build)
    assert encoder.layers == []
    with pytest.raises(
        ConfigError,
        match=rf"must be 0 for transformer, .* \({kind}\) are its layers, got 1; train all of it, or choose",
    ):
        encoder.freeze(1)
    encoder.freeze(0)
    assert all(p.requires_grad for name, p in encoder.named_parameters() if "pooler" not in name)
    assert encoder.work(torch.tensor([10])).flops > 0


@pytest.mark.parametrize("kind", [*PACKABLE, *NOT_PACKABLE, *FREEZABLE])
def test_layers_stand_in_the_order_of_the_text(kind: str) -> None:
    encoder = encoder_of((PACKABLE | NOT_PACKABLE | FREEZABLE)[kind])
    order: list[int] = []
    for number, layer in enumerate(encoder.layers):
        assert not isinstance(layer, nn.Embedding)
        layer.register_forward_hook(lambda *_, number=number: order.append(number))
    encoder(*some_texts(encoder))
    assert order == [0, 1]


def test_a_frozen_layer_costs_its_forward_pass() -> None:
    """2 operations a weight and token instead of 6, and 4 a pair of tokens and dimension instead of 12."""
    encoder = encoder_of(tiny_gpt2)
    weights = 32 * 96 + 32 * 32 + 2 * 32 * 48
    encoder.freeze(1)
    work = encoder.work(torch.tensor([10]))
    assert work.flops == (6 + 2) * weights * 10 + (12 + 4) * 32 * 100


def test_work_counts_heads_that_are_wider_than_the_hidden_states() -> None:
    def wide() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        backbone, tokenizer = tiny_qwen3()
        config = type(backbone.config)(**backbone.config.to_dict() | {"head_dim": 16})
        return type(backbone)(config), tokenizer

    encoder = encoder_of(wide)
    weights = 2 * (
        32 * 64 * 2 + 32 * 32 * 2 + 3 * 32 * 48
    )  # queries and output, keys and values, three of the MLP
    assert encoder.work(torch.tensor([10])).flops == 6 * weights * 11 + 12 * 2 * 64 * 11**2  # with </s>
