"""What is kept of the start."""

from pathlib import Path

import torch

from llmagentos.encoder import StaticEncoder, load_encoder
from llmagentos.training import interpolate

from ..encoder.tiny import save_models, word_tokenizer


def test_every_weight_goes_back_by_its_share(tmp_path: Path) -> None:
    folder = save_models(tmp_path)["bert"]
    trained, start = load_encoder(folder), load_encoder(folder)
    with torch.no_grad():
        for weights in trained.parameters():
            weights.add_(torch.randn_like(weights))
    expected = {name: (0.7 * one).clone() for name, one in trained.named_parameters()}
    interpolate(trained, start, 0.3)
    for (name, one), (_, first) in zip(trained.named_parameters(), start.named_parameters(), strict=True):
        torch.testing.assert_close(one, expected[name] + 0.3 * first)


def test_a_share_of_nothing_changes_nothing() -> None:
    trained, start = (StaticEncoder(word_tokenizer(), dimension=8, seed=seed) for seed in (0, 1))
    before = trained.embedding.detach().clone()
    interpolate(trained, start, 0.0)
    assert torch.equal(trained.embedding, before)


def test_a_table_that_has_grown_stays() -> None:
    trained, start = (
        StaticEncoder(word_tokenizer(), dimension=8),
        StaticEncoder(word_tokenizer(), dimension=8),
    )
    trained.embedding = torch.nn.Parameter(torch.ones(len(start.embedding) + 3, 8))
    interpolate(trained, start, 0.5)
    assert (trained.embedding == 1).all()
