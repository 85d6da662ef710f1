"""What a person reads at the end of a run: the recipe and why, scores, where the model is, what is next."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console

from llmagentos.pipeline._probe import Trial, told
from llmagentos.pipeline._trained import TrainedModel

# A run in time takes as many steps while it measures how many there is time for.
_HARDLY_TRAINED: Final = 20


def _why(trials: Sequence[Trial]) -> str:
    if len(trials) == 1:
        return "as is usual: a short trial of it left no time to try another"
    if trials[0].over_usual[2] < 0:
        return "which matched texts kept aside better than the usual one in a short trial, beyond chance"
    return "as is usual: in a short trial nothing matched texts kept aside better beyond chance"


def print_summary(console: Console, trained: TrainedModel, *, timed: bool) -> None:
    """Print it.

    Args:
        console: where to.
        trained: a finished run.
        timed: whether it was given minutes, so that hardly any steps may be for want of time.
    """
    console.print()
    recipes = told(trained.trials, trained.untried)
    if trained.trials:
        console.print(
            f"Recipe: {trained.trials[0].recipe}, {_why(trained.trials)} (lower is better; --set "
            "views.preset, views.pairs and loss.temperature overrule it):"
        )
        for line in recipes:
            console.print(f"  {line}", highlight=False, soft_wrap=True)
        console.print()
    elif recipes:
        console.print(f"Recipe: {recipes[0]}.\n")
    if trained.verdict and not trained.verdict.kept:
        console.print(f"[yellow]Not kept:[/] {trained.verdict}.\n", highlight=False, soft_wrap=True)
    if trained.dropped:
        left_out = f"Left out: {counted(trained.dropped)}\n"
        console.print(left_out, soft_wrap=True, markup=False, highlight=False)
    if trained.report is None:
        console.print("Too few texts were held out to measure anything; more text gives a report.")
    else:
        console.print(trained.report)
    steps = "1 step" if trained.result.steps == 1 else f"{trained.result.steps:,} steps"
    if timed and trained.result.steps <= _HARDLY_TRAINED and not trained.result.read_enough:
        console.print(f"[yellow]Hardly trained:[/] there was time for {steps} only; give more --minutes.")
    epochs = trained.result.epochs
    seen = f"every text about {epochs:.1f} times" if epochs >= 1 else f"{epochs:.0%} of the texts"
    if trained.result.read_enough:
        seen += ", which is all that training.max_epochs allows"
    console.print(
        f"\nDone in {trained.seconds / 60:.1f} minutes: {steps}, {seen}.",
        highlight=False,
        soft_wrap=True,
    )
    rows = [("model", trained.path)]
    if trained.report is not None:
        rows.append(("report", trained.html))
    for name, path in rows:
        console.print(f"  {name:<8}{path}", highlight=False, soft_wrap=True, markup=False)
    console.print("\nNext:")
    for command in (
        f"llmagentos evaluate {trained.path} --baseline minilm",
        f"llmagentos embed {trained.path} YOUR_TEXTS.jsonl --out vectors.npy",
        "llmagentos train YOUR_TEXTS.jsonl --out my-model --minutes 5",
    ):
        console.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)


def counted(reasons: Mapping[str, int]) -> str:
    """Reasons and how often each was one.

    Example:
        >>> counted({"empty text": 1_000, "broken JSON line": 2})
        'broken JSON line (2), empty text (1,000)'
    """
    return ", ".join(f"{reason} ({count:,})" for reason, count in sorted(reasons.items()))
