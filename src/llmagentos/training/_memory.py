"""How much may be kept: free memory, and what a graph takes of it."""

import math
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
# Limit and use, of version 2 and of version 1.
_GROUP_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def free_bytes(device: torch.device) -> int:
    """Memory that a process can still take without pushing anything out.

    Args:
        device: a GPU, or the CPU, whose memory may be limited by a container or `ulimit -v` as well.

    Returns:
        Bytes.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) + int(unused)
    return min(_available_bytes(), _bytes_to_container_limit(), _bytes_to_address_limit())


def _available_bytes() -> int:
    """What Linux says is available; elsewhere half of the machine's memory."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _bytes_to_container_limit() -> int:
    """What the control groups of this process leave, each bounded by those above; cached files can go."""
    return min((_bytes_to_group_limit(group) for group in _control_groups()), default=2**62)


def _control_groups() -> Iterator[Path]:
    """The folders of the control groups of this process, of version 2 or 1, and of those above them."""
    yield _CGROUP
    with suppress(OSError):
        for line in _OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0" or "memory" in controllers.split(","):
                root = _CGROUP if number == "0" else _CGROUP / "memory"
                group = root / path.lstrip("/")
                yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(root))


def _bytes_to_group_limit(group: Path) -> int:
    for limit_file, used_file in _GROUP_FILES:
        try:
            limit = int((group / limit_file).read_text(encoding="utf-8"))  # "max" is no number
            used = int((group / used_file).read_text(encoding="utf-8"))
            lines = (group / "memory.stat").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            continue
        statistics = dict(line.split() for line in lines)
        return max(0, limit - used + int(statistics.get("inactive_file", 0)))
    return 2**62


def _bytes_to_address_limit() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return 2**62
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    except OSError:
        return limit
    return max(0, limit - pages * resource.getpagesize())


@dataclass(frozen=True, slots=True)
class GraphSize:
    """Bytes that the graph of a micro-batch keeps: some for weights in half precision, some for each slot.

    Attributes:
        fixed: whatever is in it.
        per_slot: for each token slot.

    Example:
        >>> GraphSize.through((100, 700), (300, 1700))
        GraphSize(fixed=200.0, per_slot=5.0)
    """

    fixed: float
    per_slot: float

    @classmethod
    def through(cls, one: tuple[int, int], other: tuple[int, int]) -> "GraphSize":
        """From two graphs, the second with no fewer slots: slots and bytes of each."""
        (slots, size), (more_slots, larger) = one, other
        if slots == more_slots:
            return cls(fixed=0.0, per_slot=max(larger / max(slots, 1), 1.0))
        per_slot = max((larger - size) / (more_slots - slots), 1.0)
        return cls(fixed=max(larger - per_slot * more_slots, 0.0), per_slot=per_slot)

    @property
    def is_known(self) -> bool:
        """Whether it has been measured."""
        return math.isfinite(self.per_slot)

    def slots_in(self, room: float) -> int:
        """How many slots so many bytes are enough for, at least 1."""
        return max(int((room - self.fixed) / self.per_slot), 1)


UNKNOWN = GraphSize(fixed=math.inf, per_slot=math.inf)
"""Before it has been measured no graph fits."""


@dataclass(slots=True)
class SavedBytes:
    """Bytes that a graph keeps for its backward pass."""

    bytes: int = 0


@contextmanager
def saved_bytes(encoder: torch.nn.Module) -> Iterator[SavedBytes]:
    """Count what the graphs made in here keep, beside the encoder's parameters, which are there anyway."""
    saved = SavedBytes()
    # By storage: a linear layer keeps its weight transposed, which is another tensor. Sharded parameters have
    # none; what they are put together to is a parameter itself.
    own = (parameter for parameter in encoder.parameters() if not isinstance(parameter, DTensor))
    seen = {parameter.untyped_storage().data_ptr() for parameter in own}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter) and storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            saved.bytes += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved
