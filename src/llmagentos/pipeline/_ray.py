"""The same run on a Ray cluster: Ray starts the processes and joins them, each does what it always does."""

import os
from pathlib import Path
from typing import Any

from rich.console import Console

from llmagentos.config import Config
from llmagentos.errors import InputError, LLMAgentOSError, TrainingError
from llmagentos.pipeline._progress import silent
from llmagentos.pipeline._screen import progress_bars
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
    resume: bool = False,
) -> None:
    """`train`, in processes of a Ray cluster.

    Args:
        address: of a running cluster, `auto` for the one of this machine, or `local` to start one here.
        inputs: files and folders that every machine sees under the same path.
        out: likewise, a new folder for the model.
        workers: processes; None for one a GPU, or one a machine where there is none.
        encoder: as in `train`.
        config: as in `train`.
        minutes: as in `train`.
        steps: as in `train`.
        resume: as in `train`, also with another number of workers.

    Raises:
        LLMAgentOSError: as `train`; Ray is not installed, or there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers
    try:
        import ray
        from ray.train import ScalingConfig
        from ray.train.torch import TorchTrainer
    except ImportError as error:
        raise InputError("Ray is not installed; pip install 'llmagentos[ray]' (--ray)") from error
    if "-" in inputs:
        raise InputError(
            "standard input cannot be read on a cluster; give files that all its machines see (--ray)"
        )
    arguments = {
        "inputs": [str(Path(name).absolute()) for name in inputs],
        "out": str(Path(out).absolute()),
        "encoder": str(Path(encoder).absolute()) if Path(encoder).is_dir() else encoder,
        "config": (config or Config()).to_toml(),
        "minutes": minutes,
        "steps": steps,
        "resume": resume,
    }
    try:
        ray.init(address=None if address == "local" else address, log_to_driver=True)
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"there is no Ray cluster at {address} ({str(error).splitlines()[0]}); give its address, auto, "
            "or local to start one on this machine (--ray)"
        ) from error
    try:
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray has none
        gpus = int(resources.get("GPU", 0))
        machines = sum(1 for name in resources if name.startswith("node:") and name[5].isdigit())
        number = workers or gpus or max(1, machines)
        scaling = ScalingConfig(num_workers=number, use_gpu=gpus > 0)
        TorchTrainer(_worker, train_loop_config=arguments, scaling_config=scaling).fit()
    except Exception as error:  # Ray wraps what a worker raised in several ways
        if (ours := _ours(error)) is not None:
            raise ours from error
        raise TrainingError(
            f"the run on Ray ended ({' '.join(str(error).split())[:300]}); its log says more, and --resume "
            "goes on from the last checkpoint"
        ) from error
    finally:
        ray.shutdown()


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
