"""The loss curve is the one that is kept in tests/golden (see golden.py for how it is written)."""

import json
from pathlib import Path

import pytest

from .golden import PATH, STEPS, loss_curve


def test_the_loss_curve_has_not_changed(tmp_path: Path) -> None:
    expected = json.loads(PATH.read_text(encoding="utf-8"))
    assert len(expected) == STEPS and expected[-1] < 0.7 * expected[0]
    assert loss_curve(tmp_path) == pytest.approx(expected, rel=1e-4)
