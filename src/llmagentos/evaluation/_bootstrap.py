"""How sure a score is: percentile bootstrap intervals and paired differences.

Everything resampled (queries, pairs, texts) is drawn once per seed as a matrix of counts, and every
statistic is written in terms of counts. So a thousand resamples are a few matrix products, and two
methods measured on the same items are resampled together, which makes their difference paired for
nothing: the variance that comes from easy and hard items cancels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from llmagentos.errors import ConfigError

Floats = npt.NDArray[np.float64]

# 4 M counts of 8 bytes: 32 MB at a time, whatever the number of items.
_COUNTS_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A score with its percentile bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """a - b with its paired bootstrap interval; `probability`: share of resamples in which a is better."""

    value: float
    low: float
    high: float
    probability: float


@dataclass(frozen=True, eq=False)
class Sample:
    """What one method did on every item, and the statistic that makes a score of it.

    mean: the mean of `values`, weighted where there are `weights`. spearman: the rank correlation of
    `values` with `gold`. v_measure: the agreement of cluster numbers (`values`) with label numbers (`gold`).
    """

    values: Floats
    gold: Floats | None = None
    statistic: Literal["mean", "spearman", "v_measure"] = "mean"
    weights: Floats | None = None


def bootstrap_interval(
    values: npt.ArrayLike,
    *,
    gold: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The mean of per-item values (or their Spearman correlation with `gold`) and its interval.

    Args:
        values: shape (n,), one value an item.
        gold: shape (n,); when given, the statistic is the rank correlation of `values` with it, on
            ranks that are computed once and then resampled.
        confidence: in (0, 1); the interval leaves out (1 - confidence) / 2 at each end.
        resamples: >= 1; how many times n items are drawn with replacement.
        seed: the same seed gives the same interval.

    Returns:
        The statistic in the unit of `values` (a correlation is within [-1, 1], 0 at chance).

    Raises:
        ConfigError: `confidence` or `resamples` is out of range, or the shapes do not match.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Examples:
        >>> found = bootstrap_interval([0.0, 1.0, 1.0, 1.0] * 25)
        >>> found.value, found.low < 0.75 < found.high
        (0.75, True)
    """
    return compare([_sample(values, gold)], confidence=confidence, resamples=resamples, seed=seed)[0][0]


def paired_bootstrap(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    gold: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Difference:
    """By how much a beats b on the same items, with a paired bootstrap interval.

    Args:
        a: shape (n,), one value an item.
        b: shape (n,), the other method's value of the same items, in the same order.
        gold: as in `bootstrap_interval`.
        confidence: in (0, 1).
        resamples: >= 1.
        seed: the same seed gives the same interval.

    Returns:
        a - b; `probability` is 0.5 when a and b are equal.

    Raises:
        ConfigError: the shapes do not match, or an option is out of range.

    Source: Efron and Tibshirani (1993); Berg-Kirkpatrick et al., EMNLP 2012, for paired use in NLP.

    Examples:
        >>> paired_bootstrap([1.0, 1.0, 0.5], [0.5, 0.5, 0.0]).low
        0.5
    """
    first, second = _sample(a, gold), _sample(b, gold)
    if len(first.values) != len(second.values):
        raise ConfigError(
            "a paired bootstrap needs the same items twice, "
            f"got {len(first.values)} and {len(second.values)} values"
        )
    return compare([first, second], confidence=confidence, resamples=resamples, seed=seed)[1][0]


def compare(
    samples: Sequence[Sample], *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[list[Interval], list[Difference]]:
    """An interval per sample, and the first sample minus each of the others, all on the same resamples.

    The interval of a V-measure is shifted by its bootstrap bias: duplicated items make a contingency
    table look more structured than it is, and the raw percentiles would lie above the score. What then
    leaves [0, 1], or leaves out the score, is cut back.
    """
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be between 0 and 1, got {confidence}; 0.95 is usual")
    if resamples < 1:
        raise ConfigError(f"resamples must be >= 1, got {resamples}; 1000 is usual")
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    values = [score(sample) for sample in samples]
    drawn = _resampled(samples, resamples, seed)
    for column, sample in enumerate(samples):
        if sample.statistic == "v_measure":
            drawn[:, column] += values[column] - drawn[:, column].mean()
    lows, highs = np.quantile(drawn, tails, axis=0)
    for column, sample in enumerate(samples):
        if sample.statistic == "v_measure":
            lows[column] = np.clip(lows[column], 0, values[column])
            highs[column] = np.clip(highs[column], values[column], 1)
    found = [
        Interval(value=value, low=float(low), high=float(high))
        for value, low, high in zip(values, lows, highs, strict=True)
    ]
    gaps = drawn[:, :1] - drawn[:, 1:]
    better = (gaps > 0).mean(axis=0) + 0.5 * (gaps == 0).mean(axis=0)
    lows, highs = np.quantile(gaps, tails, axis=0)
    differences = [
        Difference(value=values[0] - value, low=float(low), high=float(high), probability=float(probability))
        for value, low, high, probability in zip(values[1:], lows, highs, better, strict=True)
    ]
    return found, differences


def score(sample: Sample) -> float:
    """The statistic of a sample on its items as they are."""
    return float(_statistics(sample, np.ones((1, len(sample.values))))[0])


def ranks(values: npt.ArrayLike) -> Floats:
    """Ranks of `values`, ties share their mean rank, centred on 0; shape (n,)."""
    from scipy.stats import rankdata

    ranked: Floats = np.asarray(rankdata(np.asarray(values, dtype=np.float64)), dtype=np.float64)
    ranked -= ranked.mean()
    return ranked


def _sample(values: npt.ArrayLike, gold: npt.ArrayLike | None) -> Sample:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or not len(column) or not np.isfinite(column).all():
        raise ConfigError(
            f"a bootstrap needs one finite value an item, at least one, got shape {column.shape}"
        )
    if gold is None:
        return Sample(column)
    target = np.asarray(gold, dtype=np.float64)
    if target.shape != column.shape:
        raise ConfigError(
            f"gold must have one value an item: expected shape {column.shape}, got {target.shape}"
        )
    return Sample(ranks(column), ranks(target), "spearman")


def _resampled(samples: Sequence[Sample], resamples: int, seed: int) -> Floats:
    """Every sample's statistic in every resample, shape (resamples, len(samples))."""
    blocks = [
        np.stack([_statistics(sample, counts) for sample in samples], axis=1)
        for counts in _counts(len(samples[0].values), resamples, seed)
    ]
    return np.concatenate(blocks)


def _counts(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each of n items is drawn, in blocks of shape (<= resamples, n) that bound the memory."""
    rng = np.random.default_rng(seed)
    rows = max(1, _COUNTS_AT_ONCE // n)
    for start in range(0, resamples, rows):
        height = min(rows, resamples - start)
        drawn = rng.integers(0, n, size=(height, n)) + n * np.arange(height)[:, None]
        yield np.bincount(drawn.ravel(), minlength=height * n).reshape(height, n).astype(np.float64)


def _statistics(sample: Sample, counts: Floats) -> Floats:
    """The statistic when item i occurs counts[r, i] times, shape (rows of counts,)."""
    if sample.statistic == "mean" or sample.gold is None:
        # A ratio in every resample: the mean of hits stays within 0 and 1 whatever they weigh.
        weights = np.ones_like(sample.values) if sample.weights is None else sample.weights
        means: Floats = counts @ (weights * sample.values) / (counts @ weights)
        return means
    if sample.statistic == "spearman":
        return _correlations(sample.values, sample.gold, counts)
    return _v_measures(sample.values, sample.gold, counts)


def _correlations(x: Floats, y: Floats, counts: Floats) -> Floats:
    moments = counts @ np.stack([x, y, x * x, y * y, x * y], axis=1) / counts.sum(axis=1, keepdims=True)
    mean_x, mean_y, xx, yy, xy = moments.T
    scale = np.sqrt(np.maximum(xx - mean_x**2, 0) * np.maximum(yy - mean_y**2, 0))
    # A constant has no order, so it tells nothing about the other: 0, as at chance.
    return np.where(scale > 1e-9, (xy - mean_x * mean_y) / np.maximum(scale, 1e-9), 0.0)


def _v_measures(clusters: Floats, labels: Floats, counts: Floats) -> Floats:
    cluster_entropy = _entropies(clusters.astype(np.int64), counts)
    label_entropy = _entropies(labels.astype(np.int64), counts)
    cells = clusters.astype(np.int64) * (int(labels.max()) + 1) + labels.astype(np.int64)
    mutual = cluster_entropy + label_entropy - _entropies(cells, counts)
    total = cluster_entropy + label_entropy
    return np.where(total > 1e-12, 2 * mutual / np.maximum(total, 1e-12), 1.0)


def _entropies(values: npt.NDArray[np.int64], counts: Floats) -> Floats:
    """Entropy (nats) of integer `values` under each row of counts, shape (rows,)."""
    from scipy.sparse import csr_array

    _, inverse = np.unique(values, return_inverse=True)
    n = len(values)
    indicator = csr_array((np.ones(n), (np.arange(n), inverse)), shape=(n, int(inverse.max()) + 1))
    shares = np.asarray(counts @ indicator) / counts.sum(axis=1, keepdims=True)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropies: Floats = -(shares * logs).sum(axis=1)
    return entropies
