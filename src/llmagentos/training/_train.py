"""The training loop: the six steps of the seed, and what keeps them safe.

Everything random is a pure function of (seed, step), and everything that was decided on the way
(number of steps, threads) is in the checkpoint, so a run that was killed goes on bit for bit.
"""

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from jaxtyping import Int64

from llmagentos.encoder import Encoder
from llmagentos.errors import OutputError, TrainingError
from llmagentos.loss import NTXentLoss, gathered
from llmagentos.training._budget import Budget, Clock, Plan, Speed
from llmagentos.training._checkpoint import (
    RunState,
    latest_checkpoint,
    load_checkpoint,
    plain,
    resumable_state,
    save_checkpoint,
)
from llmagentos.training._config import ResolvedTrainingConfig
from llmagentos.training._micro_batches import MicroBatches
from llmagentos.training._monitor import CollapseAlarm, Metrics, diagnose, metrics_log
from llmagentos.training._optimizer import check_finite, clipped_norm, make_optimizer, update
from llmagentos.training._order import batch_at
from llmagentos.training._peak import peak_flops
from llmagentos.training._queue import NegativeQueue
from llmagentos.training._ranks import ALONE, Ranks, told_of_others
from llmagentos.training._schedule import learning_rate_at
from llmagentos.training._sharding import check_can_shard, shard
from llmagentos.training._step import StepGradient, StepResult
from llmagentos.views import Recipe, ViewBatch, text_keys

_ROWS_PER_RUN: Final = 200
# What a run may go on with another value of, as micro_batches.json says.
_MAY_CHANGE: Final = ("micro_batch_tokens",)


class PairSource(Protocol):
    """What pairs come from: `Views`, or whatever else makes two views of each of some texts."""

    @property
    def recipe(self) -> Recipe:
        """How they are made; a resumed run must have the same."""

    def views(self, indices: Int64[np.ndarray, " b"], *, seed: int, epoch: int, max_tokens: int) -> ViewBatch:
        """See `Views.views`; the same arguments give the same pairs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """What a finished run did.

    Attributes:
        steps: steps done in all.
        batch_size: texts a step, over all ranks.
        epochs: passes over the texts, with a fraction.
        seconds: of training, over all restarts.
        checkpoint: the last one.
    """

    steps: int
    batch_size: int
    epochs: float
    seconds: float
    checkpoint: Path


@told_of_others()
def train_encoder(
    encoder: Encoder,
    views: PairSource,
    num_texts: int,
    loss: NTXentLoss,
    config: ResolvedTrainingConfig,
    budget: Budget,
    folder: Path,
    *,
    recipe: dict[str, Any] | None = None,
    resume: bool = False,
    on_metrics: Callable[[Metrics], None] | None = None,
    ranks: Ranks = ALONE,
) -> TrainingResult:
    """Train an encoder on pairs of views.

    Args:
        encoder: changed in place; on the device on which to train.
        views: makes the pairs.
        num_texts: texts in the store that `views` reads.
        loss: NT-Xent.
        config: from `TrainingConfig.resolved`.
        budget: when to end.
        folder: for checkpoints/, micro_batches.json, metrics.jsonl and tensorboard/; without `resume`,
            what an earlier run left there is replaced.
        recipe: plain values stored in each checkpoint beside the settings of training, views and
            loss; a resumed run must have the same.
        resume: go on from the newest checkpoint in `folder`, if there is one.
        on_metrics: called with every row of metrics, about 200 times a run; by the first rank.
        ranks: the processes that train together, from `joined_ranks`. All give the same arguments, and
            `folder` is the same to all.

    Returns:
        Steps, epochs, seconds and the last checkpoint.

    PyTorch's random numbers are seeded anew in each step, and its number of threads is that of the run.

    Raises:
        TrainingError: fewer than 2 texts; a batch that the ranks cannot share evenly; a checkpoint that does
            not belong to this run, or to one of another number of steps; memory ran out and the step cannot
            be done again; another process of the run has ended.
        ConfigError: `freeze_layers` or `shard` do not go with this encoder or these settings.
        NonFiniteLossError: the loss became NaN or infinite.
        CollapseError: all embeddings became one.
        OutputError: a checkpoint or the metrics cannot be written.
    """
    check_settings(config, ranks)
    trained = _Trained.begin(encoder, config, ranks)
    checkpoints = folder / "checkpoints"
    checkpoint = latest_checkpoint(checkpoints) if resume else None
    ranks.agree("last checkpoint", "none" if checkpoint is None else checkpoint.name)
    told = {
        "texts": num_texts,
        "training": {key: value for key, value in asdict(config).items() if key not in _MAY_CHANGE},
        "views": asdict(views.recipe),
        "loss": {"temperature": loss.temperature, "hardness": loss.hardness},
        **(recipe or {}),
    }
    state = RunState(
        step=0,
        total_steps=0,
        num_threads=torch.get_num_threads(),
        num_ranks=ranks.size,
        batch_size=_batch_size(config.batch_size, num_texts, ranks),
        config=plain(told),
        resolved=False,
    )
    if checkpoint is not None:
        state = _resumed(checkpoint, state, budget)
        trained.load(checkpoint, state)
        torch.set_num_threads(state.num_threads)
    elif ranks.is_first:
        _remove(checkpoints)
    batch_size = state.batch_size
    longest_run = config.max_epochs * (num_texts // batch_size)
    if not state.resolved:  # also of a run that was killed before its deadline had become a number of steps
        steps = longest_run if budget.steps is None else budget.steps
        state = replace(state, total_steps=steps, resolved=budget.deadline is None)
    micro_batches = MicroBatches(
        folder,
        config.micro_batch_tokens,
        resume=checkpoint is not None,
        step=state.step,
        write=ranks.is_first,
    )
    ranks.wait()  # for the first to have tidied up

    # Two crops differ by themselves. Dropout on top of them made a step 1.2 times as long, and brought
    # nothing: all-MiniLM-L6-v2 on arXiv, 64 steps, MRR@10 95.1 with it and 95.3 without.
    encoder.train(not views.recipe.crops)
    step_gradient = StepGradient(
        encoder,
        loss,
        config.precision,
        trained.scaler,
        ranks=ranks,
        queue=trained.queue,
        on_lowered=lambda slots: micro_batches.lower(state.step, slots),
    )
    peak = peak_flops(encoder.device, config.precision, torch.get_num_threads()) * ranks.size
    clock = Clock()
    plan = Plan(state.total_steps, None if state.resolved else budget.deadline, longest_run, clock, ranks)
    with metrics_log(folder, state.step) if ranks.is_first else nullcontext() as log:
        alarm = CollapseAlarm(None if log is None else log.first_deviation)
        while (step := state.step) < plan.total_steps:
            learning_rate = learning_rate_at(
                step,
                peak=config.learning_rate,
                warmup_steps=config.warmup_steps,
                total_steps=plan.steps_at(step),
            )
            if encoder.micro_batch_tokens is not None:
                encoder.micro_batch_tokens = micro_batches.at(step)
            # The six steps of the seed.
            epoch, indices = batch_at(step, batch_size=batch_size, size=num_texts, seed=config.seed)
            own = ranks.share(indices)
            pairs = views.views(own, seed=config.seed, epoch=epoch, max_tokens=config.max_tokens)
            hashes, groups = ranks.keys(pairs.hashes, pairs.groups)
            if step == 0:
                step_gradient.fit(pairs)
            seed = _step_seed(config.seed, step * ranks.size + ranks.rank)
            result = step_gradient(pairs, seed, hashes=hashes, groups=groups)
            gradient_norm = clipped_norm(trained.optimizer, trained.scaler, config.max_gradient_norm)
            update(trained.optimizer, trained.scaler, learning_rate)
            if trained.queue is not None:
                trained.queue.follow(encoder, pairs.a, hashes, groups)

            check_finite(result.loss, gradient_norm, trained.scaler, step + 1, config)
            clock.count(batch_size, result.work)
            settled = plan.settle(step + 1)
            state = replace(state, step=step + 1, total_steps=plan.total_steps, resolved=plan.resolved)
            last = state.step == plan.total_steps
            save = not last and (settled or state.step % config.checkpoint_steps == 0)
            every = max(1, plan.steps_at(step) // _ROWS_PER_RUN)
            due = last or save or state.step == 1 or state.step % every == 0
            everyones = [gathered(h, ranks.group) for h in (result.h_a, result.h_b)] if due else []
            if due and log is not None:
                row = _row(
                    state,
                    epoch,
                    log.seconds + clock.seconds,
                    result,
                    diagnose(*everyones),
                    gradient_norm,
                    learning_rate,
                    clock.speed(),
                    peak,
                )
                log.write(row)
                if on_metrics is not None:
                    on_metrics(row)
                alarm.check(row)
            # While the alarm waits for the next row, the checkpoint before stays the good one.
            if save and not ranks.from_first(int(alarm.waiting)):
                trained.save(checkpoints, state, ranks)
        seconds = clock.seconds + (0.0 if log is None else log.seconds)
    encoder.eval()
    trained.save(checkpoints, state, ranks)
    ranks.wait()
    checkpoint = latest_checkpoint(checkpoints)
    assert checkpoint is not None
    return TrainingResult(
        steps=state.step,
        batch_size=batch_size,
        epochs=state.step * batch_size / num_texts,
        seconds=seconds,
        checkpoint=checkpoint,
    )


@dataclass(frozen=True, slots=True)
class _Trained:
    """What training changes, and a checkpoint keeps."""

    encoder: Encoder
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    queue: NegativeQueue | None

    @classmethod
    def begin(cls, encoder: Encoder, config: ResolvedTrainingConfig, ranks: Ranks) -> "_Trained":
        """An encoder made ready, with all that belongs to it still empty."""
        encoder.freeze(config.freeze_layers)
        if ranks.size > 1:
            sums = [int(p.detach().flatten().view(torch.uint8).sum()) for p in encoder.parameters()]
            ranks.agree("encoder", f"sum of bytes {sum(sums)}")
        if config.shard and ranks.size > 1:
            shard(encoder, ranks)
        queue = None
        if config.queue_size:
            queue = NegativeQueue(encoder, config.queue_size, config.queue_momentum, config.precision, ranks)
        # Gradients below 6e-8 are zero in fp16, so they are made larger before (Micikevicius et al. 2018).
        scaler = torch.amp.GradScaler(encoder.device.type, enabled=config.precision == "fp16")
        return cls(encoder, make_optimizer(encoder, config), scaler, queue)

    def load(self, checkpoint: Path, state: RunState) -> None:
        """Put back what a checkpoint holds."""
        load_checkpoint(checkpoint, self.encoder, self.optimizer, self.queue)
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state.gradient_scale)

    def save(self, checkpoints: Path, state: RunState, ranks: Ranks) -> None:
        """Write a checkpoint, to which all ranks give their parts."""
        state = replace(state, gradient_scale=self.scaler.state_dict())
        save_checkpoint(checkpoints, self.encoder, self.optimizer, state, self.queue, write=ranks.is_first)


def _row(
    state: RunState,
    epoch: int,
    seconds: float,
    result: StepResult,
    diagnostics: dict[str, float],
    gradient_norm: float,
    learning_rate: float,
    speed: Speed,
    peak: float,
) -> Metrics:
    """What is told of a step."""
    return Metrics(
        step=state.step,
        total_steps=state.total_steps,
        epoch=epoch,
        seconds=seconds,
        loss=result.loss,
        gradient_norm=gradient_norm,
        learning_rate=learning_rate,
        texts_per_second=speed.texts,
        tokens_per_second=speed.tokens,
        padding=speed.padding,
        flop_utilisation=speed.flops / peak,
        recomputed=result.recomputed,
        **diagnostics,
    )


def _resumed(checkpoint: Path, begun: RunState, budget: Budget) -> RunState:
    """What the checkpoint says of the run, if it is the one that would begin now."""
    stored = resumable_state(checkpoint, begun.config)
    run = checkpoint.parent.parent
    if stored.resolved and budget.steps not in (None, stored.total_steps):
        raise TrainingError(
            f"the run in {run} has {stored.total_steps} steps, got {budget.steps}; the learning rates were "
            "planned for those: go on without --steps, or train anew into another --out"
        )
    if stored.batch_size % begun.num_ranks:
        raise TrainingError(
            f"the run in {run} has {stored.batch_size} texts a step, which {begun.num_ranks} processes "
            "cannot share evenly; go on with a number of processes that divides it"
        )
    if stored.num_ranks != begun.num_ranks:  # then sums differ anyway, and each has as many cores as it has
        return replace(stored, num_ranks=begun.num_ranks, num_threads=begun.num_threads)
    return stored


def _remove(checkpoints: Path) -> None:
    """Remove what an earlier run left."""
    shutil.rmtree(checkpoints, ignore_errors=True)
    if latest_checkpoint(checkpoints) is not None:
        raise OutputError(
            f"the checkpoints of an earlier run in {checkpoints} cannot be removed; remove them, or give "
            "another --out"
        )


def check_settings(config: ResolvedTrainingConfig, ranks: Ranks) -> None:
    """Refuse what these processes cannot do together, before anything else takes time.

    Raises:
        TrainingError: a batch that cannot be shared evenly.
        ConfigError: a sharded run that cannot be.
    """
    if config.batch_size % ranks.size:
        nearest = config.batch_size // ranks.size * ranks.size or ranks.size
        raise TrainingError(
            f"batch_size must be a multiple of the number of processes ({ranks.size}), got "
            f"{config.batch_size}; {nearest} is the nearest below (training.batch_size)"
        )
    if config.shard and ranks.size > 1:
        check_can_shard(config)


def _batch_size(wanted: int, num_texts: int, ranks: Ranks) -> int:
    """Texts a step: no more than there are, and as many for each rank."""
    if num_texts < 2:
        raise TrainingError(f"contrastive learning needs at least 2 texts, got {num_texts}; give more text")
    if num_texts < ranks.size:
        raise TrainingError(f"{ranks.size} processes need at least as many texts, got {num_texts}")
    return min(wanted, num_texts) // ranks.size * ranks.size


def _step_seed(seed: int, step: int) -> int:
    return int(text_keys(seed, 0, np.array([step]))[0] >> np.uint64(1))
