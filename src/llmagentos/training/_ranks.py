"""The processes that train one encoder together, each with its share of every loss batch.

`torchrun` (or Ray) starts them. They have the same weights, since they start from the same ones and add
up their gradients before each update; who has which texts is arithmetic.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Int64, UInt64

from llmagentos.errors import LostProcessError, TrainingError
from llmagentos.loss import gathered

# A process that ends closes its connections, which the others see at once; one whose machine has lost its
# power is noticed after half an hour. The first may prepare a large corpus for longer.
_PATIENCE = timedelta(minutes=30)
_PATIENCE_BEFORE = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of a run.

    Attributes:
        rank: 0 to size - 1; the first writes checkpoints and metrics.
        size: W, processes in all.
        group: of PyTorch; None for a single process.
        patient_group: the same, for what may take days.
    """

    rank: int = 0
    size: int = 1
    group: dist.ProcessGroup | None = None
    patient_group: dist.ProcessGroup | None = None

    @classmethod
    def of_run(cls) -> "Ranks":
        """Those that `joined_ranks` has joined; alone without it."""
        return _joined.get()

    @property
    def is_first(self) -> bool:
        """Whether this one writes what is written once."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this rank computes: a GPU of its own, or the CPU."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) if self.size > 1 else 0)

    @property
    def sharing_memory(self) -> int:
        """Processes of the run that share the memory of this one: on the CPU those of its machine."""
        on_cpu = self.device.type == "cpu"
        return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if on_cpu and self.size > 1 else 1

    def share(self, indices: Int64[np.ndarray, " B"]) -> Int64[np.ndarray, " b"]:
        """This rank's texts of a batch whose size is a multiple of W."""
        own: Int64[np.ndarray, " b"] = indices.reshape(self.size, -1)[self.rank]
        return own

    def keys(
        self, hashes: UInt64[np.ndarray, " n"], groups: UInt64[np.ndarray, " n"]
    ) -> tuple[UInt64[np.ndarray, " m"], UInt64[np.ndarray, " m"]]:
        """Content hashes and groups of the texts of all ranks."""
        if self.group is None:
            return hashes, groups
        both = torch.from_numpy(np.stack([hashes, groups], 1).view(np.int64))
        everyones = gathered(both, self.group).numpy().view(np.uint64)
        return everyones[:, 0], everyones[:, 1]

    def add_up(self, parameters: Iterable[torch.nn.Parameter], *values: float) -> list[float]:
        """Add up the gradients of all ranks, and some numbers along with them, in one all-reduce.

        Args:
            parameters: their `.grad` becomes the sum.
            values: numbers of this rank.

        Returns:
            The sums of the numbers.
        """
        if self.group is None:
            return list(values)
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        device = self.device
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([*(part.reshape(-1).float() for part in parts), torch.tensor(values, device=device)])
        dist.all_reduce(flat, group=self.group)
        sizes = [parameter.numel() for parameter in parameters]
        gradients = torch.split(flat, [*sizes, len(values)])
        for parameter, gradient in zip(parameters, gradients, strict=False):
            parameter.grad = gradient.view_as(parameter)
        return [float(value) for value in flat[sum(sizes) :]]

    # Words go from CPU to CPU, whatever the gradients take: gloo is connected from the beginning, and NCCL
    # waits half an hour at most for its first words.

    def from_first(self, value: int) -> int:
        """The first rank's number."""
        if self.group is None:
            return value
        told = torch.tensor([value])
        dist.broadcast(told, 0, group=self.group)
        return int(told)

    def most(self, value: int) -> int:
        """The largest number of all ranks."""
        if self.group is None:
            return value
        largest = torch.tensor([value])
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.group)
        return int(largest)

    def least(self, value: int) -> int:
        """The smallest number of all ranks."""
        return -self.most(-value)

    def tell(self, text: str = "") -> str:
        """The first rank's text, for all; the others wait for days if they have to."""
        if self.patient_group is None:
            return text
        encoded = text.encode()
        size = torch.tensor([len(encoded)])
        dist.broadcast(size, 0, group=self.patient_group)
        told = torch.zeros(int(size), dtype=torch.uint8)
        if self.is_first and encoded:
            told.copy_(torch.frombuffer(bytearray(encoded), dtype=torch.uint8))
        dist.broadcast(told, 0, group=self.patient_group)
        return told.numpy().tobytes().decode()

    def agree(self, what: str, mine: str) -> None:
        """See that this rank has the same as the first one.

        Raises:
            TrainingError: it has not.
        """
        theirs = self.tell(mine)
        if theirs != mine:
            raise TrainingError(
                f"process {self.rank} has another {what} than process 0: {mine}, not {theirs}; they need the "
                "same files, from one folder that all see"
            )

    def wait(self) -> None:
        """Until all are here."""
        self.from_first(0)


ALONE = Ranks()
"""The only process of its run."""

_joined: ContextVar[Ranks] = ContextVar("joined", default=ALONE)


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, or that Ray has; without them, alone.

    Raises:
        TrainingError: another process of the run has ended.
    """
    mine = "TORCHELASTIC_RUN_ID" in os.environ and not dist.is_initialized()
    if mine:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    ranks = ALONE
    if dist.is_initialized():
        ranks = Ranks(
            dist.get_rank(),
            dist.get_world_size(),
            dist.new_group(timeout=_PATIENCE),
            dist.new_group(timeout=_PATIENCE_BEFORE),
        )
        if torch.cuda.is_available():
            torch.cuda.set_device(ranks.device)  # FSDP takes the current one
    token = _joined.set(ranks)
    try:
        with told_of_others():
            yield ranks
    finally:
        _joined.reset(token)
        if mine:
            dist.destroy_process_group()


@contextmanager
def told_of_others() -> Iterator[None]:
    """In here the end of another process is an error that says so."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        lost = isinstance(error, dist.DistNetworkError) or any(sign in reason for sign in _LOST)
        if not (lost and Ranks.of_run().size > 1):
            raise
        raise LostProcessError(
            f"process {Ranks.of_run().rank} lost the others of its run: one of them has ended, and its own "
            "message, above or on its machine, says why; start all again, with --resume if OUT.partial "
            f"is there (what was seen here: {reason[:200]})"
        ) from error


# What gloo and NCCL say of a connection that is gone, or silent for too long.
_LOST = (
    "Connection closed by peer",
    "Connection reset",
    "Broken pipe",
    "Timed out waiting",
    "ncclRemoteError",
    "NCCL communicator was aborted",
)
