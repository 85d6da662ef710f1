"""Two processes that train together, for test_two.py: `python -m tests.training.two FOLDER`.

One process imports everything and forks the others: two that are the ranks of a run, and one that does the
same alone. Each writes what came of it; the test compares. Under `torchrun` it is a rank itself.
"""

import copy
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.distributed as dist
import torch.utils.tensorboard  # so that not every child imports it
from safetensors.torch import save_file

from llmagentos.corpus import Document
from llmagentos.encoder import Encoder
from llmagentos.errors import LLMAgentOSError
from llmagentos.loss import NTXentLoss, _ntxent, gathered, ntxent
from llmagentos.tokens import TokenStore, build_store
from llmagentos.training import (
    Budget,
    Ranks,
    ResolvedTrainingConfig,
    joined_ranks,
    latest_checkpoint,
    load_weights,
    train_encoder,
)
from llmagentos.views import ViewBatch, Views, ViewsConfig

from .children import ends, start
from .small import CONFIG, Hungry, bert_of, make_texts, static, word_tokenizer

STEPS, STOP = 8, 6
SGD = replace(
    CONFIG, batch_size=8, optimizer="sgd", learning_rate=0.03, checkpoint_steps=3, micro_batch_tokens=64
)
CROPS = ViewsConfig(preset="crop")
NO_CROPS = ViewsConfig(preset="sentence")  # so with dropout


@dataclass(frozen=True, kw_only=True)
class Case:
    """A run: kind of encoder, settings, how much hard negatives count, and which rank has little memory."""

    kind: str = "static"
    config: ResolvedTrainingConfig = SGD
    hardness: float = 0.0
    views: ViewsConfig = CROPS
    steps: int = STEPS
    hungry_rank: int | None = None


SHARDED = replace(SGD, shard=True)
QUEUE = replace(SGD, queue_size=40, queue_momentum=0.8)
CASES = {
    "static": Case(),
    "static-one-each": Case(config=replace(SGD, batch_size=2)),
    "bert": Case(kind="bert"),
    "static-queue": Case(config=QUEUE, hardness=2.0),
    "bert-queue": Case(kind="bert", config=QUEUE, hardness=2.0),
    "bert-frozen": Case(kind="bert", config=replace(SGD, freeze_layers=1), steps=3),
    "static-sharded": Case(config=SHARDED),
    "bert-sharded": Case(kind="bert", config=replace(SHARDED, weight_decay=0.01)),
    "bert-adamw-sharded": Case(
        kind="bert", config=replace(SHARDED, optimizer="adamw", learning_rate=1e-3), views=NO_CROPS
    ),
    "bert-hungry": Case(kind="bert", config=replace(SGD, micro_batch_tokens=256), hungry_rank=1, steps=3),
}
RESUMED = ["static-queue", "bert-sharded", "bert-adamw-sharded"]
EXACT = ["static-queue", "bert-adamw-sharded"]


@dataclass(frozen=True)
class Material:
    """Encoders from which all runs start, and the same texts for each."""

    encoders: dict[str, Encoder]
    stores: dict[str, TokenStore]

    @classmethod
    def of(cls, folder: Path, *kinds: str) -> "Material":
        """60 texts, of which each is there six times, and half of which belong to one of seven groups."""
        documents = [
            Document(id=str(n), text=text, group=f"session {n % 7}" if n % 2 else "")
            for n, text in enumerate(make_texts(10) * 6)
        ]
        encoders: dict[str, Encoder] = {
            kind: static(word_tokenizer()) if kind == "static" else bert_of(Hungry) for kind in kinds
        }
        stores = {
            kind: TokenStore(path)
            if (path := folder / f"{kind} store").exists()
            else build_store(documents, encoder.tokenizer, path)
            for kind, encoder in encoders.items()
        }
        return cls(encoders, stores)


class Watched(Views):
    """Views that remember what they were asked for, and end the process or the run at some step."""

    def __init__(self, *arguments: Any, stop: int = 0, die: int = 0) -> None:
        super().__init__(*arguments)
        self.asked: list[list[int]] = []
        self._stop, self._die = stop, die

    def views(self, indices: np.ndarray, **options: Any) -> ViewBatch:
        self.asked.append(indices.tolist())
        if len(self.asked) == self._die:
            os.kill(os.getpid(), signal.SIGKILL)
        if len(self.asked) == self._stop:
            raise KeyboardInterrupt
        return super().views(indices, **options)


def run(
    material: Material,
    name: str,
    folder: Path,
    ranks: Ranks,
    *,
    stop: int = 0,
    die: int = 0,
    resume: bool = False,
    seconds: float | None = None,
    **change: Any,
) -> None:
    """Train, and write this rank's weights, its share of the batches, and what it added up with others."""
    case = CASES[name]
    encoder = copy.deepcopy(material.encoders[case.kind])
    if case.hungry_rank is not None and ranks.size > 1 and isinstance(encoder, Hungry):
        encoder.most = 25 if ranks.rank == case.hungry_rank else encoder.most
    if resume:
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.add_(1)
    store = material.stores[case.kind]
    views = Watched(store, case.views, stop=stop, die=die)
    with mock.patch.object(dist, "all_reduce", wraps=dist.all_reduce) as all_reduce:
        train_encoder(
            encoder,
            views,
            len(store),
            NTXentLoss(0.1, hardness=case.hardness),
            replace(case.config, **change),
            Budget(steps=case.steps) if seconds is None else Budget(deadline=time.monotonic() + seconds),
            folder,
            resume=resume,
            ranks=ranks,
        )
    if case.config.shard:
        encoder = copy.deepcopy(material.encoders[case.kind])
        checkpoint = latest_checkpoint(folder / "checkpoints")
        assert checkpoint is not None
        load_weights(checkpoint, encoder)
    save_file(encoder.state_dict(), folder / f"weights-{ranks.rank}.safetensors")
    told = {
        "asked": views.asked,
        "reduced": [call.args[0].numel() for call in all_reduce.call_args_list],
        "slots": encoder.micro_batch_tokens,
        "trained": sum(p.numel() for p in encoder.parameters() if p.requires_grad),
    }
    (folder / f"told-{ranks.rank}.json").write_text(json.dumps(told))


# The loss alone.

LOSSES: dict[str, dict[str, Any]] = {
    "plain": {},
    "false negatives": {"hashes": True, "groups": True},
    "harder": {"hashes": True, "groups": True, "hardness": 3.0},
    "queue": {"hashes": True, "groups": True, "hardness": 3.0, "queue": True},
}
NUM_TEXTS, NUM_QUEUED, TEMPERATURE = 12, 9, 0.1


def loss_inputs() -> dict[str, Any]:
    """Texts of both ranks; the first of one is the third of the other, and two groups have texts of both."""
    generator = torch.Generator().manual_seed(0)
    h_a, h_b, queue = (
        torch.randn(rows, 5, generator=generator, dtype=torch.float64)
        for rows in (NUM_TEXTS, NUM_TEXTS, NUM_QUEUED)
    )
    hashes, groups = np.arange(1, NUM_TEXTS + 1, dtype=np.uint64), np.zeros(NUM_TEXTS, np.uint64)
    hashes[8] = hashes[0]
    groups[[1, 7, 9]] = 2**63 + 5
    groups[[2, 3, 11]] = 6
    queue_hashes = np.arange(20, 20 + NUM_QUEUED, dtype=np.uint64)
    queue_hashes[[0, 4]] = hashes[[0, 10]]
    return {"a": h_a, "b": h_b, "queue": queue, "hashes": hashes, "groups": groups, "queued": queue_hashes}


def losses(folder: Path, ranks: Ranks) -> None:
    """This rank's shares of the losses, and the gradients of its views."""
    given = loss_inputs()
    found: dict[str, torch.Tensor] = {}
    own = slice(None) if ranks.size == 1 else slice(ranks.rank * 6, ranks.rank * 6 + 6)
    for rows in (1024, 4):
        for name, wanted in LOSSES.items():
            h_a, h_b = (given[key][own].clone().requires_grad_() for key in "ab")
            options = {key: given[key] for key in ("hashes", "groups", "queue") if wanted.get(key)}
            if "queue" in options:
                options["queue_hashes"] = given["queued"]
            options["hardness"] = wanted.get("hardness", 0.0)
            with mock.patch.object(_ntxent, "_TILE_ROWS", rows):
                loss = ntxent(h_a, h_b, TEMPERATURE, process_group=ranks.group, **options)
                torch.autograd.backward(loss)
            assert h_a.grad is not None and h_b.grad is not None
            found |= {f"{name} {rows} loss": loss.detach(), f"{name} {rows} a": h_a.grad}
            found[f"{name} {rows} b"] = h_b.grad
    save_file(found, folder / f"losses-{ranks.rank}.safetensors")


def small_talk(folder: Path, ranks: Ranks) -> None:
    """What ranks tell each other."""
    keys = np.array([2**64 - 1 - ranks.rank, 7], np.uint64)
    hashes, groups = ranks.keys(keys, keys // np.uint64(2))
    layer = torch.nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    for parameter in layer.parameters():
        parameter.grad = torch.full_like(parameter, 1.0 + ranks.rank)
    sums = ranks.add_up(layer.parameters(), 0.5, float(ranks.rank))
    assert layer.weight.grad is not None and layer.bias.grad is not None
    told = {
        "first": ranks.from_first(5 + ranks.rank),
        "most": ranks.most(3 * ranks.rank),
        "text": ranks.tell("größer 更大" if ranks.is_first else "not this"),
        "nothing": ranks.tell(),
        "hashes": hashes.tolist(),
        "groups": groups.tolist(),
        "rows": gathered(torch.full((2, 1), ranks.rank), ranks.group).tolist(),
        "sums": sums,
        "gradients": [layer.weight.grad.tolist(), layer.bias.grad.tolist()],
    }
    (folder / f"small-talk-{ranks.rank}.json").write_text(json.dumps(told))


# Processes.


def start_two(action: Callable[[Ranks], None]) -> list[int]:
    """Run in two children, as `torchrun` would start them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    def joined(rank: int) -> None:
        os.environ |= {"TORCHELASTIC_RUN_ID": "two", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        os.environ |= {"MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)}
        with joined_ranks() as ranks:
            action(ranks)

    return [start(partial(joined, rank)) for rank in range(2)]


def refused(folder: Path, name: str, ranks: Ranks, attempt: Callable[[], None]) -> None:
    """Write the message of what must fail, and after how many seconds it came."""
    started = time.monotonic()
    try:
        attempt()
    except LLMAgentOSError as error:
        told = [type(error).__name__, str(error), time.monotonic() - started]
        (folder / f"{name}-{ranks.rank}.json").write_text(json.dumps(told))


def first_part(material: Material, folder: Path, ranks: Ranks) -> None:
    """All cases, and runs that are stopped."""
    small_talk(folder, ranks)
    losses(folder, ranks)
    refused(folder, "other", ranks, lambda: ranks.agree("encoder", f"weights {ranks.rank}"))
    refused(folder, "uneven", ranks, lambda: run(material, "static", folder / "uneven", ranks, batch_size=7))
    for name in CASES:
        run(material, name, folder / name, ranks)
    if ranks.size > 1:  # which see the time pass at different speeds
        run(material, "static", folder / "deadline", ranks, seconds=2.0 + 0.5 * ranks.rank)
    for name in RESUMED:
        try:
            run(material, name, folder / f"{name} stopped", ranks, stop=STOP)
        except KeyboardInterrupt:
            ranks.wait()


def second_part(material: Material, folder: Path, other: Path, ranks: Ranks) -> None:
    """Go on with what was stopped here, and with what the others had begun."""
    for name in RESUMED:
        for source, how in ((folder, "again"), (other, "moved")):
            if how == "again" and name not in EXACT:
                continue
            run_folder = folder / f"{name} {how}"
            if ranks.is_first:
                shutil.copytree(source / f"{name} stopped", run_folder)
            ranks.wait()
            run(material, name, run_folder, ranks, resume=True)


def third_part(material: Material, folder: Path, ranks: Ranks) -> None:
    """The second rank dies in its third step."""
    die = 3 if ranks.rank == 1 else 0
    refused(folder, "lost", ranks, lambda: run(material, "static", folder / "lost", ranks, die=die))


def hungry_part(material: Material, folder: Path, ranks: Ranks) -> None:
    """Memory runs out on both of a sharded run."""
    encoder = material.encoders["bert"]
    assert isinstance(encoder, Hungry)
    with mock.patch.object(Hungry, "most", 0):
        refused(
            folder, "sharded-hungry", ranks, lambda: run(material, "bert-sharded", folder / "hungry", ranks)
        )


def main(folder: Path) -> None:
    """All parts."""
    together, alone = folder / "together", folder / "alone"
    for path in (together, alone):
        path.mkdir()
    material = Material.of(folder, "static", "bert")
    children = start_two(lambda ranks: first_part(material, together, ranks))
    children.append(start(lambda: first_part(material, alone, Ranks())))
    assert ends(*children) == [0, 0, 0]
    children = start_two(lambda ranks: second_part(material, together, alone, ranks))
    children.append(start(lambda: second_part(material, alone, together, Ranks())))
    assert ends(*children) == [0, 0, 0]
    assert ends(*start_two(lambda ranks: hungry_part(material, together, ranks))) == [0, 0]
    assert ends(*start_two(lambda ranks: third_part(material, together, ranks))) == [0, -signal.SIGKILL]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if "TORCHELASTIC_RUN_ID" in os.environ:
        with joined_ranks() as ranks:
            torch.set_num_threads(1)
            run(Material.of(folder, "static"), "static", folder / "torchrun", ranks)
    else:
        main(folder)
