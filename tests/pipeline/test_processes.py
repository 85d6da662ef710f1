"""One run in several processes, started by torchrun and by Ray: real processes, the real command."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from llmagentos.errors import InputError
from llmagentos.pipeline._ray import _scaling
from llmagentos.training import read_metrics

from ..cli import CHINESE, ENGLISH, TINY, run, write_texts
from ..encoder.tiny import save_models

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
SETTINGS = (*TINY, "--set=views.preset=paragraph", "--set=training.warmup_steps=0", "--steps=6")


def started(module: Sequence[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return python("-m", *module, *arguments)


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"), [*ENGLISH, *CHINESE])


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return {"static": "static", "bert": str(save_models(tmp_path_factory.mktemp("models"))["bert"])}


@pytest.fixture(scope="module")
def alone(
    texts: Path, encoders: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("alone")
    for name, encoder in encoders.items():
        assert run("train", texts, "--out", folder / name, "--encoder", encoder, *SETTINGS).status == 0
    adapting = ("--encoder", encoders["bert"], "--adapt-vocabulary")
    assert run("train", texts, "--out", folder / "adapted", *adapting, *SETTINGS).status == 0
    return {name: folder / name for name in (*encoders, "adapted")}


def assert_same_run(model: Path, other: Path) -> None:
    """As close as sums in another order come."""
    rows, others = (read_metrics(folder / "metrics.jsonl") for folder in (model, other))
    assert [row.loss for row in rows] == pytest.approx([row.loss for row in others], rel=1e-5)
    # Adam makes steps of full length of gradients that are nothing but rounding: losses tell more.
    weights, other_weights = (load_file(folder / "model.safetensors") for folder in (model, other))
    assert weights.keys() == other_weights.keys()
    if list(weights) == ["embedding.weight"]:
        difference = np.linalg.norm(weights["embedding.weight"] - other_weights["embedding.weight"])
        assert difference < 1e-5 * np.linalg.norm(weights["embedding.weight"])
    assert SentenceTransformer(str(model), device="cpu").encode(["text"]).shape[0] == 1


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("static", ()),
        ("bert", ()),
        ("bert", ("--set=training.shard=true",)),
        ("bert", ("--adapt-vocabulary",)),
        ("bert", ("--adapt-vocabulary", "--set=training.shard=true")),
    ],
)
def test_torchrun_trains_what_one_process_does(
    tmp_path: Path,
    texts: Path,
    encoders: Mapping[str, str],
    alone: dict[str, Path],
    name: str,
    more: tuple[str, ...],
) -> None:
    out = tmp_path / "model"
    done = started(
        TORCHRUN, "llmagentos", "train", texts, "--out", out, "--encoder", encoders[name], *SETTINGS, *more
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Next:") == 1  # the first one speaks
    assert_same_run(out, alone["adapted" if "--adapt-vocabulary" in more else name])


def test_what_is_refused_is_said_once_and_all_end(tmp_path: Path, texts: Path) -> None:
    done = started(
        TORCHRUN, "llmagentos", "train", texts, "--out", tmp_path / "model", *SETTINGS, "--set=views.preset=x"
    )
    assert done.returncode != 0
    assert "preset must be" in done.stderr
    done = started(TORCHRUN, "llmagentos", "train", texts, "--out", texts.parent / "texts.txt", *SETTINGS)
    assert done.returncode != 0 and "exists already" in done.stderr
    assert "Traceback (most recent call last):\n  File" not in done.stderr.split("ChildFailedError")[0][:500]


TWO_ON_RAY = """
import sys
from llmagentos.config import Config
from llmagentos.pipeline import train_on_ray

texts, out, steps, *settings = sys.argv[1:]
train_on_ray("local", [texts], out, workers=2, config=Config().override(settings), steps=int(steps))
"""


def test_ray_trains_what_one_process_does(tmp_path: Path, texts: Path, alone: dict[str, Path]) -> None:
    out = tmp_path / "model"
    (tmp_path / "model.ray").mkdir()  # of somebody else
    settings = [setting.removeprefix("--set=") for setting in SETTINGS if setting.startswith("--set=")]
    done = python("-c", TWO_ON_RAY, texts, out, "6", *settings)
    assert done.returncode == 0, done.stderr
    assert_same_run(out, alone["static"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.ray"]


def test_ray_from_the_command_line(tmp_path: Path, texts: Path) -> None:
    out = tmp_path / "model"
    arguments = ("train", texts, "--out", out, *SETTINGS, "--ray", "local")
    done = started(["llmagentos"], *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"The model is in {out}\n")  # of too few texts for a report
    again = started(["llmagentos"], *arguments)
    assert again.returncode == 2
    assert f"llmagentos: {out} exists already; choose another --out" in again.stderr.splitlines()[-1]


def test_ray_at_an_address_where_nobody_listens(tmp_path: Path, texts: Path) -> None:
    refused = run("train", texts, "--out", tmp_path / "model", "--ray", "127.0.0.1:1")
    assert "there is no Ray cluster at 127.0.0.1:1" in refused.sentence


def machine(cores: int, gpus: int = 0, *, alive: bool = True) -> dict[str, Any]:
    resources = {"CPU": float(cores), "memory": 1e9, **({"GPU": float(gpus)} if gpus else {})}
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("machines", "workers", "number", "share"),
    [
        ([machine(64), machine(64), machine(8, alive=False)], None, 2, {"CPU": 64}),
        ([machine(64), machine(64)], 4, 4, {"CPU": 32}),
        ([machine(64), machine(64)], 3, 3, {"CPU": 32}),
        ([machine(2)], 2, 2, {"CPU": 1}),
        ([machine(64, 8), machine(64, 8)], None, 16, {"CPU": 8, "GPU": 1}),
        ([machine(64), machine(64, 8)], None, 8, {"CPU": 8, "GPU": 1}),
        ([machine(64, 8), machine(64, 1)], None, 9, {"CPU": 8, "GPU": 1}),
        ([machine(0, 1)], None, 1, {"CPU": 0, "GPU": 1}),
    ],
)
def test_what_each_process_on_ray_has(
    machines: list[dict[str, Any]], workers: int | None, number: int, share: dict[str, int]
) -> None:
    scaling = _scaling(machines, workers)
    assert (scaling["num_workers"], scaling["resources_per_worker"]) == (number, share)


@pytest.mark.parametrize(
    ("machines", "workers", "has"),
    [([machine(2)], 3, "2"), ([machine(64, 2)], 3, "2"), ([machine(2)], -1, "2")],
)
def test_ray_has_too_few(machines: list[dict[str, Any]], workers: int | None, has: str) -> None:
    with pytest.raises(
        InputError, match=f"workers must be from 1 to {has}, the .* of the cluster, got {workers}"
    ):
        _scaling(machines, workers)


def test_ray_has_none() -> None:
    with pytest.raises(InputError, match="no machine of the cluster has any cores"):
        _scaling([machine(8, alive=False)], None)


def test_ray_reads_no_standard_input(tmp_path: Path) -> None:
    refused = run("train", "-", "--out", tmp_path / "model", "--ray", "local")
    assert "standard input cannot be read on a cluster" in refused.sentence
