"""How far a run is, for whoever shows it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """One moment of a run.

    Attributes:
        stage: what is being done: "corpus", "tokenizer", "tokens", "probe", "training", "evaluation",
            "report".
        done: of `total`, in any unit.
        total: None where the end is not known.
        note: what a person wants to see beside the bar.
    """

    stage: str
    done: float = 0.0
    total: float | None = None
    note: str = ""


OnProgress = Callable[[Update], None]
"""Called often; must be quick and must not raise."""


def silent(update: Update) -> None:
    """Show nothing."""
