"""Checkpoints are whole or absent, and say what is wrong with them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from llmagentos.encoder import StaticEncoder
from llmagentos.errors import OutputError, TrainingError
from llmagentos.training import RunState, _checkpoint, latest_checkpoint, load_weights, read_state
from llmagentos.training._checkpoint import load_checkpoint, plain, resumable_state, save_checkpoint
from llmagentos.training._optimizer import make_optimizer

from .small import CONFIG, same_weights, static, word_tokenizer

STATE = RunState(
    step=5, total_steps=50, num_threads=1, num_ranks=1, batch_size=8, config={"training": {"seed": 0}}
)


OPTIMIZERS = {"adamw": CONFIG, "sgd": replace(CONFIG, optimizer="sgd")}


def trained(optimizer: str = "adamw") -> tuple[StaticEncoder, torch.optim.Optimizer]:
    encoder = static(word_tokenizer())
    made = make_optimizer(encoder, OPTIMIZERS[optimizer])
    step(encoder, made)
    return encoder, made


def step(encoder: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    optimizer.zero_grad()
    torch.autograd.backward(next(encoder.parameters()).square().sum())
    optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_and_optimiser_come_back(tmp_path: Path, name: str) -> None:
    encoder, optimizer = trained(name)
    path = save_checkpoint(tmp_path, encoder, optimizer, STATE)
    assert read_state(path) == STATE
    assert sorted(file.name for file in path.iterdir()) == ["run.json", "state.safetensors"]
    other = static(word_tokenizer())
    other_optimizer = make_optimizer(other, OPTIMIZERS[name])
    load_checkpoint(path, other, other_optimizer)
    assert same_weights(encoder, other)
    step(encoder, optimizer)
    step(other, other_optimizer)
    assert same_weights(encoder, other)


def test_the_newest_is_taken_and_the_older_are_removed(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "none") is None
    encoder, optimizer = trained()
    for number in (99_999_999, 100_000_000):
        path = save_checkpoint(tmp_path, encoder, optimizer, replace(STATE, step=number))
        assert latest_checkpoint(tmp_path) == path
        assert [item.name for item in tmp_path.iterdir()] == [path.name]
    (tmp_path / "step-00000005").mkdir()  # left by a kill between the two
    assert latest_checkpoint(tmp_path) == path


def test_what_a_kill_while_writing_left_is_never_taken(tmp_path: Path) -> None:
    encoder, optimizer = trained()
    path = save_checkpoint(tmp_path, encoder, optimizer, STATE)
    partial = tmp_path / ".step-00000010.partial"
    partial.mkdir()
    (partial / "state.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path) == path
    newer = save_checkpoint(tmp_path, encoder, optimizer, replace(STATE, step=10))
    assert [item.name for item in tmp_path.iterdir()] == [newer.name]
    assert read_state(newer).step == 10


def test_a_step_that_is_there_already_is_left_as_it_is(tmp_path: Path) -> None:
    encoder, optimizer = trained()
    path = save_checkpoint(tmp_path, encoder, optimizer, STATE)
    before = (path / "state.safetensors").stat().st_mtime_ns
    assert save_checkpoint(tmp_path, encoder, optimizer, STATE) == path
    assert (path / "state.safetensors").stat().st_mtime_ns == before


def test_a_failed_write_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, optimizer = trained()
    path = save_checkpoint(tmp_path, encoder, optimizer, STATE)

    def full(tensors: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_checkpoint, "save_file", full)
    with pytest.raises(
        OutputError, match=r"step-00000010 cannot be written .*No space left.*free some space"
    ):
        save_checkpoint(tmp_path, encoder, optimizer, replace(STATE, step=10))
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def garble(path: Path) -> None:
    path.write_bytes(b"{}garbage" + path.read_bytes()[9:])


@pytest.mark.parametrize("damage", [truncate, garble, Path.unlink])
def test_damaged_weights(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    encoder, optimizer = trained()
    path = save_checkpoint(tmp_path, encoder, optimizer, STATE)
    damage(path / "state.safetensors")
    with pytest.raises(TrainingError, match=r"does not fit .*remove .*, and --resume trains from"):
        load_checkpoint(path, encoder, optimizer)


@pytest.mark.parametrize("error", [MemoryError(), OSError(12, "Cannot allocate memory")])
def test_memory_that_runs_out_while_it_is_written_is_no_full_disk(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, optimizer = trained()
    path = save_checkpoint(tmp_path, encoder, optimizer, STATE)

    def fails(tensors: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise error

    monkeypatch.setattr(_checkpoint, "save_file", fails)
    with pytest.raises(TrainingError, match=r"ran out for the checkpoint .*step-00000010; end what else"):
        save_checkpoint(tmp_path, encoder, optimizer, replace(STATE, step=10))
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_an_error_of_a_gpu_says_nothing_of_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, optimizer = trained()
    path = save_checkpoint(tmp_path, encoder, optimizer, STATE)

    def fails(*_: Any) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(encoder, "load_state_dict", fails)
    with pytest.raises(torch.AcceleratorError):
        load_checkpoint(path, encoder, optimizer)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("mmap: Cannot allocate memory"),
    ],
)
def test_a_whole_checkpoint_for_which_there_is_no_memory(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, optimizer = trained()
    path = save_checkpoint(tmp_path, encoder, optimizer, STATE)

    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(_checkpoint, "load_file", fails)
    with pytest.raises(TrainingError, match=r"ran out .*, which is whole; .*--resume$"):
        load_checkpoint(path, encoder, optimizer)
    with pytest.raises(TrainingError, match=r"ran out .*, which is whole; .*--resume$"):
        load_weights(path, encoder)


def test_a_checkpoint_that_may_not_be_read_is_not_to_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, optimizer = trained()
    path = save_checkpoint(tmp_path, encoder, optimizer, STATE)

    opened = Path.open

    def fails(file: Path, *arguments: Any, **options: Any) -> Any:  # this user may be one who may read all
        if file.name == "state.safetensors":
            raise PermissionError(13, "Permission denied")
        return opened(file, *arguments, **options)

    monkeypatch.setattr(Path, "open", fails)
    with pytest.raises(TrainingError, match=r"cannot be read \(.*Permission denied\); see to it") as caught:
        load_checkpoint(path, encoder, optimizer)
    assert "remove" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[1]", '{"step": 1}', '"text"'),
        *(
            {"step": "x"},
            {"step": -5},
            {"step": True},
            {"config": []},
            {"gradient_scale": None},
            {"num_threads": 0},
            {"total_steps": 1.5},
            {"batch_size": True},
        ),
    ],
)
def test_damaged_state(tmp_path: Path, content: str | dict[str, Any]) -> None:
    path = save_checkpoint(tmp_path, *trained(), STATE)
    whole = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(content if isinstance(content, str) else json.dumps(whole | content))
    with pytest.raises(TrainingError, match="is damaged"):
        read_state(path)


def test_weights_of_another_encoder(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, *trained(), STATE)
    other = static(word_tokenizer(), dimension=8)
    with pytest.raises(TrainingError, match=r"does not fit .*size mismatch"):
        load_checkpoint(path, other, make_optimizer(other, CONFIG))


@pytest.mark.parametrize(
    ("given", "difference"),
    [
        ({"training": {"seed": 1}}, r"training\.seed was 0 and is now 1"),
        ({"training": {"seed": 0}, "views": {}}, r"views was unset and is now {}"),
        ({}, r"training was {'seed': 0} and is now unset"),
    ],
)
def test_other_settings_are_refused_by_name(
    tmp_path: Path, given: dict[str, object], difference: str
) -> None:
    path = save_checkpoint(tmp_path, *trained(), STATE)
    assert resumable_state(path, {"training": {"seed": 0}}) == STATE
    with pytest.raises(TrainingError, match=f"other settings: {difference}; go on with the same settings"):
        resumable_state(path, given)


def test_of_a_file_of_settings_the_first_other_line_is_told(tmp_path: Path) -> None:
    text = "[views]\na = 1\nb = 2\n"
    path = save_checkpoint(tmp_path, *trained(), replace(STATE, config={"config": text}))
    with pytest.raises(TrainingError, match=r"config was 'b = 2' and is now 'b = 3'; go on"):
        resumable_state(path, {"config": text.replace("2", "3")})
    with pytest.raises(TrainingError, match=r"config was '' and is now 'c = 4'; go on"):
        resumable_state(path, {"config": text + "c = 4\n"})


def test_settings_compare_as_they_are_stored() -> None:
    config = {"rates": (0.1, 1 / 3), "path": None}
    assert plain(config) == json.loads(json.dumps(plain(config))) == {"rates": [0.1, 1 / 3], "path": None}
