"""Whether an encoder packs: found by a trial that is hard enough, and one setting for all threads."""

import copy
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AttentionInterface,
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from llmagentos.encoder import TransformerEncoder, _attention, load_encoder
from llmagentos.model import EmbeddingModel

from .tiny import (
    KINDS,
    NOT_PACKABLE,
    PACKABLE,
    SIZES,
    TEXTS,
    encoder_of,
    gradient,
    ragged,
    some_texts,
    tiny_bert,
    tiny_gemma2,
    tiny_modernbert,
    wordpiece,
)


def tiny_clip() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Lets no row be longer than its positions, whatever `position_ids` say."""
    tokenizer = wordpiece()
    ids: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    return CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), **ids, **SIZES)), tokenizer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [*PACKABLE, *NOT_PACKABLE])
def test_trying_leaves_the_backbone_as_it_was(kind: str, training: bool) -> None:
    """The mode of each module too, and the usual attention can be put back."""
    backbone, tokenizer = (PACKABLE | NOT_PACKABLE)[kind]()
    backbone.train(training)
    other = next(module for module in backbone.modules() if isinstance(module, nn.Embedding))
    other.training = not training
    attention, random = backbone.config._attn_implementation, torch.random.get_rng_state()
    encoder = TransformerEncoder(backbone, tokenizer)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(module.training == (training != (module is other)) for module in backbone.modules())
    assert encoder.packs == (backbone.config._attn_implementation == _attention.PACKED) == (kind in PACKABLE)
    encoder.packs = False
    assert not encoder.packs and backbone.config._attn_implementation == attention


def test_a_backbone_that_another_encoder_had_packs_and_pads() -> None:
    first = encoder_of(tiny_bert)
    second = TransformerEncoder(first.backbone, first._pretrained_tokenizer).eval()
    assert second.packs
    texts = some_texts(second)
    packed = second(*texts)
    second.packs = False
    torch.testing.assert_close(second(*texts), packed, rtol=1e-4, atol=1e-5)


def test_threads_encode_as_one_alone() -> None:
    """A short text among them takes another path through attention than all of them do."""
    model = EmbeddingModel(encoder_of(tiny_bert))
    batches = [[*TEXTS[: 1 + number % len(TEXTS)], f"text {number}"] for number in range(40)]
    alone = [model.encode(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(model.encode, batches))
    for expected, found in zip(alone, together, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_checkpointing_changes_no_gradient(kind: str) -> None:
    encoder = encoder_of(KINDS[kind]).train()
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    texts = some_texts(encoder)
    expected = gradient(encoder, encoder(*texts))
    encoder.backbone.activation_checkpointing_enable()
    found = gradient(encoder, encoder(*texts))
    assert (found - expected).norm() / expected.norm() < 1e-6


def test_a_copy_is_set_on_its_own() -> None:
    encoder = encoder_of(tiny_bert)
    copied = copy.deepcopy(encoder)
    texts = some_texts(encoder)
    assert copied.packs and torch.equal(copied(*texts), encoder(*texts))
    copied.packs = False
    assert encoder.packs and not copied.packs
    torch.testing.assert_close(copied(*texts), encoder(*texts), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_folder_does_not_name_our_attention(
    kind: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    encoder = load_encoder(shutil.copytree(folders[kind], tmp_path / "before"))
    assert isinstance(encoder, TransformerEncoder) and encoder.packs
    (tmp_path / "after").mkdir()
    encoder.save(tmp_path / "after")
    for file in (tmp_path / "after").rglob("*.json"):
        assert _attention.PACKED not in file.read_text(encoding="utf-8"), file
    assert encoder.packs


def test_calling_the_backbone_of_an_encoder_that_packs_says_what_to_do() -> None:
    encoder = encoder_of(tiny_bert)
    ids = torch.tensor([[5, 6, 7]])
    with pytest.raises(ValueError, match=r"packing must be a Packing, got None; .* encoder\.packs = False"):
        encoder.backbone(input_ids=ids)
    encoder.packs = False
    assert encoder.backbone(input_ids=ids).last_hidden_state.shape == (1, 3, 32)


def tried(
    build: Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerFast]], monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[int]]:
    """Lengths of the texts that go packed and padded through a trial."""
    seen: dict[str, list[int]] = {}
    for name in ("_packed", "_padded"):
        embed = getattr(TransformerEncoder, name)

        def spy(
            self: Any,
            tokens: Tensor,
            starts: Tensor,
            lengths: Tensor,
            name: str = name,
            embed: Callable[..., Tensor] = embed,
        ) -> Tensor:
            seen[name] = lengths.tolist()
            return embed(self, tokens, starts, lengths)

        monkeypatch.setattr(TransformerEncoder, name, spy)
    TransformerEncoder(*build())
    return seen


def test_the_row_of_a_trial_is_longer_than_the_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tried(tiny_bert, monkeypatch)
    assert 65 <= sum(seen["_packed"]) < 70
    assert seen["_padded"] == seen["_packed"][:2] == [5, 3]


def test_a_text_of_a_trial_is_longer_than_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tried(lambda: tiny_modernbert(local_attention=16), monkeypatch)["_packed"][0] == 18
    assert tried(lambda: tiny_modernbert(local_attention=128), monkeypatch)["_packed"][0] == 64  # the longest
    assert tried(lambda: tiny_gemma2(softcap=None), monkeypatch)["_packed"][0] == 6


def test_what_is_too_long_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of 4,096 tokens of a large model would take minutes on a CPU."""

    def build() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        backbone, tokenizer = tiny_modernbert(local_attention=1028)  # 514 to each side
        backbone.config.max_position_embeddings = 4096
        return backbone, tokenizer

    assert tried(build, monkeypatch)["_packed"] == [5, 3]


def test_a_model_that_counts_the_tokens_of_a_row_stays_padded() -> None:
    encoder = encoder_of(tiny_clip)
    assert not encoder.packs
    tokens, offsets = some_texts(encoder)
    assert encoder(tokens, offsets).isfinite().all()


def test_attention_within_chunks_stays_padded() -> None:
    backbone, tokenizer = tiny_bert()
    backbone.config.attention_chunk_size = 8192
    assert not TransformerEncoder(backbone, tokenizer).packs


@contextmanager
def another_attention(attend: Callable[..., Any]) -> Iterator[None]:
    AttentionInterface.register(_attention.PACKED, attend)
    try:
        yield
    finally:
        AttentionInterface.register(_attention.PACKED, _attention.attend)


def leaky(module: nn.Module, q: Tensor, k: Tensor, v: Tensor, _: None, **options: Any) -> tuple[Tensor, None]:
    """Each token sees those of all texts."""
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2), None


def test_a_trial_with_fresh_weights_finds_a_leak() -> None:
    """Attention changes little where all weights are small."""
    torch.manual_seed(0)
    backbone, tokenizer = tiny_bert()
    with another_attention(leaky):
        assert not TransformerEncoder(backbone, tokenizer).packs
    assert TransformerEncoder(backbone, tokenizer).packs


def test_a_trial_finds_a_window_that_is_left_out() -> None:
    def wide(*args: Any, sliding_window: int | None = None, **options: Any) -> tuple[Tensor, None]:
        return _attention.attend(*args, **options)

    with another_attention(wide):
        assert not encoder_of(lambda: tiny_modernbert(local_attention=16)).packs
        assert encoder_of(tiny_bert).packs


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), RuntimeError("can't allocate memory")])
def test_running_out_of_memory_is_no_answer(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def no_memory(*_: Any) -> Tensor:
        raise error

    monkeypatch.setattr(TransformerEncoder, "_packed", no_memory)
    backbone, tokenizer = tiny_bert()
    usual = backbone.config._attn_implementation
    with pytest.raises(type(error)):
        TransformerEncoder(backbone, tokenizer)
    assert backbone.config._attn_implementation == usual


def test_texts_of_one_micro_batch_come_out_alike_with_each_pooling() -> None:
    """Packed and padded go through the same pooling."""
    for pooling in ("mean", "cls", "lasttoken"):
        encoder = encoder_of(tiny_bert, pooling)
        texts = ragged(encoder, TEXTS)
        packed = encoder(*texts)
        encoder.packs = False
        torch.testing.assert_close(encoder(*texts), packed, rtol=1e-4, atol=1e-5)
