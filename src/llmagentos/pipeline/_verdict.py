"""Whether what was trained is kept: a run that can tell must not end worse than it started.

Trained and start match texts that were kept aside: the same as in the trial, which has chosen a recipe by
them. Where training made that worse beyond chance, on average or for one kind of what is matched (titles,
replies, beginnings), the model is what the run started from. A Transformer that grew on a table must have
made it better: it takes many times as long to embed a text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmagentos.encoder import Encoder
from llmagentos.evaluation import paired_bootstrap
from llmagentos.pipeline._matching import Matching, of_texts, reciprocal_ranks
from llmagentos.training import ResolvedTrainingConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the texts kept aside say of a run.

    Attributes:
        start: mean reciprocal rank of each query's own text among them, x 100, with the encoder that the run
            started from; of `small`, with its table.
        trained: the same with what was trained.
        difference: trained less start with its 95% interval over texts: (difference, low, high).
        fell: the kinds that are worse beyond chance alone, and by how much: (difference, low, high) by name,
            with intervals so wide that of all kinds one lies below 0 by chance about 25 times in 1,000; where
            there are but 20 of each, twice or three times as often (a simulation with skewed ranks). Empty
            where there is one kind, which is the whole.
        must_be_better: what was trained grew on its start, and is kept only if it is better beyond chance.
        kept: whether the model is what was trained, and not its start.
    """

    start: float
    trained: float
    difference: tuple[float, float, float]
    fell: dict[str, tuple[float, float, float]]
    must_be_better: bool
    kept: bool

    def __str__(self) -> str:
        """One sentence for a person."""
        fell = "".join(f"; {name} alone {_shown(one)}" for name, one in self.fell.items())
        start = "the table alone" if self.must_be_better else "what the run started from"
        kept = "what was trained is kept" if self.kept else f"the model is {start}"
        return (
            f"{kept}: texts kept aside are matched with MRR {self.trained:.1f} after training and "
            f"{self.start:.1f} before, {_shown(self.difference)}{fell}"
        )


def _shown(difference: tuple[float, float, float]) -> str:
    value, low, high = difference
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def verdict_on(
    trained: Encoder,
    start: Encoder,
    matched: Sequence[Matching],
    config: ResolvedTrainingConfig,
    *,
    must_be_better: bool,
) -> Verdict:
    """Compare an encoder with its start.

    Args:
        trained: after training.
        start: before.
        matched: of texts that were not trained on, see `matchings`.
        config: of the run.
        must_be_better: keep it only if it is better beyond chance; else it has only to be not worse.

    Returns:
        The verdict.
    """
    new, old = (
        [100 * values for values in reciprocal_ranks(one, matched, config)] for one in (trained, start)
    )
    overall = paired_bootstrap(of_texts(new, matched), of_texts(old, matched))
    kinds = {
        name: (after[places], before[places])
        for of, after, before in zip(matched, new, old, strict=True)
        for name, places in of.parts.items()
    }
    fell = {}
    for name, (after, before) in kinds.items() if len(kinds) > 1 else ():  # one alone is the whole again
        one = paired_bootstrap(after, before, confidence=1 - 0.05 / len(kinds))  # Bonferroni
        if one.high < 0:
            fell[name] = one.value, one.low, one.high
    return Verdict(
        start=float(np.mean([values.mean() for values in old])),
        trained=float(np.mean([values.mean() for values in new])),
        difference=(overall.value, overall.low, overall.high),
        fell=fell,
        must_be_better=must_be_better,
        kept=not fell and (overall.low > 0 if must_be_better else overall.high >= 0),
    )
