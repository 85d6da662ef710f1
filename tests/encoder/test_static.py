"""The static encoder: means, their gradient, first vectors, and the folder it writes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from torch import Tensor

from llmagentos.encoder import StaticEncoder, load_encoder
from llmagentos.errors import ModelError

from .tiny import TEXTS, ragged, word_tokenizer


def batch(num_rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Ragged tokens with empty texts at the start, inside and at the end, and repeated tokens."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([0, 5, 1, 0, 0, 9, 300, 2, 0])
    offsets = torch.cat((torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)))
    return torch.randint(num_rows, (int(offsets[-1]),), generator=generator), offsets


def test_mean_and_gradient_equal_the_loop() -> None:
    encoder = StaticEncoder(word_tokenizer(), dimension=8)
    table = encoder.embedding
    tokens, offsets = batch(len(table))
    rows = []
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        rows.append(table[tokens[start:stop]].mean(0) if stop > start else torch.zeros(8))
    expected, actual = torch.stack(rows), encoder(tokens, offsets)
    torch.testing.assert_close(actual, expected)
    gradient = torch.randn(9, 8)
    torch.testing.assert_close(
        torch.autograd.grad(actual, table, gradient), torch.autograd.grad(expected, table, gradient)
    )


def test_empty_texts_and_empty_batches() -> None:
    encoder = StaticEncoder(word_tokenizer(), dimension=8)
    nothing = torch.zeros(0, dtype=torch.int64)
    assert encoder(nothing, torch.tensor([0])).shape == (0, 8)
    h = encoder(nothing, torch.tensor([0, 0, 0]))
    assert torch.equal(h, torch.zeros(2, 8))
    (gradient,) = torch.autograd.grad(h.sum(), encoder.embedding)
    assert not gradient.any()


def test_first_vectors() -> None:
    tokenizer = word_tokenizer()
    size = tokenizer.get_vocab_size()
    plain = StaticEncoder(tokenizer, dimension=400)
    assert plain.embedding.shape == (size, 400)
    assert plain.embedding.norm(dim=1).mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(plain.embedding, StaticEncoder(tokenizer, dimension=400).embedding)
    assert not torch.equal(plain.embedding, StaticEncoder(tokenizer, dimension=400, seed=1).embedding)

    weights = np.linspace(0, 2, size, dtype=np.float32)
    weighted = StaticEncoder(tokenizer, dimension=400, token_weights=weights)
    torch.testing.assert_close(
        weighted.embedding.detach(), plain.embedding.detach() * torch.from_numpy(weights)[:, None]
    )


def test_turned_vectors_have_the_same_cosines_and_say_most_at_first() -> None:
    encoder = StaticEncoder(word_tokenizer(), dimension=16)
    before = torch.nn.functional.normalize(encoder.embedding.detach().clone())
    generator = torch.Generator().manual_seed(0)
    scales = 0.7 ** torch.arange(16)
    h = torch.nn.functional.normalize(torch.randn(200, 16, generator=generator) * scales)
    rotated = StaticEncoder.from_table(word_tokenizer(), h.clone())
    rotated.turn_to_principal_axes(h)
    encoder.turn_to_principal_axes(h)
    after = torch.nn.functional.normalize(encoder.embedding.detach())
    torch.testing.assert_close(after @ after.T, before @ before.T)
    # The first k numbers hold what the best approximation of rank k does: its singular values.
    kept = rotated.embedding.detach().square().sum(0).cumsum(0)
    values = np.linalg.svd(h.numpy(), compute_uv=False)
    np.testing.assert_allclose(kept, np.cumsum(values**2), rtol=1e-4)
    again = StaticEncoder.from_table(word_tokenizer(), h.clone())
    again.turn_to_principal_axes(-h)
    torch.testing.assert_close(again.embedding, rotated.embedding)


def test_a_vocabulary_with_gaps_has_a_row_for_each_id(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "cat": 7}, unk_token="[UNK]"))
    encoder = StaticEncoder(tokenizer, dimension=4)
    assert encoder.embedding.shape == (8, 4)
    encoder.save(tmp_path)
    assert torch.equal(load_encoder(tmp_path)(*ragged(encoder, ["cat"])), encoder.embedding[7:])

    save_file({"embedding.weight": torch.zeros(7, 4)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"needs 8 rows but embedding.weight has only 7"):
        load_encoder(tmp_path)


def test_saved_and_loaded(tmp_path: Path) -> None:
    encoder = StaticEncoder(word_tokenizer(), dimension=12)
    encoder.save(tmp_path)
    assert not list(tmp_path.rglob("*.bin"))
    loaded = load_encoder(tmp_path)
    assert isinstance(loaded, StaticEncoder) and not loaded.training
    assert (loaded.dimension, loaded.max_tokens, loaded.name) == (12, None, str(tmp_path))
    assert torch.equal(loaded(*ragged(loaded, TEXTS)), encoder(*ragged(encoder, TEXTS)))
