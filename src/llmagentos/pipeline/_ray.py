"""The same run on a Ray cluster: Ray starts the processes and joins them, each does what it always does."""

import os
import shutil
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from llmagentos.config import Config
from llmagentos.errors import InputError, LLMAgentOSError, TrainingError
from llmagentos.pipeline._progress import silent
from llmagentos.pipeline._screen import progress_bars
from llmagentos.pipeline._start import absolute, encoder_name, with_teacher_found
from llmagentos.pipeline._train import train
from llmagentos.training import joined_ranks


def train_on_ray(
    address: str,
    inputs: list[str],
    out: str | Path,
    *,
    workers: int | None = None,
    encoder: str = "static",
    config: Config | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    tasks: Iterable[str | Path] = (),
    resume: bool = False,
) -> None:
    """`train`, in processes of a Ray cluster, as many on each machine as on any other.

    Args:
        address: of a running cluster, `auto` for the one of this machine, or `local` to start one here.
        inputs: files and folders that every machine sees under the same path.
        out: likewise, a new folder for the model.
        workers: processes; None for one a GPU, or one a machine where there is none. Each has as many cores
            as there are for one on the machine that has the fewest.
        encoder: as in `train`.
        config: as in `train`.
        minutes: as in `train`.
        steps: as in `train`.
        tasks: as in `train`; the machine of the first process must see them.
        resume: as in `train`, also with another number of workers.

    Raises:
        LLMAgentOSError: as `train`; Ray is not installed, or there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers
    try:
        import ray
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
    except ImportError as error:
        raise InputError("Ray is not installed; pip install 'llmagentos[ray]' (--ray)") from error
    if "-" in inputs:
        raise InputError(
            "standard input cannot be read on a cluster; give files that all its machines see (--ray)"
        )
    out = Path(out).absolute()
    arguments = {
        "inputs": list(map(absolute, inputs)),
        "out": str(out),
        "encoder": encoder_name(encoder),
        "config": with_teacher_found(config or Config()).to_toml(),
        "minutes": minutes,
        "steps": steps,
        "tasks": list(map(absolute, tasks)),
        "resume": resume,
    }
    with _notes_beside(out) as notes:
        try:
            _check_answers(address)
            ray.init(address=address, log_to_driver=True)
        except (ConnectionError, OSError, ValueError) as error:
            raise InputError(
                f"there is no Ray cluster at {address} ({str(error).splitlines()[0]}); give its address, "
                "auto, or local to start one on this machine (--ray)"
            ) from error
        try:
            machines: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray has none
            scaling = ScalingConfig(**_scaling(machines, workers), placement_strategy="SPREAD")
            # The processes' words go by gloo, also where gradients go by NCCL.
            backend = "cpu:gloo,cuda:nccl" if scaling.use_gpu else "gloo"
            trainer = TorchTrainer(
                _worker,
                train_loop_config=arguments,
                torch_config=TorchConfig(backend=backend),
                scaling_config=scaling,
                run_config=RunConfig(storage_path=str(notes)),
            )
            trainer.fit()
        except LLMAgentOSError:
            raise
        except SystemExit as error:  # what Ray makes of Ctrl-C
            raise KeyboardInterrupt from error
        except Exception as error:  # Ray wraps what a worker raised in several ways
            if (ours := _ours(error)) is not None:
                raise ours from error
            raise TrainingError(
                f"the run on Ray ended ({' '.join(str(error).split())[:300]}); its log says more, and "
                "--resume goes on from the last checkpoint"
            ) from error
        finally:
            ray.shutdown()


@contextmanager
def _notes_beside(out: Path) -> Iterator[Path]:
    """What Ray writes of a run, where all its machines see it; removed afterwards, so of a new name."""
    made = [folder for folder in out.parents if not folder.exists()]
    notes = out.parent / f".{out.name}.ray-{uuid.uuid4().hex}"
    try:
        notes.mkdir(parents=True)
        yield notes
    finally:
        shutil.rmtree(notes, ignore_errors=True)
        for folder in made:
            with suppress(OSError):  # what holds something stays
                folder.rmdir()


def _check_answers(address: str) -> None:
    """See that something listens at HOST:PORT, for which Ray itself waits for minutes.

    Raises:
        OSError: nothing does.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


def _scaling(machines: list[dict[str, Any]], workers: int | None) -> dict[str, Any]:
    """How many processes there are, and what each has of a machine.

    Args:
        machines: from `ray.nodes()`.
        workers: as asked for.

    Raises:
        InputError: the cluster has not as many cores or GPUs.
    """
    alive = [machine["Resources"] for machine in machines if machine["Alive"]]
    sizes = [(int(resources.get("CPU", 0)), int(resources.get("GPU", 0))) for resources in alive]
    gpus = sum(gpus for _, gpus in sizes)
    cores = [cores for cores, _ in sizes if cores]
    if not gpus and not cores:
        raise InputError("no machine of the cluster has any cores; start some with `ray start` (--ray)")
    number = (gpus or len(cores)) if workers is None else workers
    most, kind = (gpus, "GPUs") if gpus else (sum(cores), "cores")
    if not 0 < number <= most:
        raise InputError(
            f"workers must be from 1 to {most}, the {kind} of the cluster, got {number}; leave it out for "
            "one a GPU, or one a machine where there is none"
        )
    # As many cores as there are for each on the machine that has the fewest.
    if gpus:
        share = {"CPU": min(cores // gpus for cores, gpus in sizes if gpus), "GPU": 1}
    else:
        share = {"CPU": max(1, min(cores) // -(-number // len(cores)))}
    return {"num_workers": number, "use_gpu": gpus > 0, "resources_per_worker": share}


def _worker(arguments: dict[str, Any]) -> None:
    """What each process does; Ray has joined them by now."""
    config = Config.from_toml(arguments.pop("config"))
    with joined_ranks() as ranks, progress_bars(Console()) as show:
        train(config=config, on_progress=show if ranks.is_first else silent, **arguments)


def _ours(error: BaseException) -> LLMAgentOSError | None:
    """The first error of our own behind one of Ray's."""
    failures = getattr(error, "worker_failures", None) or {}
    causes = [getattr(error, "cause", None), error.__cause__, *failures.values()]
    for cause in causes:
        if isinstance(cause, LLMAgentOSError):
            return cause
        if isinstance(cause, BaseException) and (found := _ours(cause)) is not None:
            return found
    return None
