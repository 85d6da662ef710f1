"""Rows of metrics: what is written, what is dropped on resume, and when the alarm rings."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import orjson
import pytest

from llmagentos.errors import CollapseError
from llmagentos.training import Metrics, read_metrics
from llmagentos.training._monitor import CollapseAlarm, metrics_log

ROW = Metrics(
    step=1,
    total_steps=100,
    epoch=0,
    seconds=0.5,
    loss=2.0,
    alignment=0.5,
    uniformity=-2.0,
    effective_rank=9.0,
    dimension_deviation=0.9,
    gradient_norm=0.1,
    learning_rate=0.001,
    texts_per_second=1e3,
    tokens_per_second=1e4,
    padding=0.0,
    flop_utilisation=0.5,
    recomputed=0.0,
)


def write(folder: Path, steps: range, after: int) -> float:
    with metrics_log(folder, after) as log:
        for step in steps:
            log.write(replace(ROW, step=step, seconds=float(step)))
        return log.seconds


def test_the_first_row_is_remembered(tmp_path: Path) -> None:
    with metrics_log(tmp_path, 0) as log:
        assert log.first_deviation is None
        for step, deviation in ((1, 0.7), (2, 0.2)):
            log.write(replace(ROW, step=step, dimension_deviation=deviation))
    with metrics_log(tmp_path, 2) as log:
        assert log.first_deviation == 0.7


def test_rows_come_back(tmp_path: Path) -> None:
    write(tmp_path / "new" / "run", range(1, 4), 0)
    rows = read_metrics(tmp_path / "new" / "run" / "metrics.jsonl")
    assert [row.step for row in rows] == [1, 2, 3]
    assert rows[0] == replace(ROW, seconds=1.0)
    assert list((tmp_path / "new" / "run" / "tensorboard").iterdir())


def test_what_is_no_number_is_null_and_comes_back(tmp_path: Path) -> None:
    with metrics_log(tmp_path, 0) as log:
        log.write(replace(ROW, gradient_norm=math.nan))
        log.write(replace(ROW, step=2, gradient_norm=math.inf))
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [orjson.loads(line)["gradient_norm"] for line in lines] == [None, None]
    assert [math.isnan(row.gradient_norm) for row in read_metrics(tmp_path / "metrics.jsonl")] == [True, True]


def test_rows_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    write(tmp_path, range(1, 9), 0)
    assert write(tmp_path, range(6, 8), 5) == 5.0  # the seconds go on from the last row kept
    assert [row.step for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6, 7]
    assert write(tmp_path, range(1, 2), 0) == 0.0
    assert [row.step for row in read_metrics(tmp_path / "metrics.jsonl")] == [1]


def test_a_row_that_a_kill_left_unfinished_is_dropped(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4), 0)
    path = tmp_path / "metrics.jsonl"
    with path.open("a") as file:
        file.write(json.dumps(asdict(replace(ROW, step=4)))[:50])
    assert [row.step for row in read_metrics(path)] == [1, 2, 3]
    write(tmp_path, range(4, 6), 4)
    assert [row.step for row in read_metrics(path)] == [1, 2, 3, 4, 5]
    assert read_metrics(tmp_path / "missing.jsonl") == []


def test_a_row_is_on_disk_before_the_run_ends(tmp_path: Path) -> None:
    with metrics_log(tmp_path, 0) as log:
        log.write(ROW)
        assert read_metrics(tmp_path / "metrics.jsonl") == [ROW]


def check(deviations: list[float], total_steps: int = 100, first: float | None = None) -> CollapseAlarm:
    alarm = CollapseAlarm(first, 0.01)
    for step, deviation in enumerate(deviations, 1):
        alarm.check(replace(ROW, step=step, total_steps=total_steps, dimension_deviation=deviation))
    return alarm


def test_the_third_collapsed_row_running_stops_the_run() -> None:
    assert not check([0.9, 0.05, 0.05, 0.5, 0.05, 0.05, 0.9]).waiting
    assert check([0.9, 0.05]).waiting
    with pytest.raises(CollapseError, match=r"step 4: .*deviation 0\.050.*lower learning rate than 0\.01"):
        check([0.9, 0.05, 0.05, 0.05])


def test_a_run_must_not_end_collapsed() -> None:
    with pytest.raises(CollapseError, match="step 2"):
        check([0.9, 0.05], total_steps=2)


def test_a_narrow_start_that_widens_is_no_collapse() -> None:
    assert not check([0.05, 0.06, 0.07, 0.08, 0.3]).waiting
    assert not check([0.08, 0.079, 0.078, 0.077, 0.076]).waiting
    assert not check([0.04] * 5, first=0.07).waiting
    with pytest.raises(CollapseError, match="step 3"):
        check([0.0, 0.0, 0.0])
    with pytest.raises(CollapseError, match="step 5"):
        check([0.05, 0.04, 0.02, 0.02, 0.02])
    with pytest.raises(CollapseError, match="step 3"):
        check([0.04] * 5, first=0.9)
