"""The report as tables in the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmagentos.evaluation._report import METRIC_NAMES, Comparison, EvaluationReport, Score, TaskResult


def tables(report: EvaluationReport) -> RenderableType:
    """One table per task, then the headline."""
    parts: list[RenderableType] = []
    for result in report.results:
        parts.append(_table(report.model, result))
        parts.extend(Text(f"  {note}", style="dim") for note in result.notes)
        parts.append(Text())
    if report.headline:
        parts.append(Text("Above the trivial floor:", style="bold"))
        parts.extend(Text(f"  {line}") for line in report.headline)
    else:
        parts.append(Text("No score is above its trivial floor.", style="bold red"))
    share = round(100 * report.confidence)
    parts.append(Text(f"Scores x 100; [low, high] is the {share}% bootstrap interval.", style="dim"))
    return Group(*parts)


def _table(model: str, result: TaskResult) -> Table:
    title = Text(result.task, style="bold").append(f"  {result.size}", style="not bold dim")
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("method", overflow="fold")
    for metric in result.metrics:
        table.add_column(METRIC_NAMES[metric], justify="right", no_wrap=True)
    cells = [_model_cell(score, result.is_below_floor(score.metric)) for score in result.scores]
    table.add_row(Text(model, style="bold"), *cells)
    for other in sorted(result.comparisons, key=lambda one: one.role):
        table.add_row(_label(other), *(Text(f"{other.score(metric).value:.1f}") for metric in result.metrics))
    return table


def _model_cell(score: Score, below: bool) -> Text:
    cell = Text(f"{score.value:.1f}", style="bold red" if below else "bold green")
    return cell.append(f" [{score.low:.1f}, {score.high:.1f}]", style="not bold")


def _label(other: Comparison) -> Text:
    return Text(other.label).append(" (floor)" if other.role == "floor" else "", style="dim")
