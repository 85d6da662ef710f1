import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import v_measure_score

from llmagentos.errors import ConfigError
from llmagentos.evaluation import _bootstrap, bootstrap_interval, paired_bootstrap
from llmagentos.evaluation._bootstrap import Sample, compare, score

values = st.lists(st.floats(-10, 10, allow_nan=False), min_size=2, max_size=40)


@given(values)
def test_the_interval_of_a_mean_is_within_the_values(column: list[float]) -> None:
    found = bootstrap_interval(column, resamples=50)
    assert found.value == pytest.approx(np.mean(column), abs=1e-9)
    assert min(column) - 1e-9 <= found.low <= found.high <= max(column) + 1e-9


@given(values, st.integers(0, 3))
def test_correlations_are_scipys(column: list[float], digits: int) -> None:
    a = np.round(column, digits)
    b = np.round(np.random.default_rng(len(column)).normal(size=len(a)), digits)
    if len(set(a)) < 2 or len(set(b)) < 2:
        assert bootstrap_interval(a, gold=b, resamples=2).value == 0
    else:
        expected = spearmanr(a, b).statistic
        assert bootstrap_interval(a, gold=b, resamples=2).value == pytest.approx(expected, abs=1e-9)


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    column = np.random.default_rng(0).normal(3.0, 2.0, size=4000)
    found = bootstrap_interval(column)
    half = 1.96 * column.std() / np.sqrt(len(column))
    assert found.low == pytest.approx(column.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(column.mean() + half, abs=0.15 * half)


def test_the_interval_of_a_correlation_is_that_of_resampled_pairs() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=300)
    b = a + rng.normal(size=300)
    drawn = [spearmanr(a[i], b[i]).statistic for i in (rng.integers(0, 300, 300) for _ in range(400))]
    found = bootstrap_interval(a, gold=b)
    np.testing.assert_allclose([found.low, found.high], np.quantile(drawn, [0.025, 0.975]), atol=0.02)


def test_pairing_removes_what_is_common() -> None:
    rng = np.random.default_rng(2)
    hard = rng.normal(0, 10, size=500)
    found = paired_bootstrap(hard + 0.5 + rng.normal(0, 0.1, 500), hard)
    assert 0.48 < found.low < 0.5 < found.high < 0.52 and found.probability == 1


@given(values)
def test_a_method_does_not_beat_itself(column: list[float]) -> None:
    found = paired_bootstrap(column, column, resamples=20)
    assert (found.value, found.low, found.high, found.probability) == (0, 0, 0, 0.5)


def test_differences_are_antisymmetric_and_repeatable() -> None:
    rng = np.random.default_rng(3)
    a, b, gold = rng.normal(size=(3, 200))
    there, back = paired_bootstrap(a, b, gold=gold, seed=7), paired_bootstrap(b, a, gold=gold, seed=7)
    assert there.value == -back.value and there.low == pytest.approx(-back.high)
    assert there == paired_bootstrap(a, b, gold=gold, seed=7) != paired_bootstrap(a, b, gold=gold, seed=8)


def test_v_measure_is_scikit_learns_and_within_its_interval() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 8, 400)
    found = np.where(rng.random(400) < 0.5, labels, rng.integers(0, 8, 400))
    sample = Sample(found.astype(float), labels.astype(float), "v_measure")
    assert score(sample) == pytest.approx(v_measure_score(labels, found))
    (interval,), _ = compare([sample])
    assert interval.low < interval.value < interval.high < interval.low + 0.15
    alone = Sample(np.zeros(4), np.zeros(4), "v_measure")
    assert score(alone) == 1 == v_measure_score([0] * 4, [0] * 4)


def test_blocks_of_resamples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    column = np.random.default_rng(5).normal(size=50)
    whole = bootstrap_interval(column)
    monkeypatch.setattr(_bootstrap, "_COUNTS_AT_ONCE", 333)
    assert bootstrap_interval(column) == whole


def test_bad_options_are_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"confidence must be between 0 and 1, got 95; 0\.95 is usual"):
        bootstrap_interval([1.0], confidence=95)
    with pytest.raises(ConfigError, match="resamples must be >= 1, got 0"):
        bootstrap_interval([1.0], resamples=0)
    with pytest.raises(ConfigError, match="got 2 and 3 values"):
        paired_bootstrap([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ConfigError, match="gold must have one value an item"):
        bootstrap_interval([1.0, 2.0], gold=[1.0])
    for bad in ([], [np.nan], [[1.0]]):
        with pytest.raises(ConfigError, match="one finite value an item"):
            bootstrap_interval(bad)
