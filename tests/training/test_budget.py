"""A budget in time: on a clock that the views move, a deadline becomes a number of steps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from llmagentos.encoder import Work
from llmagentos.tokens import TokenStore
from llmagentos.training import Budget, Metrics, _budget, latest_checkpoint, read_metrics, read_state
from llmagentos.training._budget import Clock, Speed
from llmagentos.training._schedule import learning_rate_at
from llmagentos.views import ViewBatch, Views

from .small import CONFIG, VIEWS, static, train

LONG = replace(CONFIG, batch_size=4, max_tokens=6, max_epochs=100)


def run_on_a_clock(
    monkeypatch: pytest.MonkeyPatch,
    store: TokenStore,
    folder: Path,
    seconds: Callable[[int], float],
    deadline: float,
    **options: Any,
) -> list[Metrics]:
    clock = {"now": 1000.0, "steps": 0}

    class Slow(Views):
        def views(self, indices: np.ndarray, **arguments: Any) -> ViewBatch:
            clock["now"] += seconds(int(clock["steps"]))
            clock["steps"] += 1
            return super().views(indices, **arguments)

    monkeypatch.setattr(_budget, "time", SimpleNamespace(monotonic=lambda: clock["now"]))
    options.setdefault("config", replace(CONFIG, batch_size=4, max_tokens=6, max_epochs=8))
    train(
        static(store.tokenizer, 4),
        store,
        folder,
        views=Slow(store, VIEWS),
        budget=Budget(deadline=1000.0 + deadline),
        **options,
    )
    return read_metrics(folder / "metrics.jsonl")


@pytest.mark.parametrize(
    ("seconds", "deadline", "resolved_at", "total"),
    [
        (lambda step: 1.0, 100.5, 20, 100),
        (lambda step: 3.0 if step < 5 else 1.0, 100.5, 20, 90),  # the first five are no measure
        (lambda step: 10.0, 105.0, 6, 10),  # slow: half of the time is over before 20 steps
        (lambda step: 200.0, 100.0, 1, 1),  # one step took longer than there was
        (lambda step: 1.0, -5.0, 1, 1),  # no time was left
        (lambda step: 0.0, 50.0, 20, 200),  # as many epochs as allowed
    ],
)
def test_a_deadline_becomes_a_number_of_steps(
    monkeypatch: pytest.MonkeyPatch,
    store: TokenStore,
    folder: Path,
    seconds: Callable[[int], float],
    deadline: float,
    resolved_at: int,
    total: int,
) -> None:
    rows = run_on_a_clock(monkeypatch, store, folder, seconds, deadline)
    assert rows[-1].step == rows[-1].total_steps == total
    assert {row.total_steps for row in rows if row.step < resolved_at} <= {200}
    assert {row.total_steps for row in rows if row.step >= resolved_at} == {total}
    assert rows[-1].learning_rate < 0.01 * (2 / total if total > 20 else 1)


def test_a_machine_that_is_busy_for_20_steps_is_no_measure_of_a_long_run(
    monkeypatch: pytest.MonkeyPatch, store: TokenStore, folder: Path
) -> None:
    rows = run_on_a_clock(
        monkeypatch, store, folder, lambda step: 0.25 if step < 20 else 0.1, 200.5, config=LONG
    )
    seconds = (15 * 0.25 + 11 * 0.1) / 26  # 3% of the time are over after 31 steps, of which 5 are no measure
    first = 31 + int((200.5 - 6.1) / seconds)
    assert {row.total_steps for row in rows if 31 <= row.step < first // 4} == {first}
    # 20 steps take 5 s, and there is time for 1,955 more.
    assert rows[-1].step == rows[-1].total_steps == pytest.approx(1975, abs=1)


def test_a_machine_that_becomes_slow_ends_in_time(
    monkeypatch: pytest.MonkeyPatch, store: TokenStore, folder: Path
) -> None:
    rows = run_on_a_clock(
        monkeypatch, store, folder, lambda step: 0.1 if step < 300 else 0.2, 100.5, config=LONG
    )
    # 300 steps take 30 s, and there is time for 352 more.
    assert rows[-1].step == rows[-1].total_steps == pytest.approx(652, abs=2)
    assert rows[-1].learning_rate < 0.01 * 2 / 652
    assert max(row.total_steps for row in rows if row.step > 31) == pytest.approx(1005, abs=2)


def test_a_correction_after_few_steps_goes_by_those_before_too(
    monkeypatch: pytest.MonkeyPatch, store: TokenStore, folder: Path
) -> None:
    """Every fourth step takes five times as long; the last correction comes after three or four steps."""
    rows = run_on_a_clock(
        monkeypatch, store, folder, lambda step: 5.0 if step % 4 == 3 else 1.0, 80.5, config=LONG
    )
    assert rows[-1].step == rows[-1].total_steps == pytest.approx(40, abs=1)


def test_the_warm_up_is_a_tenth_of_a_run_whose_steps_are_not_known_yet(
    monkeypatch: pytest.MonkeyPatch, store: TokenStore, folder: Path
) -> None:
    """100 epochs would be 2,500 steps; there is time for 40, and the first step is a slow one."""
    config = replace(LONG, warmup_steps=50)
    rows = run_on_a_clock(monkeypatch, store, folder, lambda step: 1.0 if step else 9.0, 48.5, config=config)
    assert rows[-1].step == 40
    rates = [row.learning_rate / 0.01 for row in rows]
    expected = [learning_rate_at(step, peak=1, warmup_steps=50, total_steps=40) for step in range(40)]
    assert rates[0] <= expected[0] / 5  # nothing is known yet
    assert rates[2:] == pytest.approx(expected[2:], rel=0.05)


def test_a_resumed_run_keeps_its_number_of_steps(
    monkeypatch: pytest.MonkeyPatch, store: TokenStore, folder: Path
) -> None:
    def stop(row: Metrics) -> None:
        if row.step == 27:
            raise KeyboardInterrupt

    def second(step: int) -> float:
        return 1.0

    config = replace(CONFIG, batch_size=4, max_tokens=6, max_epochs=8)
    options: dict[str, Any] = {"config": config}
    with pytest.raises(KeyboardInterrupt):
        run_on_a_clock(monkeypatch, store, folder, second, 60.5, on_metrics=stop, **options)
    rows = run_on_a_clock(monkeypatch, store, folder, second, 9999.0, resume=True, **options)
    assert rows[-1].step == 60
    assert [row.step for row in rows] == list(range(1, 61))
    assert [row.seconds for row in rows] == sorted(row.seconds for row in rows)


def test_a_run_killed_before_its_deadline_was_resolved_still_ends_by_it(
    monkeypatch: pytest.MonkeyPatch, store: TokenStore, folder: Path
) -> None:
    def stop(row: Metrics) -> None:
        if row.step == 12:
            raise KeyboardInterrupt

    config = replace(CONFIG, batch_size=4, max_tokens=6, max_epochs=8)
    options: dict[str, Any] = {"config": config}
    with pytest.raises(KeyboardInterrupt):
        run_on_a_clock(monkeypatch, store, folder, lambda step: 1.0, 60.5, on_metrics=stop, **options)
    kept = latest_checkpoint(folder / "checkpoints")
    assert kept is not None and read_state(kept).step == 10
    rows = run_on_a_clock(monkeypatch, store, folder, lambda step: 1.0, 40.5, resume=True, **options)
    assert rows[-1].step == rows[-1].total_steps == 10 + 40


def test_speed_is_that_since_the_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr(_budget, "time", SimpleNamespace(monotonic=lambda: now[0]))
    clock = Clock()
    for _ in range(3):
        now[0] += 2.0
        clock.count(16, Work(tokens=300, slots=400, flops=6e6))
    assert clock.speed() == Speed(texts=8.0, tokens=150.0, flops=3e6, padding=0.25)
    now[0] += 4.0
    clock.count(16, Work(tokens=200, slots=200, flops=2e6))
    assert clock.speed() == Speed(texts=4.0, tokens=50.0, flops=5e5, padding=0.0)
    now[0] += 1.0
    assert clock.speed() == Speed(texts=0.0, tokens=0.0, flops=0.0, padding=0.0)
    assert clock.seconds == 11.0
