"""Two real processes that train together do what one does alone; two.py runs them."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from llmagentos.errors import TrainingError
from llmagentos.training import Ranks, batch_at, read_metrics
from llmagentos.training._run import batch_size_of, check_settings

from .small import CONFIG
from .two import CASES, EXACT, LOSSES, NUM_TEXTS, RESUMED, STEPS, TEMPERATURE, loss_inputs

ROOT = Path(__file__).parents[2]
# With dropout each rank has masks of its own, and Adam makes a gradient that is nothing but rounding as long
# as any other. So these have the same bits only where as many processes run.
SGD_CASES = [name for name in CASES if "adamw" not in name]


def start(folder: Path, *launcher: str) -> str:
    """Run two.py; what it said."""
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment |= {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, "-m", "tests.training.two", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs of two.py."""
    folder = tmp_path_factory.mktemp("two")
    start(folder)
    return folder


@pytest.fixture(scope="module")
def together(runs: Path) -> Path:
    return runs / "together"


@pytest.fixture(scope="module")
def alone(runs: Path) -> Path:
    return runs / "alone"


def told(folder: Path, name: str) -> list[Any]:
    """What each of two ranks wrote."""
    return [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(2)]


def loss_curve(folder: Path) -> list[float]:
    return [row.loss for row in read_metrics(folder / "metrics.jsonl")]


def gradient_norms(folder: Path) -> list[float]:
    return [row.gradient_norm for row in read_metrics(folder / "metrics.jsonl")]


def weights(folder: Path, rank: int = 0) -> dict[str, Tensor]:
    return load_file(folder / f"weights-{rank}.safetensors")


def assert_same_weights(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def assert_near_weights(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Within 1e-5 of the tensor's largest, or of 0.1 where all are near zero."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        error = (found[name] - tensor).abs().max().item()
        assert error <= 1e-5 * max(tensor.abs().max().item(), 0.1), name


# What ranks tell each other.


def test_small_talk(together: Path) -> None:
    for rank, heard in enumerate(told(together, "small-talk")):
        assert (heard["first"], heard["most"]) == (5, 3)
        assert (heard["text"], heard["nothing"]) == ("größer 更大", "")
        assert heard["hashes"] == [2**64 - 1, 7, 2**64 - 2, 7]
        assert heard["groups"] == [2**63 - 1, 3, 2**63 - 1, 3]
        assert heard["rows"] == [[0], [0], [1], [1]]
        assert heard["sums"] == [1.0, 1.0]
        assert heard["gradients"] == [[[3.0, 3.0]], [1.0 + rank]]  # what is frozen is not added up


def test_small_talk_alone(alone: Path) -> None:
    heard = json.loads((alone / "small-talk-0.json").read_text())
    assert (heard["first"], heard["most"], heard["text"]) == (5, 0, "größer 更大")
    assert heard["hashes"] == [2**64 - 1, 7] and heard["rows"] == [[0], [0]]
    assert heard["sums"] == [0.5, 0.0]


# The loss.


def formula(name: str) -> tuple[float, Tensor, Tensor]:
    """The loss of all texts and its gradients, by autograd of the terms in float64."""
    given, wanted = loss_inputs(), LOSSES[name]
    h_a, h_b = (given[key].clone().requires_grad_() for key in "ab")
    views = [*h_a, *h_b]
    hardness = wanted.get("hardness", 0.0)
    hashes = given["hashes"] if wanted.get("hashes") else np.arange(NUM_TEXTS)
    groups = given["groups"] if wanted.get("groups") else np.zeros(NUM_TEXTS)
    total = torch.zeros((), dtype=torch.float64)

    def cosine(x: Tensor, y: Tensor) -> Tensor:
        s: Tensor = x @ y / (x.norm() * y.norm())
        return s

    def negative(x: Tensor, y: Tensor) -> Tensor:
        s = cosine(x, y)
        return torch.exp(hardness * s.detach()) * torch.exp(s / TEMPERATURE)

    for i, view in enumerate(views):
        text, positive = i % NUM_TEXTS, (i + NUM_TEXTS) % (2 * NUM_TEXTS)
        e = torch.exp(cosine(view, views[positive]) / TEMPERATURE)
        denominator = e
        for k, other in enumerate(views):
            same = hashes[k % NUM_TEXTS] == hashes[text] or groups[k % NUM_TEXTS] == groups[text] != 0
            if k not in (i, positive) and not same:
                denominator = denominator + negative(view, other)
        for other, key in zip(given["queue"], given["queued"], strict=True):
            if wanted.get("queue") and key != hashes[text]:
                denominator = denominator + negative(view, other)
        total = total - torch.log(e / denominator)
    loss = total / len(views)
    d_a, d_b = torch.autograd.grad(loss, [h_a, h_b])
    return loss.item(), d_a, d_b


@pytest.mark.parametrize("rows", [1024, 4], ids=["one tile", "many tiles"])
@pytest.mark.parametrize("name", LOSSES)
def test_shares_of_the_loss_add_up(together: Path, alone: Path, name: str, rows: int) -> None:
    expected, *gradients = formula(name)
    shares = [load_file(together / f"losses-{rank}.safetensors") for rank in range(2)]
    whole = load_file(alone / "losses-0.safetensors")
    assert whole[f"{name} {rows} loss"].item() == pytest.approx(expected, rel=1e-9)
    assert sum(share[f"{name} {rows} loss"].item() for share in shares) == pytest.approx(expected, rel=1e-9)
    assert all(share[f"{name} {rows} loss"].item() > 0 for share in shares)
    for view, gradient in zip("ab", gradients, strict=True):
        found = torch.cat([share[f"{name} {rows} {view}"] for share in shares])
        for one in (found, whole[f"{name} {rows} {view}"]):
            assert (one - gradient).abs().max().item() < 1e-9 * gradient.abs().max().item()


def test_each_way_gives_another_loss() -> None:
    assert len({round(formula(name)[0], 6) for name in LOSSES}) == len(LOSSES)


# Whole runs.


@pytest.mark.parametrize("name", SGD_CASES)
def test_two_train_as_one(together: Path, alone: Path, name: str) -> None:
    losses = loss_curve(alone / name)
    assert loss_curve(together / name) == pytest.approx(losses, rel=1e-5)
    assert gradient_norms(together / name) == pytest.approx(gradient_norms(alone / name), rel=1e-5)
    assert len(losses) == CASES[name].steps
    assert_near_weights(weights(together / name), weights(alone / name))


@pytest.mark.parametrize("name", CASES)
def test_ranks_have_the_same_weights(together: Path, name: str) -> None:
    assert_same_weights(weights(together / name, 1), weights(together / name, 0))


def test_each_setting_makes_a_difference(alone: Path) -> None:
    static, queue = (loss_curve(alone / name) for name in ("static", "static-queue"))
    assert all(more > less for more, less in zip(queue, static, strict=True))  # harder, and more of them
    first, frozen = weights(alone / "bert"), weights(alone / "bert-frozen")
    assert any(not torch.equal(first[name], frozen[name]) for name in first)


def test_a_sharded_adam_stays_near(together: Path, alone: Path) -> None:
    # Other masks of dropout, so only about the same.
    losses = [loss_curve(folder / "bert-adamw-sharded") for folder in (together, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=0.2)


@pytest.mark.parametrize("name", ["static", "bert", "static-sharded"])
def test_ranks_share_the_batches_of_one(together: Path, alone: Path, name: str) -> None:
    first, second = (one["asked"] for one in told(together / name, "told"))
    whole = json.loads((alone / name / "told-0.json").read_text())["asked"]
    assert [a + b for a, b in zip(first, second, strict=True)] == whole
    assert whole == [batch_at(step, batch_size=8, size=60, seed=0)[1].tolist() for step in range(STEPS)]
    assert all(len(a) == 4 for a in first)


def test_texts_and_groups_of_both_ranks_are_the_same(together: Path) -> None:
    first, second = (one["asked"] for one in told(together / "static", "told"))
    shares = list(zip(first, second, strict=True))
    same_text = [{i % 10 for i in a} & {i % 10 for i in b} for a, b in shares]
    same_group = [{i % 7 for i in a if i % 2} & {i % 7 for i in b if i % 2} for a, b in shares]
    assert sum(map(bool, same_text)) >= STEPS // 2 and sum(map(bool, same_group)) >= STEPS // 4


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.config.shard])
def test_gradients_are_added_up_once_a_step(together: Path, name: str) -> None:
    for one in told(together / name, "told"):
        number = one["trained"] + 5  # the loss, whether memory ran out, and the work go along
        again = 0 if name != "bert-hungry" else sum(size > 1 for size in one["reduced"]) - CASES[name].steps
        gradients = [size for size in one["reduced"] if size > 1]  # a single number is a word about memory
        assert gradients == [number] * (CASES[name].steps + again)
        assert (name == "bert-hungry") == (again > 0)


def test_no_process_alone_adds_anything_up(alone: Path) -> None:
    for name in CASES:
        assert json.loads((alone / name / "told-0.json").read_text())["reduced"] == []


def test_where_memory_runs_out_on_one_both_take_less_at_a_time(together: Path, alone: Path) -> None:
    slots = [
        json.loads((folder / "bert-hungry" / "micro_batches.json").read_text())
        for folder in (together, alone)
    ]
    assert slots[1] == [[0, 256]]
    ((step, lowered),) = slots[0]
    assert step == 0 and 10 <= lowered <= 64
    assert [one["slots"] for one in told(together / "bert-hungry", "told")] == [lowered, lowered]


def test_one_of_them_writes(together: Path) -> None:
    for name in CASES:
        files = {path.name for path in (together / name).iterdir()}
        assert files == {
            *("checkpoints", "metrics.jsonl", "micro_batches.json", "tensorboard"),
            *(
                f"{kind}-{rank}.{end}"
                for kind, end in (("told", "json"), ("weights", "safetensors"))
                for rank in (0, 1)
            ),
        }
        assert len(list((together / name / "tensorboard").iterdir())) == 1
        assert [path.name for path in (together / name / "checkpoints").iterdir()] == [
            f"step-{CASES[name].steps:08d}"
        ]


# Going on.


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("name", EXACT)
def test_as_many_go_on_exactly(together: Path, alone: Path, name: str, number: int) -> None:
    folder = {1: alone, 2: together}[number]
    assert_same_weights(weights(folder / f"{name} again"), weights(folder / name))
    assert loss_curve(folder / f"{name} again") == loss_curve(folder / name)


@pytest.mark.parametrize("name", [name for name in RESUMED if name in SGD_CASES])
@pytest.mark.parametrize("number", [1, 2])
def test_others_in_number_go_on(together: Path, alone: Path, name: str, number: int) -> None:
    folder = {1: alone, 2: together}[number]
    assert loss_curve(folder / f"{name} moved") == pytest.approx(loss_curve(alone / name), rel=1e-5)
    assert_near_weights(weights(folder / f"{name} moved"), weights(alone / name))


@pytest.mark.parametrize("number", [1, 2])
def test_others_in_number_go_on_with_adam(together: Path, alone: Path, number: int) -> None:
    folder, source = {1: (alone, together), 2: (together, alone)}[number]
    name = "bert-adamw-sharded"
    moved, begun, usual = (
        loss_curve(path) for path in (folder / f"{name} moved", source / name, folder / name)
    )
    assert len(moved) == STEPS
    assert moved[:3] == begun[:3]  # up to the checkpoint the others' own
    assert moved[3:] == pytest.approx(usual[3:], rel=0.2)


@pytest.mark.parametrize("name", RESUMED)
def test_checkpoints_have_the_same_tensors(together: Path, alone: Path, name: str) -> None:
    found, expected = (
        load_file(folder / name / "checkpoints" / f"step-{STEPS:08d}" / "state.safetensors")
        for folder in (together, alone)
    )
    assert {key: (t.shape, t.dtype) for key, t in found.items()} == {
        key: (t.shape, t.dtype) for key, t in expected.items()
    }
    assert any(key.startswith("optimizer.") for key in found)
    assert ("queue.vectors" in found) == ("queue" in name)
    if name in SGD_CASES:
        floats = {key: t for key, t in expected.items() if t.is_floating_point()}
        for key, tensor in floats.items():
            assert (found[key] - tensor).abs().max().item() <= 1e-4 * max(tensor.abs().max().item(), 0.1), key


# What ends a run.


def test_a_batch_that_cannot_be_shared_is_refused(together: Path) -> None:
    for kind, message, _ in told(together, "uneven"):
        assert kind == "TrainingError"
        assert message == (
            "batch_size must be a multiple of the number of processes (2), got 7; 6 is the nearest below "
            "(training.batch_size)"
        )


def test_processes_that_do_not_begin_alike(together: Path) -> None:
    kind, message, _ = json.loads((together / "other-1.json").read_text())
    assert kind == "TrainingError"
    assert message.startswith(
        "process 1 has another encoder than process 0: weights 1, not weights 0; they need"
    )
    assert not (together / "other-0.json").exists()


def test_a_process_that_loses_the_other_says_so(together: Path) -> None:
    kind, message, seconds = json.loads((together / "lost-0.json").read_text())
    assert kind == "LostProcessError" and seconds < 20
    assert "process 0 lost the others of its run" in message and "--resume" in message
    assert not (together / "lost-1.json").exists()


def test_a_sharded_run_without_memory_says_what_to_do(together: Path) -> None:
    for kind, message, _ in told(together, "sharded-hungry"):
        assert kind == "OutOfMemoryError"
        assert (
            "memory ran out, and this process cannot do the step again" in message
            and "a run that goes on takes" in message
        )
    slots = json.loads((together / "hungry" / "micro_batches.json").read_text())
    ((step, lowered),) = slots
    assert step == 0 and 20 <= lowered <= 32  # for the run that goes on


def test_torchrun_starts_them(runs: Path, together: Path) -> None:
    start(runs, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert loss_curve(runs / "torchrun") == loss_curve(together / "static")
    assert_same_weights(weights(runs / "torchrun", 1), weights(together / "static", 1))


def test_a_deadline_is_the_same_number_of_steps_for_both(together: Path) -> None:
    rows = read_metrics(together / "deadline" / "metrics.jsonl")
    first, second = told(together / "deadline", "told")
    assert len(first["asked"]) == len(second["asked"]) == rows[-1].step == rows[-1].total_steps > 20
    assert_same_weights(weights(together / "deadline", 1), weights(together / "deadline", 0))


# Who has which texts.


@pytest.mark.parametrize(
    ("wanted", "texts", "size", "given"),
    [(8, 100, 2, 8), (8, 7, 2, 6), (9, 10, 3, 9), (16, 11, 4, 8)],
)
def test_batch_sizes(wanted: int, texts: int, size: int, given: int) -> None:
    assert batch_size_of(wanted, texts, Ranks(size=size)) == given
    shares = [Ranks(rank, size).share(np.arange(given)) for rank in range(size)]
    assert np.concatenate(shares).tolist() == list(range(given))
    assert {len(share) for share in shares} == {given // size}


def test_more_processes_than_texts_are_refused() -> None:
    with pytest.raises(TrainingError, match="3 processes need at least as many texts, got 2"):
        batch_size_of(9, 2, Ranks(size=3))
    with pytest.raises(TrainingError, match=r"multiple of the number of processes \(4\), got 2; 4 is"):
        check_settings(replace(CONFIG, batch_size=2), Ranks(size=4))
