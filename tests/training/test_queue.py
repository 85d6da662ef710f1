"""The queue of negatives against lists in plain numpy, and a run with one that goes on exactly."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from llmagentos.encoder import Encoder, StaticEncoder, TransformerEncoder
from llmagentos.tokens import TokenBatch, TokenStore
from llmagentos.training import Budget, Metrics, TrainingConfig, read_metrics
from llmagentos.training._queue import NegativeQueue
from llmagentos.training._ranks import ALONE
from llmagentos.training._run import Run
from llmagentos.views import Views, ViewsConfig

from .small import CONFIG, VIEWS, bert, make_store, make_texts, same_weights, static, train, word_tokenizer

Array = npt.NDArray[np.float64]
MOMENTUM = 0.75


def batches(store: TokenStore, size: int, number: int) -> Iterator[tuple[TokenBatch, Any, Any]]:
    for step in range(number):
        indices = np.arange(step * size, (step + 1) * size)
        pairs = Views(store, VIEWS).views(indices, seed=0, epoch=0, max_tokens=20)
        yield pairs.a, pairs.hashes, pairs.hashes // np.uint64(7)  # any groups


def changed(encoder: StaticEncoder) -> StaticEncoder:
    """As an update does."""
    with torch.no_grad():
        encoder.embedding.add_(torch.randn(encoder.embedding.shape))
    return encoder


def unit_means(table: Array, batch: TokenBatch) -> list[Array]:
    ends = zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
    means = [table[batch.tokens[start:end]].mean(0) for start, end in ends]
    return [mean / np.linalg.norm(mean) for mean in means]


@pytest.mark.parametrize(("size", "batch_size"), [(10, 4), (8, 4), (3, 4), (1, 2), (100, 4)])
def test_the_newest_texts_as_the_slow_copy_sees_them(store: TokenStore, size: int, batch_size: int) -> None:
    torch.manual_seed(0)
    encoder = static(store.tokenizer)
    queue = NegativeQueue(encoder, size, MOMENTUM, "fp32", ALONE)
    assert queue.vectors.shape == (0, 16) and len(queue.hashes) == 0
    table = encoder.embedding.detach().double().numpy().copy()
    vectors: list[Array] = []
    hashes: list[int] = []
    for batch, new, groups in batches(store, batch_size, 6):
        queue.follow(changed(encoder), batch, new, groups)
        table = MOMENTUM * table + (1 - MOMENTUM) * encoder.embedding.detach().double().numpy()
        vectors = [*vectors, *unit_means(table, batch)[:size]][-size:]
        hashes = [*hashes, *new.tolist()[:size]][-size:]
        # In which order they lie is the queue's own affair.
        order, expected = np.argsort(queue.hashes), np.argsort(np.array(hashes, np.uint64))
        assert np.array_equal(queue.groups, queue.hashes // np.uint64(7))
        assert queue.hashes[order].tolist() == np.array(hashes, np.uint64)[expected].tolist()
        assert queue.vectors.shape == (len(hashes), 16) and queue.vectors.dtype == torch.float32
        assert np.abs(queue.vectors.numpy()[order] - np.array(vectors)[expected]).max() < 1e-5
    assert len(hashes) == min(size, 6 * batch_size)
    assert not queue.vectors.requires_grad


def test_no_momentum_is_the_encoder_itself(store: TokenStore) -> None:
    encoder = static(store.tokenizer)
    queue = NegativeQueue(encoder, 4, 0.0, "fp32", ALONE)
    for batch, hashes, groups in batches(store, 4, 1):
        queue.follow(changed(encoder), batch, hashes, groups)
        expected = np.array(unit_means(encoder.embedding.detach().double().numpy(), batch))
    assert np.abs(queue.vectors.numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("number", [0, 2, 5])
def test_state_and_back(store: TokenStore, number: int) -> None:
    encoder = static(store.tokenizer)
    queue, other = (NegativeQueue(encoder, 10, MOMENTUM, "fp32", ALONE) for _ in range(2))
    for batch, hashes, groups in batches(store, 4, number):
        queue.follow(changed(encoder), batch, hashes, groups)
    other.load({name: tensor.clone() for name, tensor in queue.state().items()})
    for _ in range(2):
        assert torch.equal(queue.vectors, other.vectors)
        assert np.array_equal(queue.groups, other.groups)
        assert np.array_equal(queue.hashes, other.hashes) and other.hashes.dtype == np.uint64
        for batch, hashes, groups in batches(store, 4, 1):
            changed(encoder)
            queue.follow(encoder, batch, hashes, groups)
            other.follow(encoder, batch, hashes, groups)


def test_the_copy_has_no_dropout_and_no_gradient(tmp_path: Path) -> None:
    encoder = bert().train()
    store = make_store(tmp_path / "store", make_texts(8), encoder.tokenizer)
    queue = NegativeQueue(encoder, 4, 0.0, "fp32", ALONE)
    ((batch, hashes, groups),) = batches(store, 4, 1)
    for _ in range(2):
        queue.follow(encoder, batch, hashes, groups)
        tokens, offsets = torch.from_numpy(batch.tokens).long(), torch.from_numpy(batch.offsets)
        h = encoder.eval()(tokens, offsets)
        torch.testing.assert_close(queue.vectors, torch.nn.functional.normalize(h.detach(), dim=1))
        assert all(parameter.grad is None for parameter in encoder.parameters())
        encoder.train()


def test_the_copy_takes_no_more_at_once_than_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, seen = TransformerEncoder._embed, []

    def watched(self: TransformerEncoder, *texts: npt.NDArray[np.int64]) -> Tensor:
        seen.append(int(texts[-1].sum()))
        return embed(self, *texts)

    encoder = bert()
    store = make_store(tmp_path / "store", make_texts(40), encoder.tokenizer)
    monkeypatch.setattr(TransformerEncoder, "_embed", watched)
    train(
        encoder,
        store,
        tmp_path / "run",
        config=replace(CONFIG, queue_size=32, micro_batch_tokens=48),
        steps=2,
    )
    assert max(seen) <= 48


@pytest.mark.parametrize("kind", ["static", "bert"])
def test_a_stopped_run_goes_on_exactly(tmp_path: Path, kind: str) -> None:
    whole: Encoder = static(word_tokenizer()) if kind == "static" else bert()
    stopped = copy.deepcopy(whole)
    store = make_store(tmp_path / "store", make_texts(60), whole.tokenizer)
    rate = 0.01 if kind == "static" else 1e-3
    # Not a multiple of the batch, and full only after the checkpoint from which the run goes on.
    config = replace(CONFIG, queue_size=100, queue_momentum=0.9, learning_rate=rate)

    def stop(row: Metrics) -> None:
        if row.step == 8:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"config": config, "views": Views(store, ViewsConfig(preset="noisy"))}
    train(whole, store, tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, store, tmp_path / "stopped", on_metrics=stop, **options)
    with torch.no_grad():
        for parameter in stopped.parameters():
            parameter.add_(1)
    train(stopped, store, tmp_path / "stopped", resume=True, **options)
    assert same_weights(whole, stopped)
    left, right = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "stopped"))
    assert [row.loss for row in left] == [row.loss for row in right]


def test_more_negatives_make_the_task_harder(store: TokenStore, tmp_path: Path) -> None:
    losses = []
    for size in (0, 64):
        config = replace(CONFIG, queue_size=size, learning_rate=1e-6)
        train(static(store.tokenizer), store, tmp_path / str(size), config=config, steps=6)
        losses.append([row.loss for row in read_metrics(tmp_path / str(size) / "metrics.jsonl")])
    without, queue = losses
    assert queue[0] == without[0]  # empty at the first step
    assert all(more > less for more, less in zip(queue[1:], without[1:], strict=True))


def test_the_settings_of_the_queue() -> None:
    config = TrainingConfig(queue_size=3, queue_momentum=0.5).resolved(pretrained=False)
    assert (config.queue_size, config.queue_momentum) == (3, 0.5)
    assert TrainingConfig().resolved(pretrained=True).queue_size == 0
    for wrong in ({"queue_size": -1}, {"queue_momentum": 1.0}, {"queue_momentum": -0.1}):
        with pytest.raises(ValueError):
            TrainingConfig(**wrong)


def test_the_copy_has_no_gradients(tmp_path: Path) -> None:
    config = replace(CONFIG, queue_size=8)
    store = make_store(tmp_path / "store", make_texts(40))
    encoder = static(word_tokenizer())
    run = Run(encoder, config, Budget(steps=1), tmp_path / "run", len(store), {}, resume=False, ranks=ALONE)
    assert run.queue is not None and all(p.grad is None for p in run.queue._copy.parameters())
    assert all(p.grad is not None for p in encoder.parameters())
