"""A run that goes on elsewhere: with other micro-batches, processes or threads, or beside old checkpoints."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from llmagentos.encoder import Encoder, StaticEncoder
from llmagentos.errors import OutputError, TrainingError
from llmagentos.tokens import TokenStore
from llmagentos.training import Budget, Metrics, latest_checkpoint, read_metrics, read_state
from llmagentos.training._micro_batches import MicroBatches
from llmagentos.training._ranks import Ranks

from .small import CONFIG, bert, make_store, make_texts, same_weights, static, train, word_tokenizer


def stopped(encoder: Encoder, store: TokenStore, folder: Path, step: int, **options: Any) -> None:
    """Train until that step."""

    def stop(row: Metrics) -> None:
        if row.step == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(encoder, store, folder, on_metrics=stop, **options)


def slots(folder: Path) -> list[list[int]]:
    told: list[list[int]] = json.loads((folder / "micro_batches.json").read_text())
    return told


def test_with_smaller_micro_batches_from_there_on(tmp_path: Path) -> None:
    encoder = bert()
    store = make_store(tmp_path / "store", make_texts(60), encoder.tokenizer)
    config = replace(CONFIG, micro_batch_tokens=256)
    stopped(encoder, store, tmp_path / "run", 8, config=config)
    last = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert last is not None
    step = read_state(last).step
    train(encoder, store, tmp_path / "run", config=replace(config, micro_batch_tokens=64), resume=True)
    assert slots(tmp_path / "run") == [[0, 256], [step, 64]]
    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1].step == 12


def test_larger_micro_batches_are_not_taken(tmp_path: Path) -> None:
    MicroBatches(tmp_path, 64, resume=False)
    assert MicroBatches(tmp_path, 2048, resume=True, step=5).at(5) == 64
    assert slots(tmp_path) == [[0, 64]]


class Sometimes(StaticEncoder):
    """A part of it is reached by some batches only, as layers that are dropped or experts are."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer, 16)
        self.part = torch.nn.Parameter(torch.linspace(-1, 1, 16))

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        h: Tensor = super().forward(tokens, offsets)
        return h + self.part if tokens.sum() % 3 == 2 else h


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_what_some_batches_do_not_reach(tmp_path: Path, optimizer: Any) -> None:
    config = replace(CONFIG, optimizer=optimizer)
    encoders = [Sometimes(word_tokenizer()) for _ in range(3)]
    store = make_store(tmp_path / "store", make_texts(60))
    train(encoders[0], store, tmp_path / "whole", config=config, steps=20)
    stopped(encoders[1], store, tmp_path / "run", 8, config=config, steps=20)
    train(encoders[2], store, tmp_path / "run", config=config, steps=20, resume=True)
    assert same_weights(encoders[0], encoders[2])


def test_fewer_steps_than_are_done(tmp_path: Path) -> None:
    encoder = static(word_tokenizer())
    store = make_store(tmp_path / "store", make_texts(60))
    stopped(encoder, store, tmp_path / "run", 8, budget=Budget(deadline=time.monotonic() + 600))
    with pytest.raises(TrainingError, match="has done 5 steps already, got 2; go on with more"):
        train(encoder, store, tmp_path / "run", steps=2, resume=True)


def test_a_batch_that_the_processes_cannot_share(tmp_path: Path) -> None:
    encoder = static(bert().tokenizer)
    store = make_store(tmp_path / "store", make_texts(7), encoder.tokenizer)
    stopped(encoder, store, tmp_path / "run", 8)
    # Refused before anything has to be said between the two.
    with pytest.raises(TrainingError, match="has 7 texts a step, which 2 processes cannot share evenly"):
        train(encoder, store, tmp_path / "run", resume=True, ranks=Ranks(size=2))


@pytest.mark.parametrize("size", [1, 2])
def test_threads_are_those_of_the_run_if_it_has_as_many_processes(
    store: TokenStore, tmp_path: Path, size: int
) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        stopped(static(store.tokenizer), store, tmp_path / "run", 8)
        torch.set_num_threads(2)
        ranks = Ranks(size=size)
        train(static(store.tokenizer), store, tmp_path / "run", resume=True, ranks=ranks)
        assert torch.get_num_threads() == size
        last = latest_checkpoint(tmp_path / "run" / "checkpoints")
        assert last is not None
        assert (read_state(last).num_threads, read_state(last).num_ranks) == (size, size)
    finally:
        torch.set_num_threads(threads)


def test_old_checkpoints_that_cannot_be_removed(
    store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(static(store.tokenizer), store, tmp_path / "run")
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(OutputError, match=r"of an earlier run in .* cannot be removed; remove them"):
        train(static(store.tokenizer), store, tmp_path / "run")
