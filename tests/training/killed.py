"""Runs that are killed, for test_resume.py: `python -m tests.training.killed FOLDER SEED`.

Importing torch and transformers takes seconds, so one process does that and forks one child a run.
It trains nothing itself, and so has no threads that a fork would lose.
"""

import os
import random
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save_file

from llmagentos.corpus import Document
from llmagentos.encoder import Encoder, StaticEncoder, TransformerEncoder
from llmagentos.errors import OutputError
from llmagentos.loss import NTXentLoss
from llmagentos.tokens import TokensConfig, TokenStore, train_tokenizer
from llmagentos.training import (
    Budget,
    Metrics,
    ResolvedTrainingConfig,
    _checkpoint,
    latest_checkpoint,
    read_metrics,
    train_encoder,
)
from llmagentos.training._micro_batches import MicroBatches
from llmagentos.views import Views, ViewsConfig
from tests.encoder.tiny import tiny_bert

from .children import fork
from .small import CONFIG, Hungry, bert_of, make_store, make_texts

CASES = ["static-adamw", "static-sgd", "bert-adamw", "bert-sgd"]
STEPS, CHECKPOINT_STEPS = 22, 5
EVERYTHING = ViewsConfig(
    crop_min=0.3,
    crop_max=0.9,
    sentence_reordering=0.5,
    word_replacement=0.3,
    word_swap=0.3,
    word_deletion=0.2,
    repetition=0.2,
    character_noise=0.3,
)
# Each word has the one behind it as a related word.
RELATED = {word: [other] for text in make_texts(8) for word, other in pairwise(text.split())}


def build(case: str) -> tuple[Encoder, ResolvedTrainingConfig]:
    """The encoder and the settings of a case: static or bert, adamw or sgd."""
    kind, optimizer = case.split("-")
    torch.manual_seed(0)
    encoder: Encoder
    if kind == "static":
        documents = [Document(id=str(n), text=text) for n, text in enumerate(make_texts(70))]
        encoder = StaticEncoder(train_tokenizer(documents, TokensConfig(vocabulary_size=300)), 16)
        rate = 0.01 if optimizer == "adamw" else 0.5
    else:
        encoder = TransformerEncoder(*tiny_bert())  # with dropout
        rate = 0.002 if optimizer == "adamw" else 0.1
    config = replace(
        CONFIG,
        optimizer="sgd" if optimizer == "sgd" else "adamw",
        learning_rate=rate,
        weight_decay=0.01,
        checkpoint_steps=CHECKPOINT_STEPS,
    )
    return encoder, config


def run(
    encoder: Encoder,
    config: ResolvedTrainingConfig,
    store: TokenStore,
    folder: Path,
    *,
    resume: bool = False,
    on_metrics: Callable[[Metrics], None] | None = None,
    recipe: ViewsConfig = EVERYTHING,
) -> None:
    """Train to the end and write the weights."""
    if resume and latest_checkpoint(folder / "checkpoints"):  # what is in memory is not what counts
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.add_(1)
    views = Views(store, recipe, related=RELATED)
    train_encoder(
        encoder,
        views,
        len(store),
        NTXentLoss(0.1),
        config,
        Budget(steps=STEPS),
        folder,
        resume=resume,
        on_metrics=on_metrics,
    )
    save_file(encoder.state_dict(), folder / "final.safetensors")


def die() -> None:
    """As `kill -9` does it."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(step: int) -> Callable[[Metrics], None]:
    """Die when that step is done."""

    def on_metrics(row: Metrics) -> None:
        if row.step == step:
            die()

    return on_metrics


def die_while_writing(half: int) -> None:
    """Die in the middle of the first checkpoint of this process, before its file is whole."""

    def write_half(tensors: dict[str, torch.Tensor], path: Path) -> None:
        save_file(tensors, path)
        os.truncate(path, half)
        die()

    mock.patch.object(_checkpoint, "save_file", write_half).start()


def killed_again_and_again(folder: Path, case: str, seed: int) -> None:
    """One run that nothing disturbs, and one that is killed at random steps and while it writes."""
    encoder, config = build(case)
    store = make_store(folder / "store", make_texts(70), encoder.tokenizer)
    assert fork(lambda: run(encoder, config, store, folder / "whole")) == 0
    chance = random.Random(f"{case} {seed}")
    steps = sorted(chance.sample(range(1, STEPS + 1), 3))
    for step in steps:
        dying = partial(run, encoder, config, store, folder / "killed", resume=True, on_metrics=die_at(step))
        status = fork(dying)
        # A step that the checkpoint before already has is never done again.
        assert status in (-signal.SIGKILL, 0), status

    def writing() -> None:
        die_while_writing(half=chance.randrange(2000))
        run(encoder, config, store, folder / "writing", resume=True)

    assert fork(writing) == -signal.SIGKILL
    for name in ("killed", "writing"):
        shutil.rmtree(folder / name / "tensorboard", ignore_errors=True)
        assert fork(partial(run, encoder, config, store, folder / name, resume=True)) == 0


def full_disk(folder: Path) -> None:
    """Runs on a disk that is full at once, at the first checkpoint, and at the third."""
    encoder, config = build("static-adamw")
    store = make_store(folder / "store", make_texts(70), encoder.tokenizer)

    def limited(limit: int, from_step: int) -> None:
        def limit_files(row: Metrics | None = None) -> None:
            if row is None or row.step == from_step:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        if from_step == 0:
            limit_files()
        try:
            run(encoder, config, store, folder / f"{limit}-{from_step}", on_metrics=limit_files)
        except OutputError as error:
            print(error, flush=True)

    for limit, from_step in ((100, 0), (10_000, 0), (10_000, 12)):
        assert fork(partial(limited, limit, from_step)) == 0
    assert fork(lambda: run(encoder, config, store, folder / "10000-12", resume=True)) == 0
    assert fork(lambda: run(encoder, config, store, folder / "whole")) == 0
    assert [row.step for row in read_metrics(folder / "10000-12" / "metrics.jsonl")] == list(
        range(1, STEPS + 1)
    )


def out_of_memory(folder: Path) -> None:
    """Runs for which memory runs out at the same step, and that are killed later, and at that very moment."""
    encoder = bert_of(Hungry)
    store = make_store(folder / "store", make_texts(70), encoder.tokenizer)
    config = replace(CONFIG, learning_rate=0.002, checkpoint_steps=CHECKPOINT_STEPS, micro_batch_tokens=256)

    def go(name: str, *, dies_after: int = 0, at_once: bool = False, resume: bool = False) -> None:
        def on_metrics(row: Metrics) -> None:
            if row.step == 7 and not resume:
                encoder.most = 130
            if row.step == dies_after:
                die()

        if at_once:
            lower = MicroBatches.lower

            def lower_and_die(*arguments: Any) -> None:
                lower(*arguments)
                die()

            mock.patch.object(MicroBatches, "lower", lower_and_die).start()
        with_dropout = ViewsConfig(preset="noisy")
        run(encoder, config, store, folder / name, resume=resume, on_metrics=on_metrics, recipe=with_dropout)

    assert fork(lambda: go("whole")) == 0
    for name, dies_after in (("soon", 9), ("later", 13)):
        assert fork(partial(go, name, dies_after=dies_after)) == -signal.SIGKILL
        assert fork(partial(go, name, resume=True)) == 0
    assert fork(lambda: go("at once", at_once=True)) == -signal.SIGKILL
    assert fork(lambda: go("at once", resume=True)) == 0


if __name__ == "__main__":
    for case in CASES:
        killed_again_and_again(Path(sys.argv[1]) / case, case, int(sys.argv[2]))
    full_disk(Path(sys.argv[1]) / "full-disk")
    out_of_memory(Path(sys.argv[1]) / "out-of-memory")
