"""How many slots go at once since which step: kept on disk, because a run that goes on needs the same."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from llmagentos.encoder import TransformerEncoder
from llmagentos.errors import OutputError, TrainingError
from llmagentos.training._micro_batches import MicroBatches
from llmagentos.views import Views, ViewsConfig

from .small import CONFIG, bert_of, make_store, make_texts, train


def test_slots_at_each_step(tmp_path: Path) -> None:
    slots = MicroBatches(tmp_path / "new" / "run", 2048, resume=False)
    assert [slots.at(step) for step in (0, 1, 10**9)] == [2048] * 3
    slots.lower(7, 1024)
    slots.lower(9, 512)
    slots.lower(9, 256)
    assert [slots.at(step) for step in (0, 6, 7, 8, 9, 10)] == [2048, 2048, 1024, 1024, 256, 256]


def test_a_run_that_goes_on_has_the_same(tmp_path: Path) -> None:
    MicroBatches(tmp_path, 2048, resume=False).lower(7, 1024)
    again = MicroBatches(tmp_path, 2048, resume=True)
    assert [again.at(step) for step in (6, 7)] == [2048, 1024]
    again.lower(3, 512)  # an earlier step, after the checkpoint: the later one has not happened
    assert [MicroBatches(tmp_path, 2048, resume=True).at(step) for step in (2, 3, 7)] == [2048, 512, 512]
    assert [path.name for path in tmp_path.iterdir()] == ["micro_batches.json"]


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    MicroBatches(tmp_path, 2048, resume=False).lower(0, 64)
    assert MicroBatches(tmp_path, 2048, resume=False).at(5) == 2048
    assert MicroBatches(tmp_path, 4096, resume=True).at(5) == 2048
    assert json.loads((tmp_path / "micro_batches.json").read_text()) == [[0, 2048]]


def test_one_of_several_processes_begins_and_any_may_lower(tmp_path: Path) -> None:
    other = MicroBatches(tmp_path, 2048, resume=False, write=False)
    assert list(tmp_path.iterdir()) == []
    other.lower(3, 1024)
    assert (other.at(2), other.at(3)) == (2048, 1024)
    assert MicroBatches(tmp_path, 2048, resume=True).at(3) == 1024


@pytest.mark.parametrize("text", ["", "[[0, 20", "{}", "[]", "[[0]]", "null", '[["a", 1]]', "[[5, 64]]"])
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "micro_batches.json").write_text(text)
    message = r"micro_batches\.json is missing or damaged .*; remove .*, and --resume"
    with pytest.raises(TrainingError, match=message):
        MicroBatches(tmp_path, 2048, resume=True)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"micro_batches\.json is missing or damaged .*No such file"):
        MicroBatches(tmp_path, 2048, resume=True)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OutputError, match=r"micro_batches\.json cannot be written \(.*\); choose a folder"):
        MicroBatches(tmp_path / "run", 2048, resume=False)


@pytest.mark.parametrize("slots", [1, 48, 2048])
def test_no_more_goes_at_once_than_was_asked_for(tmp_path: Path, slots: int) -> None:
    seen: list[tuple[int, int]] = []

    class Watched(TransformerEncoder):
        def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
            seen.append((len(offsets) - 1, len(tokens) + 2 * (len(offsets) - 1)))
            return super().forward(tokens, offsets)

    encoder = bert_of(Watched)
    store = make_store(tmp_path / "store", make_texts(40), encoder.tokenizer)
    views = Views(store, ViewsConfig(preset="crop"))
    seen.clear()
    train(
        encoder,
        store,
        tmp_path / "run",
        config=replace(CONFIG, micro_batch_tokens=slots),
        views=views,
        steps=2,
    )
    assert all(texts == 1 or size <= slots for texts, size in seen)
    assert sum(texts for texts, _ in seen) == 2 + 2 * 2 * 16  # and two that are measured
    if slots == 2048:
        assert len(seen) == 2 + 2
    else:
        assert len(seen) >= (2 * 32 if slots == 1 else 10)
    assert torch.isfinite(next(encoder.parameters())).all()
