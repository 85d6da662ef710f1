"""Encoders on a GPU give what they give on the CPU; with FlashAttention where they pack."""

import copy
from unittest import mock

import pytest
import torch
from torch import Tensor

from llmagentos.encoder import _attention
from llmagentos.encoder._packing import Packing
from llmagentos.model import EmbeddingModel

from .tiny import NOT_PACKABLE, PACKABLE, TEXTS, encoder_of, gradient, some_texts, tiny_bert

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU on this machine")


def similar(left: Tensor, right: Tensor) -> float:
    """Cosine of the two as a whole."""
    return float(
        torch.nn.functional.cosine_similarity(left.double().flatten(), right.double().flatten(), 0).detach()
    )


@pytest.mark.parametrize("kind", [*PACKABLE, *NOT_PACKABLE])
def test_in_fp32_it_is_as_on_the_cpu(kind: str) -> None:
    encoder = encoder_of((PACKABLE | NOT_PACKABLE)[kind])
    tokens, offsets = some_texts(encoder)
    h = encoder(tokens, offsets)
    expected = h.detach(), gradient(encoder, h)
    encoder.cuda()
    h = encoder(tokens, offsets)
    found = h.detach().cpu(), gradient(encoder, h.cpu()).cpu()
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-3 * other.abs().max().item())
    assert torch.equal(encoder(tokens.cuda(), offsets.cuda()).cpu(), found[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", PACKABLE)
def test_flash_attention_gives_the_same(
    kind: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash = mock.Mock(wraps=_attention._flash)
    monkeypatch.setattr(_attention, "_flash", flash)
    encoder = encoder_of(PACKABLE[kind])
    tokens, offsets = some_texts(encoder)
    expected = encoder(tokens, offsets)
    encoder.cuda()
    with torch.autocast("cuda", dtype):
        h = encoder(tokens, offsets)
    assert flash.called
    assert similar(h.cpu(), expected) > 0.999
    found = gradient(encoder, h.cpu()).cpu()
    encoder.cpu()
    assert similar(found, gradient(encoder, encoder(tokens, offsets))) > 0.995


def test_flash_attention_drops_with_the_rate_and_the_seed() -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    lengths = [100, 30, 7]
    packing = Packing(torch.tensor([0, *lengths]).cumsum(0), 100, torch.device("cuda"))
    shape = (1, 4, sum(lengths), 32)
    query, key = (torch.randn(shape, device="cuda", generator=generator).bfloat16() for _ in range(2))
    value = torch.ones(shape, device="cuda").bfloat16()  # so what comes out is the share that is kept

    def attend(seed: int, dropout: float) -> Tensor:
        torch.manual_seed(seed)
        module = torch.nn.Module()
        return _attention.attend(module, query, key, value, None, packing=packing, dropout=dropout)[0]

    assert torch.equal(attend(0, 0.0), torch.ones_like(attend(0, 0.0)))
    assert torch.equal(attend(1, 0.25), attend(1, 0.25))
    assert not torch.equal(attend(1, 0.25), attend(2, 0.25))
    assert attend(1, 0.25).float().mean().item() == pytest.approx(1.0, abs=0.02)
    assert attend(1, 0.25).float().std().item() > 0.02


def test_a_model_embeds_as_on_the_cpu() -> None:
    bert = encoder_of(tiny_bert)
    texts = [text for text in TEXTS if text]
    on_gpu = EmbeddingModel(copy.deepcopy(bert).cuda()).encode(texts)
    assert torch.allclose(torch.tensor(on_gpu), torch.tensor(EmbeddingModel(bert).encode(texts)), atol=1e-4)
