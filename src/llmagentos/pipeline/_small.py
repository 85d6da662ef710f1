"""`--encoder small`: the static table first, then the branch that grows on it; or the table alone."""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from llmagentos.config import Config
from llmagentos.encoder import StaticEncoder
from llmagentos.loss import NTXentLoss
from llmagentos.pipeline._start import STATIC_FOLDER, STATIC_RUN
from llmagentos.training import (
    Budget,
    Metrics,
    ResolvedTrainingConfig,
    TrainingConfig,
    interpolate,
    train_encoder,
)
from llmagentos.views import PairedViews, Views

# Of the time for training: on arXiv a table is as good as it gets after 8 to 10 minutes (benchmarks/LOG.md,
# 2026-11-23), and a branch is worth nothing on a table that is still learning faster than itself.
STATIC_SHARE: Final = 1 / 3
# As many as it sees in that time on two cores, about: whole epochs. A GPU needs a minute or two.
_MOST_TEXTS_OF_TABLE: Final = 3_000_000

# benchmarks/LOG.md, 2026-11-27: in 20.1 minutes of two cores the branch was better than its table neither on
# papers nor on chat, and so was not kept. From where it is on a CPU is not known.
FEWEST_CPU_MINUTES: Final = 20.0

_BRANCH: Final[dict[str, Any]] = {
    "batch_size": 256,
    "learning_rate": 1e-4,
    "table_rate": 0.0,
    "keep_start": 0.0,
    "max_epochs": 100,
    "max_tokens": 64,
    "checkpoint_steps": 100,
}
# benchmarks/LOG.md, 2026-11-27: of two recipes that were scored after minutes of an H100 the better one.
_BRANCH_ON_A_GPU: Final[dict[str, Any]] = _BRANCH | {
    "batch_size": 2048,
    "learning_rate": 1.5e-4,
    "max_tokens": 128,
    "checkpoint_steps": 500,
}


def why_static(minutes: float, steps: int | None, *, on_gpu: bool) -> str:
    """Why a run had better stay with static; nothing where a branch may be worth its time.

    Args:
        minutes: of the whole run.
        steps: asked for in place of minutes; then it grows.
        on_gpu: whether the run began on one; there it grows.

    Returns:
        A sentence for a person, or "".
    """
    if steps is not None or on_gpu or minutes > FEWEST_CPU_MINUTES:
        return ""
    return (
        f"stays with static: in {FEWEST_CPU_MINUTES:g} minutes of two cores a branch on top of it gained "
        f"nothing, and there are {minutes:g} in all; to let it grow give more than {FEWEST_CPU_MINUTES:g} "
        "--minutes, or --steps, or a GPU"
    )


def small_config(config: Config, *, on_gpu: bool) -> Config:
    """The settings with those that are open chosen for a branch.

    Args:
        config: as the user gave it; what was given stays.
        on_gpu: whether the run began on one.

    Returns:
        The same with a training and views that suit it.

    Raises:
        ConfigError: the heads do not divide the width.
    """
    encoder = config.encoder.resolved(grows=True)
    assert encoder.dimension is not None
    encoder.check_heads(encoder.dimension)
    branch = _BRANCH_ON_A_GPU if on_gpu else _BRANCH
    still_open = {name: value for name, value in branch.items() if getattr(config.training, name) is None}
    views = replace(config.views, preset=config.views.preset or "crop")
    return replace(config, encoder=encoder, training=replace(config.training, **still_open), views=views)


def table_training(config: Config) -> ResolvedTrainingConfig:
    """The settings that the table is trained and tried with: the seed of the run, its longest run, and what
    is usual for a table.
    """
    settings = TrainingConfig(seed=config.training.seed, max_epochs=config.training.max_epochs)
    return settings.resolved(pretrained=False)


def train_table(
    encoder: StaticEncoder,
    items: Views | PairedViews,
    loss: NTXentLoss,
    config: Config,
    steps: int | None,
    deadline: float | None,
    work: Path,
    *,
    resume: bool,
    on_metrics: Callable[[Metrics], None],
) -> None:
    """The table that the branch will grow on, in `work`/static; what is there already stays.

    Args:
        encoder: new; changed.
        items: of the run.
        loss: of the run.
        config: of the run, see `table_training`.
        steps: of this stage, or None.
        deadline: `time.monotonic()` at which the whole training is to end, or None; this stage takes its
            share of what is left.
        work: the working folder.
        resume: go on with a table that was not finished.
        on_metrics: see `train_encoder`.
    """
    finished = work / STATIC_FOLDER
    if finished.exists():
        return
    if deadline is not None:
        now = time.monotonic()
        deadline = now + STATIC_SHARE * (deadline - now)
    enough = max(1, _MOST_TEXTS_OF_TABLE // len(items))
    usual, start = table_training(config), deepcopy(encoder)
    training = replace(usual, max_epochs=min(usual.max_epochs, enough))
    train_encoder(
        encoder,
        items,
        len(items),
        loss,
        training,
        Budget(steps=steps, deadline=deadline),
        work / STATIC_RUN,
        resume=resume,
        on_metrics=on_metrics,
    )
    interpolate(encoder, start, training.keep_start)
    saved = work / f"{STATIC_FOLDER}.partial"
    saved.mkdir(exist_ok=True)
    encoder.save(saved)
    saved.rename(finished)
