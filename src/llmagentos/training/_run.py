"""What a run is between two steps: what it trains, how far it is, and the checkpoint that it goes on from."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch

from llmagentos.encoder import Encoder
from llmagentos.errors import OutputError, TrainingError
from llmagentos.training._budget import Budget
from llmagentos.training._checkpoint import (
    RunState,
    latest_checkpoint,
    load_checkpoint,
    plain,
    resumable_state,
    save_checkpoint,
)
from llmagentos.training._compile import check_can_compile, check_layers
from llmagentos.training._config import ResolvedTrainingConfig
from llmagentos.training._micro_batches import MICRO_BATCHES_NAME, MicroBatches
from llmagentos.training._optimizer import make_optimizer
from llmagentos.training._queue import NegativeQueue
from llmagentos.training._ranks import Ranks
from llmagentos.training._sharding import check_can_shard, shard

# What a run may go on with another value of, as micro_batches.json says.
_MAY_CHANGE: Final = ("micro_batch_tokens",)


class Run:
    """A run that begins, or goes on from its last checkpoint.

    Args:
        encoder: what is trained; frozen and sharded as the settings say.
        config: the settings.
        budget: when it is to end.
        folder: of its checkpoints and its micro_batches.json.
        num_texts: in the store.
        recipe: plain values that are kept along; a run that goes on must have the same.
        resume: go on from the last checkpoint if there is one; else what is there is replaced.
        ranks: all make the same run.

    Attributes:
        optimizer: over what can be trained.
        scaler: of fp16 gradients.
        queue: of negatives, or None.
        state: how far the run is.
        longest: most steps that its text is good for.
        micro_batches: slots of a micro-batch at each step.

    Raises:
        TrainingError: too little text; a checkpoint of another run, or one that cannot be gone on from.
        ConfigError: the encoder or the ranks cannot do what the settings say.
        OutputError: old checkpoints cannot be removed.
    """

    def __init__(
        self,
        encoder: Encoder,
        config: ResolvedTrainingConfig,
        budget: Budget,
        folder: Path,
        num_texts: int,
        recipe: dict[str, Any],
        *,
        resume: bool,
        ranks: Ranks,
    ) -> None:
        check_settings(config, ranks)
        prepare_encoder(encoder, config)
        if ranks.size > 1:
            sums = [int(p.detach().flatten().view(torch.uint8).sum()) for p in encoder.parameters()]
            ranks.agree("encoder", f"sum of bytes {sum(sums)}")
        if config.shard and ranks.size > 1:
            shard(encoder, ranks)
        self.queue: NegativeQueue | None = None
        if config.queue_size:
            self.queue = NegativeQueue(
                encoder, config.queue_size, config.queue_momentum, config.precision, ranks
            )
        self.encoder, self.optimizer = encoder, make_optimizer(encoder, config)
        # Gradients below 6e-8 are zero in fp16, so they are made larger before (Micikevicius et al. 2018).
        self.scaler = torch.amp.GradScaler(encoder.device.type, enabled=config.precision == "fp16")
        self._ranks, self._checkpoints = ranks, folder / "checkpoints"

        training = {key: value for key, value in asdict(config).items() if key not in _MAY_CHANGE}
        self.state = RunState(
            step=0,
            total_steps=0,
            resolved=False,
            num_threads=torch.get_num_threads(),
            num_ranks=ranks.size,
            batch_size=batch_size_of(config.batch_size, num_texts, ranks),
            config=plain({"texts": num_texts, "training": training, **recipe}),
        )
        checkpoint = latest_checkpoint(self._checkpoints) if resume else None
        ranks.agree("last checkpoint", "none" if checkpoint is None else checkpoint.name)
        if checkpoint is not None:
            self._go_on_from(checkpoint, budget)
        elif ranks.is_first:
            self._remove_old_checkpoints()
        self.longest = config.max_epochs * (num_texts // self.state.batch_size)
        if not self.state.resolved:  # also where it was killed before its deadline was a number of steps
            steps = self.longest if budget.steps is None else budget.steps
            self.state = replace(self.state, total_steps=steps, resolved=budget.deadline is None)
        self.micro_batches = MicroBatches(
            folder,
            config.micro_batch_tokens,
            # Memory may have run out before the first checkpoint.
            resume=checkpoint is not None or (resume and (folder / MICRO_BATCHES_NAME).exists()),
            step=self.state.step,
            write=ranks.is_first,
        )
        ranks.wait()  # for the first to have tidied up

    def save(self) -> Path:
        """Write a checkpoint, to which all ranks give their parts; the folder."""
        state = replace(self.state, gradient_scale=self.scaler.state_dict())
        return save_checkpoint(
            self._checkpoints, self.encoder, self.optimizer, state, self.queue, write=self._ranks.is_first
        )

    def _go_on_from(self, checkpoint: Path, budget: Budget) -> None:
        """Put back what a checkpoint holds, if it is of the run that would begin now."""
        stored, run = resumable_state(checkpoint, self.state.config), checkpoint.parent.parent
        if stored.resolved and budget.steps not in (None, stored.total_steps):
            raise TrainingError(
                f"the run in {run} has {stored.total_steps} steps, got {budget.steps}; the learning rates "
                "were planned for those: go on without --steps, or train anew into another --out"
            )
        if budget.steps is not None and budget.steps < stored.step:
            raise TrainingError(
                f"the run in {run} has done {stored.step} steps already, got {budget.steps}; go on with more"
            )
        num_ranks = self._ranks.size
        if stored.batch_size % num_ranks:
            raise TrainingError(
                f"the run in {run} has {stored.batch_size} texts a step, which {num_ranks} processes cannot "
                "share evenly; go on with a number of processes that divides it"
            )
        # With another number of processes sums differ anyway, and each has as many cores as it has.
        threads = stored.num_threads if stored.num_ranks == num_ranks else self.state.num_threads
        self.state = replace(stored, num_ranks=num_ranks, num_threads=threads)
        load_checkpoint(checkpoint, self.encoder, self.optimizer, self.queue)
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(stored.gradient_scale)
        torch.set_num_threads(threads)

    def _remove_old_checkpoints(self) -> None:
        shutil.rmtree(self._checkpoints, ignore_errors=True)
        if latest_checkpoint(self._checkpoints) is not None:
            raise OutputError(
                f"the checkpoints of an earlier run in {self._checkpoints} cannot be removed; remove them, "
                "or give another --out"
            )


def check_settings(config: ResolvedTrainingConfig, ranks: Ranks) -> None:
    """Refuse what these processes cannot do together, before anything else takes time.

    Raises:
        TrainingError: a batch that cannot be shared evenly.
        ConfigError: a sharded run that cannot be, or layers compiled where they cannot be.
    """
    if config.batch_size % ranks.size:
        nearest = config.batch_size // ranks.size * ranks.size or ranks.size
        raise TrainingError(
            f"batch_size must be a multiple of the number of processes ({ranks.size}), got "
            f"{config.batch_size}; {nearest} is the nearest below (training.batch_size)"
        )
    if config.shard and ranks.size > 1:
        check_can_shard(config)
    if config.compile:
        check_can_compile(config, ranks)


def prepare_encoder(encoder: Encoder, config: ResolvedTrainingConfig) -> None:
    """Freeze what is to be frozen, and refuse what this encoder cannot do.

    Raises:
        ConfigError: it has too few layers, or none that can be told, to freeze or to compile.
    """
    encoder.freeze(config.freeze_layers)
    if config.table_rate == 0 and encoder.table is not None:
        encoder.table.requires_grad_(False)
    if config.compile:
        check_layers(encoder)


def batch_size_of(wanted: int, num_texts: int, ranks: Ranks) -> int:
    """Texts a step: no more than there are, and as many for each rank.

    Raises:
        TrainingError: there are fewer than 2, or fewer than ranks.
    """
    if num_texts < 2:
        raise TrainingError(f"contrastive learning needs at least 2 texts, got {num_texts}; give more text")
    if num_texts < ranks.size:
        raise TrainingError(f"{ranks.size} processes need at least as many texts, got {num_texts}")
    return min(wanted, num_texts) // ranks.size * ranks.size
