"""Whether what was trained is kept: a run that can tell must not end worse than it started.

Trained and start match texts that were kept aside: the same as in the trial, which has chosen a recipe by
them. Where training made that worse beyond chance, on average or for one kind of what is matched, the model
is what the run started from. A Transformer that grew on a table must have made it better: it takes many
times as long to embed a text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llmagentos.encoder import Encoder
from llmagentos.evaluation import paired_bootstrap
from llmagentos.pipeline._matching import Matching, reciprocal_ranks
from llmagentos.training import ResolvedTrainingConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the texts kept aside say of a run.

    Attributes:
        start: mean reciprocal rank of each query's own text among them, x 100, with the encoder that the run
            started from; of `small`, with its table.
        trained: the same with what was trained.
        difference: trained less start with its 95% interval over texts: (difference, low, high).
        fell: what of it is worse beyond chance alone, and by how much: (difference, low, high) by name, with
            intervals so wide that one of them lies below 0 by chance 25 times in 1,000.
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
    new, old = (100 * reciprocal_ranks(one, matched, config) for one in (trained, start))
    overall = paired_bootstrap(new.mean(axis=0), old.mean(axis=0))
    # Bonferroni: each of M is looked at, and any of them decides.
    each = [
        paired_bootstrap(*rows, confidence=1 - 0.05 / len(matched)) for rows in zip(new, old, strict=True)
    ]
    fell = {
        str(of): (one.value, one.low, one.high) for of, one in zip(matched, each, strict=True) if one.high < 0
    }
    return Verdict(
        start=float(old.mean()),
        trained=float(new.mean()),
        difference=(overall.value, overall.low, overall.high),
        fell=fell,
        must_be_better=must_be_better,
        kept=not fell and (overall.low > 0 if must_be_better else overall.high >= 0),
    )
