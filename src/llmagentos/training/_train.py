"""The training loop: the six steps of the seed, and what keeps them safe.

Everything random is a pure function of (seed, step), and everything that was decided on the way
(number of steps, threads) is in the checkpoint, so a run that was killed goes on bit for bit.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from jaxtyping import Int64

from llmagentos.encoder import Encoder, memory_for
from llmagentos.loss import NTXentLoss, gathered
from llmagentos.training._budget import Budget, Clock, Plan, Speed
from llmagentos.training._checkpoint import RunState
from llmagentos.training._compile import compiled_layers
from llmagentos.training._config import ResolvedTrainingConfig
from llmagentos.training._monitor import CollapseAlarm, Metrics, diagnose, metrics_log
from llmagentos.training._optimizer import bytes_to_come, check_finite, clipped_norm, update
from llmagentos.training._order import batch_at
from llmagentos.training._peak import peak_flops
from llmagentos.training._ranks import ALONE, Ranks, told_of_others
from llmagentos.training._run import Run
from llmagentos.training._schedule import learning_rate_at
from llmagentos.training._step import StepGradient, StepResult
from llmagentos.views import Recipe, ViewBatch, text_keys

_ROWS_PER_RUN: Final = 200


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
        read_enough: whether `max_epochs` ended it, and neither a number of steps nor the time.
        seconds: of training, over all restarts.
        checkpoint: the last one.
    """

    steps: int
    batch_size: int
    epochs: float
    read_enough: bool
    seconds: float
    checkpoint: Path


@memory_for("training", advice="end what else takes memory, or choose a smaller encoder")
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
        ConfigError: `freeze_layers`, `shard` or `compile` do not go with this encoder or these settings.
        NonFiniteLossError: the loss became NaN or infinite.
        CollapseError: all embeddings became one.
        OutputError: a checkpoint or the metrics cannot be written.
    """
    settings = {
        "views": asdict(views.recipe),
        "loss": {
            "temperature": loss.temperature,
            "hardness": loss.hardness,
            "dimensions": list(loss.dimensions),
        },
    }
    run = Run(
        encoder,
        config,
        budget,
        folder,
        num_texts,
        {**settings, **(recipe or {})},
        resume=resume,
        ranks=ranks,
    )
    batch_size = run.state.batch_size
    # Two crops differ by themselves. Dropout on top of them made a step 1.2 times as long, and brought
    # nothing: all-MiniLM-L6-v2 on arXiv, 64 steps, MRR@10 95.1 with it and 95.3 without.
    encoder.train(not views.recipe.crops)
    step_gradient = StepGradient(
        encoder,
        loss,
        config.precision,
        run.scaler,
        ranks=ranks,
        queue=run.queue,
        on_lowered=lambda slots: run.micro_batches.lower(run.state.step, slots),
    )
    peak = peak_flops(encoder.device, config.precision, torch.get_num_threads()) * ranks.size
    clock = Clock()
    deadline = None if run.state.resolved else budget.deadline
    plan = Plan(run.state.total_steps, deadline, run.longest, clock, ranks)
    compiled = compiled_layers(encoder) if config.compile else nullcontext()
    with compiled, metrics_log(folder, run.state.step) if ranks.is_first else nullcontext() as log:
        alarm = CollapseAlarm(None if log is None else log.first_deviation, config.learning_rate)
        while (step := run.state.step) < plan.total_steps:
            learning_rate = learning_rate_at(
                step,
                peak=config.learning_rate,
                warmup_steps=config.warmup_steps,
                total_steps=plan.steps_at(step),
            )
            if encoder.micro_batch_tokens is not None:
                encoder.micro_batch_tokens = run.micro_batches.at(step)
            # The six steps of the seed.
            epoch, indices = batch_at(step, batch_size=batch_size, size=num_texts, seed=config.seed)
            own = ranks.share(indices)
            pairs = views.views(own, seed=config.seed, epoch=epoch, max_tokens=config.max_tokens)
            hashes, groups = ranks.keys(pairs.hashes, pairs.groups)
            if step == 0:
                step_gradient.fit(pairs, reserved=bytes_to_come(run.optimizer))
            seed = _step_seed(config.seed, step * ranks.size + ranks.rank)
            result = step_gradient(pairs, seed, hashes=hashes, groups=groups)
            gradient_norm = clipped_norm(run.optimizer, run.scaler, config.max_gradient_norm)
            update(run.optimizer, run.scaler, learning_rate)
            if run.queue is not None:
                run.queue.follow(encoder, pairs.a, hashes, groups)

            check_finite(result.loss, gradient_norm, run.scaler, step + 1, config)
            clock.count(batch_size, result.work)
            settled = plan.settle(step + 1)
            state = replace(run.state, step=step + 1, total_steps=plan.total_steps, resolved=plan.resolved)
            run.state = state
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
                run.save()
        seconds = clock.seconds + (0.0 if log is None else log.seconds)
    encoder.eval()
    encoder.zero_grad(set_to_none=True)  # as much memory as the weights
    checkpoint = run.save()
    ranks.wait()
    return TrainingResult(
        steps=run.state.step,
        batch_size=batch_size,
        epochs=run.state.step * batch_size / num_texts,
        read_enough=budget.steps is None and run.state.step == run.longest,
        seconds=seconds,
        checkpoint=checkpoint,
    )


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


def _step_seed(seed: int, step: int) -> int:
    return int(text_keys(seed, 0, np.array([step]))[0] >> np.uint64(1))
