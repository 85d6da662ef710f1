"""The training loop: the six steps of the seed, and what keeps them safe.

Everything random is a pure function of (seed, step), and everything that was decided on the way
(number of steps, threads) is in the checkpoint, so a run that was killed goes on bit for bit.
"""

import math
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from llmagentos.encoder import Encoder
from llmagentos.errors import NonFiniteLossError, TrainingError
from llmagentos.loss import NTXentLoss
from llmagentos.tokens import TokenBatch
from llmagentos.training._checkpoint import (
    RunState,
    latest_checkpoint,
    load_checkpoint,
    plain,
    resumable_state,
    save_checkpoint,
)
from llmagentos.training._config import Precision, ResolvedTrainingConfig
from llmagentos.training._monitor import CollapseAlarm, Metrics, diagnose, metrics_log
from llmagentos.training._order import batch_at
from llmagentos.training._step import StepGradient, autocast_to
from llmagentos.training._schedule import learning_rate_at
from llmagentos.views import ViewBatch, Views, text_keys

WARMUP_STEPS: Final = 20
"""Steps that are timed before `--minutes` becomes a number of steps."""
# The first steps warm caches and allocators up and are no measure of the rest.
_UNSETTLED_STEPS: Final = 5
_ROWS_PER_RUN: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """When a run ends: after a number of steps, or at a time.

    Attributes:
        steps: number of steps, or None.
        deadline: `time.monotonic()` at which the last step is to be done, or None. It is turned into
            a number of steps once: after 20 steps, or when half of the time is over if that is earlier.

    With neither, the run ends after `max_epochs`, and with a deadline at the latest then.
    """

    steps: int | None = None
    deadline: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """What a finished run did.

    Attributes:
        steps: steps done in all.
        epochs: passes over the texts, with a fraction.
        seconds: of training, over all restarts.
        checkpoint: the last one.
    """

    steps: int
    epochs: float
    seconds: float
    checkpoint: Path


def train_encoder(
    encoder: Encoder,
    views: Views,
    num_texts: int,
    loss: NTXentLoss,
    config: ResolvedTrainingConfig,
    budget: Budget,
    folder: Path,
    *,
    recipe: dict[str, Any] | None = None,
    resume: bool = False,
    on_metrics: Callable[[Metrics], None] | None = None,
) -> TrainingResult:
    """Train an encoder on pairs of views.

    Args:
        encoder: changed in place; on the device on which to train.
        views: makes the pairs.
        num_texts: texts in the store that `views` reads.
        loss: NT-Xent.
        config: from `TrainingConfig.resolved`.
        budget: when to end.
        folder: for checkpoints/, metrics.jsonl and tensorboard/; without `resume`, what an earlier
            run left there is replaced.
        recipe: plain values stored in each checkpoint beside the settings of training, views and
            loss; a resumed run must have the same.
        resume: go on from the newest checkpoint in `folder`, if there is one.
        on_metrics: called with every row of metrics, about 200 times a run.

    Returns:
        Steps, epochs, seconds and the last checkpoint.

    Raises:
        TrainingError: fewer than 2 texts; a checkpoint that does not belong to this run, or to one of
            another number of steps.
        NonFiniteLossError: the loss became NaN or infinite.
        CollapseError: all embeddings became one.
        OutputError: a checkpoint or the metrics cannot be written.
    """
    if num_texts < 2:
        raise TrainingError(f"contrastive learning needs at least 2 texts, got {num_texts}; give more text")
    batch_size = min(config.batch_size, num_texts)
    longest_run = config.max_epochs * (num_texts // batch_size)
    state = RunState(
        step=0,
        total_steps=longest_run if budget.steps is None else budget.steps,
        num_threads=torch.get_num_threads(),
        resolved=budget.deadline is None,
        config=plain(
            {
                "texts": num_texts,
                "training": asdict(config),
                "views": asdict(views.recipe),
                "loss": {"temperature": loss.temperature},
                **(recipe or {}),
            }
        ),
    )
    deadline = budget.deadline
    optimizer = make_optimizer(encoder, config)
    # Gradients below 6e-8 are zero in fp16, so they are made larger on the way (Micikevicius et al. 2018).
    scaler = torch.amp.GradScaler(encoder.device.type, enabled=config.precision == "fp16")
    checkpoints = folder / "checkpoints"
    checkpoint = latest_checkpoint(checkpoints) if resume else None
    if checkpoint is not None:
        stored = resumable_state(checkpoint, state.config)
        load_checkpoint(checkpoint, encoder, optimizer)
        if scaler.is_enabled():
            scaler.load_state_dict(stored.gradient_scale)
        torch.set_num_threads(stored.num_threads)
        # A run that was killed before its deadline had become a number of steps has a new deadline.
        if not stored.resolved:
            stored = replace(stored, total_steps=state.total_steps, resolved=state.resolved)
        elif budget.steps not in (None, stored.total_steps):
            raise TrainingError(
                f"the run in {folder} has {stored.total_steps} steps, got {budget.steps}; the learning "
                "rates were planned for those: go on without --steps, or train anew into another --out"
            )
        state, deadline = stored, None if stored.resolved else deadline
    else:
        shutil.rmtree(checkpoints, ignore_errors=True)

    # Two crops differ by themselves. Dropout on top of them made a step 1.2 times as long, and brought
    # nothing: all-MiniLM-L6-v2 on arXiv, 64 steps, MRR@10 95.1 with it and 95.3 without.
    encoder.train(not views.recipe.crops)
    step_gradient = StepGradient(encoder, loss, config.precision, scaler)
    clock = _Clock()
    with metrics_log(folder, state.step) as log:
        alarm = CollapseAlarm(log.first_deviation)
        while (step := state.step) < state.total_steps:
            planned = state.total_steps
            if deadline is not None and step > 0:  # no number of steps yet: a guess, by the fastest so far
                planned = min(step + 1 + clock.steps_until(deadline, at_best=True), longest_run)
            learning_rate = learning_rate_at(
                step, peak=config.learning_rate, warmup_steps=config.warmup_steps, total_steps=planned
            )
            # The six steps of the seed.
            epoch, indices = batch_at(step, batch_size=batch_size, size=num_texts, seed=config.seed)
            pairs = views.views(indices, seed=config.seed, epoch=epoch, max_tokens=config.max_tokens)
            optimizer.zero_grad(set_to_none=True)
            step_result = step_gradient(pairs, _step_seed(config.seed, step))
            h_a, h_b, batch_loss = step_result.h_a, step_result.h_b, step_result.loss
            scaler.unscale_(optimizer)
            gradient_norm = torch.nn.utils.clip_grad_norm_(encoder.parameters(), config.max_gradient_norm).item()
            update(optimizer, scaler, learning_rate)

            state = replace(state, step=step + 1, gradient_scale=scaler.state_dict())
            check_finite(batch_loss.item(), gradient_norm, scaler, state.step, config)
            clock.count(texts=batch_size, tokens=len(pairs.a.tokens) + len(pairs.b.tokens))
            settled = deadline is not None and clock.knows_the_speed(deadline)
            if deadline is not None and settled:
                planned = min(state.step + clock.steps_until(deadline), longest_run)
                state, deadline = replace(state, total_steps=planned, resolved=True), None
            last = state.step == state.total_steps
            save = not last and (settled or state.step % config.checkpoint_steps == 0)
            every = max(1, planned // _ROWS_PER_RUN)
            if last or save or state.step == 1 or state.step % every == 0:
                texts_per_second, tokens_per_second = clock.rates()
                row = Metrics(
                    step=state.step,
                    total_steps=state.total_steps,
                    epoch=epoch,
                    seconds=log.seconds + clock.seconds,
                    loss=batch_loss.item(),
                    gradient_norm=gradient_norm,
                    learning_rate=learning_rate,
                    texts_per_second=texts_per_second,
                    tokens_per_second=tokens_per_second,
                    **diagnose(h_a, h_b),
                )
                log.write(row)
                if on_metrics is not None:
                    on_metrics(row)
                alarm.check(row)
            # While the alarm waits for the next row, the checkpoint before stays the good one.
            if save and not alarm.waiting:
                save_checkpoint(checkpoints, encoder, optimizer, state)
        seconds = log.seconds + clock.seconds
    encoder.eval()
    checkpoint = save_checkpoint(checkpoints, encoder, optimizer, state)
    return TrainingResult(
        steps=state.step, epochs=state.step * batch_size / num_texts, seconds=seconds, checkpoint=checkpoint
    )


def make_optimizer(encoder: Encoder, config: ResolvedTrainingConfig) -> torch.optim.Optimizer:
    """The optimiser over everything that can be trained; decay on matrices only."""
    parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=0.9)
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def check_finite(
    loss: float,
    gradient_norm: float,
    scaler: torch.amp.GradScaler,
    step: int,
    config: ResolvedTrainingConfig,
) -> None:
    """Stop before a loss or a gradient that is no number can reach a checkpoint.

    In fp16 a gradient may be too large for once: that step was skipped and the scale lowered. Where it
    still is without any scale, the run is broken.
    """
    overflowed = scaler.is_enabled() and scaler.get_scale() >= 1
    for name, value in (("loss", loss), ("gradient's length", gradient_norm)):
        if not (math.isfinite(value) or (name != "loss" and overflowed)):
            precision = "" if config.precision == "fp32" else " or training.precision=fp32"
            raise NonFiniteLossError(
                f"the {name} became {value} at step {step}; try a learning rate lower than "
                f"{config.learning_rate:g} (training.learning_rate){precision}; the checkpoint before, if "
                "there was one, is kept"
            )


def update(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, learning_rate: float) -> None:
    """One step of Adam or SGD."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    scaler.step(optimizer)
    scaler.update()


class _Clock:
    """Seconds since the run began, the speed since the last look, and the time a step takes."""

    def __init__(self) -> None:
        self._start = self._looked = self._stepped = time.monotonic()
        self._texts = self._tokens = 0
        self._step_seconds: list[float] = []

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def count(self, *, texts: int, tokens: int) -> None:
        now = time.monotonic()
        self._texts, self._tokens = self._texts + texts, self._tokens + tokens
        if len(self._step_seconds) < WARMUP_STEPS:
            self._step_seconds.append(now - self._stepped)
        self._stepped = now

    def rates(self) -> tuple[float, float]:
        now = time.monotonic()
        seconds = max(now - self._looked, 1e-9)
        rates = self._texts / seconds, self._tokens / seconds
        self._looked, self._texts, self._tokens = now, 0, 0
        return rates

    def knows_the_speed(self, deadline: float) -> bool:
        """Whether it is time to turn the deadline into a number of steps."""
        now, num_steps = time.monotonic(), len(self._step_seconds)
        half_over = now - self._start >= (deadline - self._start) / 2
        return num_steps >= WARMUP_STEPS or (half_over and num_steps > _UNSETTLED_STEPS) or now >= deadline

    def steps_until(self, deadline: float, *, at_best: bool = False) -> int:
        """Steps left at the mean speed of the settled steps, or at the speed of the fastest one."""
        settled = self._step_seconds[_UNSETTLED_STEPS:] or self._step_seconds
        step_seconds = min(self._step_seconds, default=0.0) if at_best else sum(settled) / len(settled)
        return max(0, int((deadline - time.monotonic()) / max(step_seconds, 1e-9)))


def _step_seed(seed: int, step: int) -> int:
    return int(text_keys(seed, 0, np.array([step]))[0] >> np.uint64(1))
