"""Our side of a comparison, in a process of its own: train on pairs, and say how long it took.

python -m benchmarks.training._ours '{"pairs": ..., "result": ..., "batch_size": 64, ...}'
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn import functional

from benchmarks.training._pairs import PairViews, read_pairs, settings, untouched
from llmagentos.corpus import Document
from llmagentos.encoder import Encoder, StaticEncoder, TransformerEncoder, load_encoder
from llmagentos.loss import NTXentLoss
from llmagentos.model import EmbeddingModel
from llmagentos.tokens import build_store
from llmagentos.training import Budget, Metrics, TrainingConfig, _step, train_encoder

# What a step gains, one thing after the other; each stage has those before it.
STAGES = ("one padded batch, fp32", "bf16", "micro-batches by length", "packed, own attention", "all")


def main(told: dict[str, Any]) -> None:
    """Train, and write seconds of each step, metrics and quality to the file `result`."""
    torch.set_num_threads(told["threads"])
    pairs = read_pairs(Path(told["pairs"]))
    encoder = make_encoder(told)
    folder = Path(told["folder"])
    started = time.perf_counter()
    texts = [text for pair in pairs for text in pair]
    documents = [Document(id=str(number), text=text) for number, text in enumerate(texts)]
    store = build_store(documents, encoder.tokenizer, folder / "store")
    store_seconds = time.perf_counter() - started
    if len(store) != len(texts):
        raise RuntimeError(f"{len(texts) - len(store)} of the texts have no token")
    config = TrainingConfig(
        batch_size=told["batch_size"],
        learning_rate=told["learning_rate"],
        max_tokens=told["max_tokens"],
        warmup_steps=0,
        seed=told["seed"],
        precision=told["precision"],
        checkpoint_steps=10**9,
        compile=told.get("compile", False),
        micro_batch_tokens=None if STAGES.index(told.get("stage", STAGES[-1])) >= 2 else 10_000_000,
    ).resolved(pretrained=not isinstance(encoder, StaticEncoder))
    seen: list[float] = []
    stamps: list[tuple[int, float]] = []
    qualities: dict[int, float] = {}
    rows: list[dict[str, Any]] = []
    paused = 0.0

    def on_metrics(row: Metrics) -> None:
        nonlocal paused
        now = time.perf_counter()
        seen.append(now)
        stamps.append((row.step, now - paused))
        rows.append(asdict(row))
        if row.step in told["measured_at"]:
            mode = encoder.training
            qualities[row.step] = quality(EmbeddingModel(encoder), Path(told["heldout"]))
            encoder.train(mode)
        paused += time.perf_counter() - now

    started = time.perf_counter()
    with stage(encoder, told.get("stage", STAGES[-1])):
        train_encoder(
            encoder,
            PairViews(store, untouched()),
            len(pairs),
            NTXentLoss(told["temperature"]),
            config,
            Budget(steps=told["steps"]),
            folder / "run",
            on_metrics=on_metrics,
        )
    # The first row warms up; the time of one that follows a measurement of quality holds that as well.
    longer = [
        (after - before) / (end - begin)
        for (before, after), ((_, begin), (_, end)) in zip(pairwise(seen), pairwise(stamps), strict=True)
    ]
    speeds = list(zip(rows[1:], longer, strict=True))
    # Those of a step, special ones included, from how fast they went.
    tokens = [row["tokens_per_second"] * told["batch_size"] / row["texts_per_second"] for row in rows]
    result = {
        "stored": len(store),
        "tokens": tokens,
        "store_seconds": store_seconds,
        "step_seconds": spread([(0, started), *stamps]),
        "losses": [row["loss"] for row in rows],
        "padding": sum(row["padding"] for row in rows) / len(rows),
        "flop_utilisation": statistics.median(row["flop_utilisation"] * more for row, more in speeds),
        "tokens_per_second": statistics.median(row["tokens_per_second"] * more for row, more in speeds),
        "recomputed": sum(row["recomputed"] for row in rows) / len(rows),
        "qualities": qualities,
    }
    Path(told["result"]).write_text(json.dumps(result), encoding="utf-8")


def spread(stamps: list[tuple[int, float]]) -> list[float]:
    """Seconds of each step, from when some of them ended: those between two share their time."""
    seconds: list[float] = []
    for (step, begun), (next_step, ended) in pairwise(stamps):
        seconds += [(ended - begun) / (next_step - step)] * (next_step - step)
    return seconds


def make_encoder(told: dict[str, Any]) -> Encoder:
    """all-MiniLM-L6-v2, a model folder, or a static encoder with MiniLM's tokenizer."""
    if told["encoder"] == "static":
        tokenizer = load_encoder("minilm").tokenizer
        return StaticEncoder(tokenizer, told["dimension"], seed=told["seed"])
    encoder = load_encoder(told["encoder"]).to(told.get("device", "cpu"))
    without_dropout(encoder, told)
    return encoder


def without_dropout(model: nn.Module, told: dict[str, Any]) -> None:
    """Switch dropout off where that is asked for; BERT's attention reads its rate from such a module too."""
    for module in model.modules():
        if isinstance(module, nn.Dropout) and not told.get("dropout", True):
            module.p = 0.0


@torch.inference_mode()
def quality(model: Any, heldout: Path) -> float:
    """Cross-entropy of finding each second view by its first among all, nats; lower is better."""
    pairs = read_pairs(heldout)
    a, b = (
        functional.normalize(torch.as_tensor(model.encode(side)), dim=1) for side in zip(*pairs, strict=True)
    )
    return functional.cross_entropy(a @ b.T / 0.05, torch.arange(len(pairs))).item()


@contextmanager
def stage(encoder: Encoder, name: str) -> Iterator[None]:
    """In here a step has only what it had gained by then."""
    reached = STAGES.index(name)
    with ExitStack() as without:
        if reached < 4:
            plain = mock.patch.object(_step, "CheaperFunctions", lambda **_: nullcontext())
            without.enter_context(plain)
        if reached < 3 and isinstance(encoder, TransformerEncoder):
            encoder.packs = False
        yield


if __name__ == "__main__":
    main(settings(sys.argv))
