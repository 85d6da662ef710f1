"""How much may be kept: free memory, and what a graph takes of it."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

_CGROUP = Path("/sys/fs/cgroup")


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
    """What the control group leaves; files that it only caches can go."""
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="utf-8").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="utf-8"))
        statistics = dict(
            line.split() for line in (_CGROUP / "memory.stat").read_text(encoding="utf-8").splitlines()
        )
    except (OSError, ValueError):
        return 2**62
    if limit == "max":
        return 2**62
    return max(0, int(limit) - used + int(statistics.get("inactive_file", 0)))


def _bytes_to_address_limit() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return 2**62
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    except OSError:
        return limit
    return max(0, limit - pages * resource.getpagesize())


@dataclass(slots=True)
class SavedBytes:
    """Bytes that a graph keeps for its backward pass."""

    bytes: int = 0


@contextmanager
def saved_bytes() -> Iterator[SavedBytes]:
    """Count what the graphs made in here keep; parameters, which are there anyway, are no part of it."""
    saved = SavedBytes()
    seen: set[int] = set()

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter) and storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            saved.bytes += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved
