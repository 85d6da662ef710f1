"""What is known of memory: how much is free, what a graph keeps, and the error that says there is no more."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from llmagentos.encoder import is_out_of_memory
from llmagentos.training import _memory
from llmagentos.training._memory import free_bytes, saved_bytes

CPU = torch.device("cpu")
MIB = 2**20


def container(folder: Path, limit: str, used: int, cached: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\nfile {cached + 7}\ninactive_file {cached}\n")
    return folder


@pytest.mark.parametrize(
    ("limit", "used", "cached", "free"),
    [(900, 300, 0, 600), (900, 300, 200, 800), (900, 900, 0, 0), (900, 1000, 50, 0)],
)
def test_what_a_container_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, used: int, cached: int, free: int
) -> None:
    monkeypatch.setattr(
        _memory, "_CGROUP", container(tmp_path, str(limit * 1000), used * 1000, cached * 1000)
    )
    assert free_bytes(CPU) == free * 1000


def test_a_container_without_a_limit_leaves_what_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_memory, "_CGROUP", tmp_path / "none")
    without = free_bytes(CPU)
    monkeypatch.setattr(_memory, "_CGROUP", container(tmp_path, "max", 300, 0))
    assert free_bytes(CPU) == pytest.approx(without, rel=0.2)
    assert 64 * MIB < without < 2**50


def group(folder: Path, limit: int, used: int, *, names: tuple[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (limit, used), strict=True):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text("inactive_file 0\n")


@pytest.mark.parametrize("outer", [400, 900])
def test_the_groups_of_a_job_and_those_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outer: int
) -> None:
    names = ("memory.max", "memory.current")
    group(tmp_path / "jobs", outer * 1000, 100_000, names=names)
    group(tmp_path / "jobs" / "7", 500_000, 100_000, names=names)
    (tmp_path / "cgroup").write_text("0::/jobs/7\n")
    monkeypatch.setattr(_memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(_memory, "_OWN_GROUPS", tmp_path / "cgroup")
    assert free_bytes(CPU) == min(outer - 100, 400) * 1000


def test_groups_of_the_first_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    group(tmp_path / "memory" / "jobs" / "7", 500_000, 100_000, names=names)
    (tmp_path / "cgroup").write_text("5:cpu,cpuacct:/other\n4:memory:/jobs/7\n")
    monkeypatch.setattr(_memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(_memory, "_OWN_GROUPS", tmp_path / "cgroup")
    assert free_bytes(CPU) == 400_000


def limit_to(num_bytes: int) -> None:
    """Let this process take so much more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + num_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _take_too_much(answer: Connection) -> None:
    torch.set_num_threads(1)  # a thread that starts in between takes 80 MiB of addresses
    limit_to(300 * MIB)
    free = free_bytes(CPU)
    taken = torch.ones(100 * MIB, dtype=torch.uint8)
    left = free_bytes(CPU)
    try:
        torch.ones(300 * MIB, dtype=torch.uint8)
    except RuntimeError as error:
        answer.send((free, left, len(taken), is_out_of_memory(error)))


def _compute_without_memory(answer: Connection) -> None:
    x = torch.linspace(-1, 1, 1000)
    said = ""
    limit_to(0)
    try:
        functional.gelu(x)  # oneDNN writes itself code for it
    except RuntimeError as error:
        said = "" if is_out_of_memory(error) else str(error)
    answer.send(said)


def in_a_process(work: Callable[[Connection], None]) -> Any:
    """What a process of its own answers."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(theirs,))
    process.start()
    theirs.close()
    answer = ours.recv()
    process.join()
    return answer


def test_a_limit_of_the_process_and_what_happens_beyond_it() -> None:
    free, left, taken, ran_out = in_a_process(_take_too_much)
    assert 290 * MIB < free <= 300 * MIB
    assert free - left == pytest.approx(taken, abs=10 * MIB)
    assert ran_out


def test_no_memory_for_what_onednn_needs_is_no_memory() -> None:
    assert in_a_process(_compute_without_memory) == ""


def test_what_a_graph_keeps_is_counted_once() -> None:
    x = torch.ones(1000, requires_grad=True)
    with saved_bytes(nn.Identity()) as saved:
        y = x.exp()  # keeps y
        assert saved.bytes == 4000
        z = y.square()  # keeps y
        assert saved.bytes == 4000
        w = z * z[:1]  # keeps z, twice
        assert saved.bytes == 8000
    v = w.exp()
    assert saved.bytes == 8000
    torch.autograd.backward(v.sum())
    assert x.grad is not None


def test_parameters_are_there_anyway() -> None:
    layer = nn.Linear(50, 20)
    x = torch.ones(10, 50)
    with saved_bytes(layer) as saved:
        layer(x)
    assert saved.bytes == 10 * 50 * 4
    layers = nn.Sequential(layer, nn.Linear(20, 1000))
    with saved_bytes(layers) as saved:  # of the second layer its input, and its weight transposed
        layers(x)
    assert saved.bytes == 10 * 50 * 4 + 10 * 20 * 4
    with saved_bytes(layer) as saved, torch.no_grad():
        layer(x)
    assert saved.bytes == 0


def test_errors_that_say_so() -> None:
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**48)
    assert is_out_of_memory(real.value)
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError("CUDA"))


def test_errors_that_say_something_else() -> None:
    with pytest.raises(RuntimeError) as shapes:
        torch.ones(2, 3) @ torch.ones(2, 3)
    for error in (shapes.value, RuntimeError("memory of an elephant"), ValueError("can't allocate memory")):
        assert not is_out_of_memory(error)
