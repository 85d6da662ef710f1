"""What a whole run gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmagentos.evaluation import EvaluationReport
from llmagentos.pipeline._probe import Candidate, Trial
from llmagentos.pipeline._verdict import Verdict
from llmagentos.training import TrainingResult


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """What `train` made.

    Attributes:
        path: the model folder; sentence-transformers loads it, and so does `EmbeddingModel.load`.
        report: its scores on held-out text, with floors and the encoder before training; None where
            the held-out part is too small to measure anything.
        trials: of the probe that chose the views, the chosen one first; empty where none was needed.
        untried: recipes for whose trial there was no time.
        verdict: of texts kept aside on what was trained; None where there were none.
        dropped: what was left out of the corpus, by reason.
        result: steps, epochs and seconds of the training.
        seconds: of the whole run.
    """

    path: Path
    report: EvaluationReport | None
    trials: Sequence[Trial]
    untried: Sequence[Candidate]
    verdict: Verdict | None
    dropped: Mapping[str, int]
    result: TrainingResult
    seconds: float

    @property
    def html(self) -> Path:
        """The report as a page."""
        return self.path / "report.html"
