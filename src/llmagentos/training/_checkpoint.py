"""Checkpoints: weights and optimiser as safetensors, everything else as JSON, whole or absent.

    checkpoints/step-00000500/state.safetensors    encoder.NAME, optimizer.INDEX.NAME, queue.NAME
    checkpoints/step-00000500/run.json             step, total steps, threads, configuration

A checkpoint is written beside its place and renamed, and the one before it is removed only after
that. Nothing is ever pickled.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from llmagentos.encoder import is_out_of_memory, memory_for
from llmagentos.errors import OutputError, TrainingError
from llmagentos.training._queue import NegativeQueue
from llmagentos.training._sharding import split_like, whole


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """What a run must know to go on exactly, besides weights and optimiser.

    Attributes:
        step: steps done.
        total_steps: the learning rate depends on it; a run that goes on corrects it no more.
        resolved: whether it is a number to keep; false until a deadline has become a number of steps.
        num_threads: of PyTorch; sums depend on it in the last bit.
        num_ranks: processes; those of a run with another number have their own number of threads.
        batch_size: texts a step; fewer than were asked for where there are not as many.
        config: the resolved training configuration and recipe, as plain values.
        gradient_scale: of the fp16 gradient scaler; empty in other precisions.
    """

    step: int
    total_steps: int
    num_threads: int
    num_ranks: int
    batch_size: int
    config: dict[str, Any]
    resolved: bool = True
    gradient_scale: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    folder: Path,
    encoder: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    state: RunState,
    queue: NegativeQueue | None = None,
    *,
    write: bool = True,
) -> Path:
    """Write one checkpoint and remove older ones.

    Args:
        folder: of all checkpoints of the run.
        encoder: its parameters and buffers are saved.
        optimizer: its state is saved.
        state: the rest.
        queue: its vectors and its copy of the encoder are saved.
        write: false for all but one of the processes that share an encoder: they only give their parts.

    Returns:
        The folder of the new checkpoint.

    Raises:
        OutputError: the disk is full or read-only; the checkpoint before stays.
        TrainingError: there is too little memory for it; likewise.
    """
    target = folder / f"step-{state.step:08d}"
    partial = folder / f".step-{state.step:08d}.partial"
    advice = "end what else takes memory, or train with a smaller encoder"
    with memory_for(f"the checkpoint {target}", advice=advice):
        tensors = _gathered_tensors(encoder, optimizer, queue, keep=write)
        if not write or target.exists():  # a finished run was resumed: the same step is the same state
            return target
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            save_file(tensors, partial / "state.safetensors")
            (partial / "run.json").write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
            for file in partial.iterdir():  # on the disk before its name is, also if the power goes
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
            partial.rename(target)
        except (OSError, SafetensorError) as error:
            if is_out_of_memory(error):
                raise
            message = f"the checkpoint {target} cannot be written ({error}); free some space"
            raise OutputError(message) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    for older in folder.glob("step-*"):
        if older != target:
            shutil.rmtree(older, ignore_errors=True)
    return target


def _gathered_tensors(
    encoder: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    queue: NegativeQueue | None,
    *,
    keep: bool,
) -> dict[str, Tensor]:
    """All that a checkpoint keeps, by name, on the CPU; sharded tensors are put together one by one.

    Those that share memory, as tied weights do, are copied, because safetensors refuses them.
    """
    tensors = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": t for name, t in values.items() if t is not None}
    if queue is not None:
        tensors |= {f"queue.{name}": tensor for name, tensor in queue.state().items()}
    kept: dict[str, Tensor] = {}
    seen = set()
    for name, tensor in tensors.items():
        gathered = whole(tensor.detach())  # all ranks give their parts, also those that keep nothing
        if keep:
            on_cpu = gathered.cpu().contiguous()
            place = on_cpu.untyped_storage().data_ptr()
            kept[name] = on_cpu.clone() if place in seen else on_cpu
            seen.add(place)
    return kept


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint of a run, or None."""
    return max(folder.glob("step-*"), key=lambda path: (len(path.name), path.name), default=None)


def read_state(checkpoint: Path) -> RunState:
    """What a checkpoint says of its run.

    Raises:
        TrainingError: the checkpoint is damaged, or cannot be read.
    """
    with _reading(checkpoint):
        state = RunState(**json.loads((checkpoint / "run.json").read_text(encoding="utf-8")))
        counts = [state.total_steps, state.num_threads, state.num_ranks, state.batch_size]
        if not all(type(count) is int and count > 0 for count in counts):
            raise ValueError("run.json holds what is no count")
        if type(state.step) is not int or state.step < 0:
            raise ValueError("run.json holds what is no step")
        if {type(state.config), type(state.gradient_scale)} != {dict}:
            raise ValueError("run.json holds what are no settings")
        return state


def resumable_state(checkpoint: Path, config: dict[str, Any]) -> RunState:
    """What a checkpoint says of its run, if the run that is to go on has the same settings.

    Args:
        checkpoint: from `latest_checkpoint`.
        config: of the run that is to go on, from `plain`.

    Raises:
        TrainingError: the checkpoint is damaged, or was made with other settings; names the first.
    """
    stored = read_state(checkpoint)
    if stored.config != config:
        raise TrainingError(
            f"{checkpoint} was made with other settings: {difference(stored.config, config)}; "
            "go on with the same settings, or train anew into another --out"
        )
    return stored


def plain(config: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back, so that stored and given ones compare.

    Example:
        >>> plain({"rates": (0.1, 0.2)})
        {'rates': [0.1, 0.2]}
    """
    values: dict[str, Any] = json.loads(json.dumps(config))
    return values


def difference(stored: dict[str, Any], given: dict[str, Any], path: str = "") -> str:
    """The first setting in which two configurations differ, in words."""
    for key in sorted(stored.keys() | given.keys()):
        old, new = stored.get(key), given.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            return difference(old, new, f"{path}{key}.")
        if isinstance(old, str) and isinstance(new, str):  # a whole file of settings: the first other line
            lines = zip_longest(old.splitlines(), new.splitlines(), fillvalue="")
            old, new = next(pair for pair in lines if pair[0] != pair[1])
        was, now = ("unset" if value is None else repr(value) for value in (old, new))
        return f"{path}{key} was {was} and is now {now}"
    return "nothing"


def load_checkpoint(
    checkpoint: Path,
    encoder: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    queue: NegativeQueue | None = None,
) -> None:
    """Put the weights and the optimiser's state of a checkpoint back.

    Args:
        checkpoint: from `latest_checkpoint`.
        encoder: of the same shape; changed.
        optimizer: over the same parameters; changed.
        queue: of the same size; changed.

    Raises:
        TrainingError: the checkpoint is damaged, belongs to another encoder, or cannot be read.
    """
    with _reading(checkpoint):
        tensors = _tensors(checkpoint)
        _load_weights(encoder, tensors)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        state = optimizer.state_dict()
        state["state"] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                same_shape = tensor.shape == parameters[int(index)].shape
                part = split_like(tensor, parameters[int(index)]) if same_shape else tensor
                state["state"].setdefault(int(index), {})[key] = part
        optimizer.load_state_dict(state)
        if queue is not None:
            queue.load(
                {name.removeprefix("queue."): t for name, t in tensors.items() if name.startswith("queue.")}
            )


def load_weights(checkpoint: Path, encoder: torch.nn.Module) -> None:
    """Put the weights of a checkpoint into an encoder, and nothing else.

    Args:
        checkpoint: of a run whose encoder is elsewhere, or sharded.
        encoder: of the same shape; changed.

    Raises:
        TrainingError: the checkpoint is damaged, belongs to another encoder, or cannot be read.
    """
    with _reading(checkpoint):
        _load_weights(encoder, _tensors(checkpoint))


@contextmanager
def _reading(checkpoint: Path) -> Iterator[None]:
    """In here an error says whether the checkpoint is to blame, which only then may be removed."""
    run = checkpoint.parent.parent
    advice = "end what else takes memory and go on with --resume"
    try:
        with memory_for(f"the checkpoint {checkpoint}, which is whole", advice=advice):
            yield
    except torch.AcceleratorError:  # of a GPU, which says nothing of the checkpoint
        raise
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())  # on one line, whoever wrote it
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise TrainingError(
                f"the checkpoint {checkpoint} cannot be read ({reason}); see to it that it can, and go on "
                "with --resume"
            ) from error
        raise TrainingError(
            f"the checkpoint {checkpoint} is damaged, or does not fit ({reason}); remove {run}, and --resume "
            "trains from the beginning"
        ) from error


def _tensors(checkpoint: Path) -> dict[str, Tensor]:
    path = checkpoint / "state.safetensors"
    path.open("rb").close()  # safetensors says of any file that it cannot open that there is none
    return load_file(path)


def _load_weights(encoder: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    there = encoder.state_dict()
    encoder.load_state_dict(
        {
            name: split_like(tensors[f"encoder.{name}"], tensor)
            for name, tensor in there.items()
            if f"encoder.{name}" in tensors
        }
    )
