"""The six steps against a float64 reference in plain numpy, written from the formulas."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from llmagentos.tokens import TokenBatch, TokenStore
from llmagentos.training import ResolvedTrainingConfig, read_metrics
from llmagentos.training._order import batch_at
from llmagentos.views import Views

from .small import CONFIG, VIEWS, make_store, make_texts, static, train

Array = npt.NDArray[np.float64]
STEPS, TEMPERATURE = 12, 0.1


def encode(table: Array, batch: TokenBatch) -> Array:
    """h = mean of the rows of the table."""
    ends = zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
    return np.array([table[batch.tokens[start:end]].mean(0) for start, end in ends])


def loss_and_gradient(h: Array, hashes: npt.NDArray[np.uint64]) -> tuple[float, Array]:
    """NT-Xent of 2N views, texts with the same hash left out, and its gradient."""
    count = len(h)
    norms = np.linalg.norm(h, axis=1, keepdims=True)
    z = h / norms
    s = z @ z.T / TEMPERATURE
    total, g = 0.0, np.zeros_like(s)
    for i in range(count):
        positive = (i + count // 2) % count
        text = hashes[i % (count // 2)]
        others = [k for k in range(count) if k == positive or (k != i and hashes[k % (count // 2)] != text)]
        p = np.exp(s[i, others] - s[i, others].max())
        p /= p.sum()
        total -= np.log(p[others.index(positive)])
        g[i, others] += p
        g[i, positive] -= 1
    dz = (g + g.T) @ z / (count * TEMPERATURE)
    return total / count, (dz - z * (z * dz).sum(1, keepdims=True)) / norms


def reference(
    store: TokenStore, views: Views, table: Array, config: ResolvedTrainingConfig
) -> tuple[list[float], Array]:
    """Losses of all steps and the table at the end."""
    losses, first, second, momentum = [], np.zeros_like(table), np.zeros_like(table), np.zeros_like(table)
    batch_size, peak, warmup = config.batch_size, config.learning_rate, STEPS // 10
    for step in range(STEPS):
        epoch, indices = batch_at(step, batch_size=batch_size, size=len(store), seed=config.seed)
        pairs = views.views(indices, seed=config.seed, epoch=epoch, max_tokens=config.max_tokens)
        h = np.concatenate([encode(table, pairs.a), encode(table, pairs.b)])
        loss, dh = loss_and_gradient(h, pairs.hashes)
        losses.append(loss)
        gradient = np.zeros_like(table)
        row = 0
        for batch in (pairs.a, pairs.b):
            for start, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
                for token in batch.tokens[start:end]:
                    gradient[token] += dh[row] / (end - start)
                row += 1
        gradient *= min(1.0, config.max_gradient_norm / (float(np.linalg.norm(gradient)) + 1e-6))
        rate = peak * (step + 1) / warmup if step < warmup else peak * (STEPS - step) / (STEPS - warmup)
        if config.optimizer == "sgd":
            momentum = 0.9 * momentum + gradient + config.weight_decay * table
            table = table - rate * momentum
            continue
        table = table * (1 - rate * config.weight_decay)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8
        table = table - rate * first / (1 - 0.9 ** (step + 1)) / corrected
    return losses, table


@pytest.mark.parametrize(
    "config",
    [
        replace(CONFIG, weight_decay=0.1, max_gradient_norm=0.05),
        replace(CONFIG, optimizer="sgd", weight_decay=0.01, learning_rate=0.3),
    ],
    ids=["adamw", "sgd"],
)
def test_six_steps(tmp_path: Path, config: ResolvedTrainingConfig) -> None:
    # 40 different texts among 100: most batches hold the same text twice.
    store = make_store(tmp_path / "store", make_texts(40) * 2 + make_texts(20))
    encoder, views = static(store.tokenizer), Views(store, VIEWS)
    table = encoder.embedding.detach().double().numpy().copy()
    losses, expected = reference(store, views, table, config)
    train(encoder, store, tmp_path / "run", config=config, views=views, steps=STEPS)
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [row.loss for row in rows] == pytest.approx(losses, rel=1e-5)
    errors = np.abs(encoder.embedding.detach().numpy() - expected)
    # AdamW makes every gradient as long as the learning rate, also one that is only rounding.
    assert np.quantile(errors, 0.99) < 1e-5 and errors.max() < 1e-3
    assert np.abs(expected - table).max() > 0.01
