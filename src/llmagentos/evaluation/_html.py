"""The report as one HTML file that needs nothing else: no script, no link, no picture file."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from llmagentos.corpus import write_whole
from llmagentos.evaluation._changes import RankChange, RankChanges
from llmagentos.evaluation._pictures import Neighbour, Neighbours, TextMap
from llmagentos.evaluation._report import (
    METRIC_NAMES,
    Comparison,
    EvaluationReport,
    Headline,
    TaskResult,
)
from llmagentos.evaluation._style import STYLE
from llmagentos.evaluation._svg import (
    OTHER_COLOUR,
    PALETTE,
    Bar,
    Line,
    bar_chart,
    line_chart,
    scatter,
    shorten,
)

# More points than pixels only make the file large.
_CURVE_POINTS = 400
_SHOWN_CHARACTERS = 180


def write_report(
    path: str | Path,
    *,
    title: str,
    report: EvaluationReport,
    facts: Mapping[str, object],
    metrics: Sequence[Mapping[str, float]] = (),
    changes: RankChanges | None = None,
    neighbours: Neighbours | None = None,
    text_map: TextMap | None = None,
) -> None:
    """Write the evaluation, and what training looked like, as one self-contained HTML page.

    Args:
        path: the file; replaced in one piece.
        title: the page's heading.
        report: from `evaluate`.
        facts: what was trained on and how, shown as given (corpus, texts, minutes, seed, ...); of a list each
            on a line of its own.
        metrics: one row per logged step with `step` and any of `loss`, `alignment`, `uniformity`.
        changes: from `rank_changes`.
        neighbours: from `nearest_neighbours`.
        text_map: from the function `text_map`.

    Raises:
        OutputError: the file cannot be written.

    Examples:
        >>> import tempfile, pathlib
        >>> from llmagentos.evaluation import EvaluationReport
        >>> empty = EvaluationReport(model="m", results=(), seed=0, resamples=1, confidence=0.95, versions={})
        >>> page = pathlib.Path(tempfile.mkdtemp()) / "report.html"
        >>> write_report(page, title="Nothing yet", report=empty, facts={"texts": 0})
        >>> page.read_text(encoding="utf-8")[:15]
        '<!doctype html>'
    """
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main>",
        f"<header><h1>{escape(title)}</h1>"
        f'<p class="soft">Model: {escape(report.model)}. Every score is x 100.</p></header>',
        _headline(report),
        _facts(facts),
        _scores(report),
        _training(metrics),
        _changes(changes),
        _neighbours(neighbours),
        _map(text_map),
        _reading(report),
        "</main></body></html>\n",
    ]
    write_whole(Path(path), "\n".join(part for part in parts if part))


def _headline(report: EvaluationReport) -> str:
    if not report.results:
        return ""
    if not report.headline:
        return (
            '<section class="warning"><h2 class="below">No score is above its trivial floor</h2>'
            "<p>Counting shared words or characters does at least as well on every task here. "
            "Train longer or on more text.</p></section>"
        )
    return f'<div class="cards">{"".join(map(_card, report.headline))}</div>'


def _card(headline: Headline) -> str:
    score, margin = headline.score, headline.margin
    unsure = "" if margin.low > 0 else " (not distinguishable)"
    return (
        f'<div class="card">{escape(headline.task)}<b>{score.value:.1f}</b>{METRIC_NAMES[score.metric]} '
        f'<span class="soft">[{score.low:.1f}, {score.high:.1f}]<br>'
        f"{margin.value:+.1f} over {escape(headline.floor)}{unsure}</span></div>"
    )


def _facts(facts: Mapping[str, object]) -> str:
    if not facts:
        return ""
    rows = "".join(
        f"<dt>{escape(str(name))}</dt>"
        + "".join(
            f"<dd>{escape(_shown(one))}</dd>" for one in (value if isinstance(value, list) else [value])
        )
        for name, value in facts.items()
    )
    return f"<section><h2>What was trained, and on what</h2><dl>{rows}</dl></section>"


def _shown(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _scores(report: EvaluationReport) -> str:
    if not report.results:
        return ""
    tasks = "".join(_task(report, result) for result in report.results)
    return f"<section><h2>Scores</h2>{tasks}</section>"


def _task(report: EvaluationReport, result: TaskResult) -> str:
    own = "".join(_own_cell(result, metric) for metric in result.metrics)
    others = "".join(_other_row(other, result.metrics) for other in _ordered(result))
    heads = "".join(
        f'<th scope="col" class="number">{METRIC_NAMES[metric]}</th>' for metric in result.metrics
    )
    notes = "".join(f'<p class="note">{escape(note)}.</p>' for note in result.notes)
    return (
        f"<h3>{escape(result.task)}</h3>{_bars(report, result)}"
        f'<div class="scroll"><table><caption>{escape(result.size)}</caption>'
        f'<thead><tr><th scope="col">Method</th>{heads}</tr></thead><tbody><tr class="model">'
        f'<th scope="row">{escape(report.model)}</th>{own}</tr>'
        f"{others}</tbody></table></div>{notes}{_settings(result)}"
    )


def _own_cell(result: TaskResult, metric: str) -> str:
    score = result.score(metric)
    below = result.is_below_floor(metric)
    tag = ' <span class="tag">below floor</span>' if below else ""
    return (
        f'<td class="number{" below" if below else ""}">{score.value:.1f} '
        f'<span class="interval">[{score.low:.1f}, {score.high:.1f}]</span>{tag}</td>'
    )


def _other_row(other: Comparison, metrics: Sequence[str]) -> str:
    cells = []
    for metric in metrics:
        gap = other.difference(metric)
        detail = f"model {gap.value:+.1f} [{gap.low:+.1f}, {gap.high:+.1f}]"
        score = f"{other.score(metric).value:.1f}"
        cells.append(f'<td class="number">{score} <span class="interval">{detail}</span></td>')
    tag = ' <span class="tag">floor</span>' if other.role == "floor" else ""
    return f'<tr><th scope="row">{escape(other.label)}{tag}</th>{"".join(cells)}</tr>'


def _ordered(result: TaskResult) -> list[Comparison]:
    """Baselines first, then floors."""
    return sorted(result.comparisons, key=lambda one: one.role)


def _settings(result: TaskResult) -> str:
    floors = [one for one in result.comparisons if one.role == "floor"]
    if not floors:
        return ""
    rows = "".join(f"<dt>{escape(one.label)}</dt><dd>{escape(_listing(one.settings))}</dd>" for one in floors)
    return f"<details><summary>How the floors were computed</summary><dl class='soft'>{rows}</dl></details>"


def _listing(settings: Mapping[str, object]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in settings.items())


def _bars(report: EvaluationReport, result: TaskResult) -> str:
    metric = result.primary
    score = result.score(metric)
    role = "below" if result.is_below_floor(metric) else "model"
    bars = [Bar(label=report.model, value=score.value, low=score.low, high=score.high, role=role)]
    for other in _ordered(result):
        score = other.score(metric)
        bars.append(
            Bar(label=other.label, value=score.value, low=score.low, high=score.high, role=other.role)
        )
    alt = f"{METRIC_NAMES[metric]} on {result.task}: " + ", ".join(
        f"{bar.label} {bar.value:.1f}" for bar in bars
    )
    return f"<figure><figcaption>{METRIC_NAMES[metric]}</figcaption>{bar_chart(bars, alt=alt)}</figure>"


def _training(metrics: Sequence[Mapping[str, float]]) -> str:
    loss = _curve(metrics, "loss", PALETTE[0])
    geometry = [_curve(metrics, "alignment", PALETTE[2]), _curve(metrics, "uniformity", PALETTE[1])]
    figures = [
        f"<figure><figcaption>{name}</figcaption>{line_chart(drawn, x_name='step', alt=_alt(drawn))}</figure>"
        for name, lines in (("Loss", [loss]), ("Alignment and uniformity", geometry))
        if (drawn := [line for line in lines if line.points])
    ]
    if not figures:
        return ""
    return (
        f'<section><h2>Training</h2><div class="pair">{"".join(figures)}</div>'
        '<p class="note">Alignment: mean squared distance between the two views of a text; lower is better. '
        "Uniformity: log of the mean Gaussian closeness of different texts; lower is more spread out. "
        "Both near 0 at once: all texts became one point.</p></section>"
    )


def _curve(metrics: Sequence[Mapping[str, float]], key: str, colour: str) -> Line:
    """The metric over steps, averaged in at most 400 bins; rows without it are skipped."""
    rows = [(row["step"], row[key]) for row in metrics if "step" in row and key in row]
    rows = [(step, value) for step, value in rows if math.isfinite(value)]
    size = max(1, math.ceil(len(rows) / _CURVE_POINTS))
    bins = [rows[start : start + size] for start in range(0, len(rows), size)]
    points = tuple((sum(x for x, _ in one) / len(one), sum(y for _, y in one) / len(one)) for one in bins)
    return Line(name=key, points=points, colour=colour)


def _alt(lines: Sequence[Line]) -> str:
    return "; ".join(
        f"{line.name} goes from {line.points[0][1]:.3g} at step {line.points[0][0]:,.0f} "
        f"to {line.points[-1][1]:.3g} at step {line.points[-1][0]:,.0f}"
        for line in lines
    )


def _changes(found: RankChanges | None) -> str:
    if found is None or not (found.better or found.worse):
        return ""
    kinds = [("Got better", found.better), ("Got worse", found.worse)]
    tables = "".join(f"<h3>{name}</h3>{_changed(examples)}" for name, examples in kinds if examples)
    return (
        '<section><h2>What got better, and what got worse</h2><p class="note">Of '
        f"{found.num_queries:,} held-out queries {found.num_better:,} find their text at a better rank than "
        f"before training and {found.num_worse:,} at a worse one. Shown are those that moved furthest."
        f"</p>{tables}</section>"
    )


def _changed(examples: Sequence[RankChange]) -> str:
    rows = "".join(
        f'<tr><td class="number">{one.before:,} → {one.after:,}</td><td>{escape(_cut(one.query))}</td>'
        f"<td>{escape(_cut(one.wanted))}</td>"
        f"<td>{'the same' if one.after == 1 else escape(_cut(one.first))}</td></tr>"
        for one in examples
    )
    return (
        '<div class="scroll"><table class="changes"><thead><tr><th scope="col" class="number">Rank</th>'
        '<th scope="col">Query</th><th scope="col">Its text</th>'
        f'<th scope="col">First after training</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _neighbours(found: Neighbours | None) -> str:
    if found is None or not found.rows:
        return ""
    blocks = "".join(
        f'<p class="query">{escape(_cut(row.query))}</p><table><thead><tr>'
        '<th scope="col">Nearest before training</th><th scope="col">Nearest after training</th></tr></thead>'
        f'<tbody><tr><td class="half">{_listed(row.before)}</td>'
        f'<td class="half">{_listed(row.after)}</td></tr></tbody></table>'
        for row in found.rows
    )
    return (
        '<section><h2>Nearest neighbours, before and after</h2><p class="note">Evenly spaced texts, not '
        f"chosen; neighbours among {found.num_texts:,} texts, with their cosine.</p>{blocks}</section>"
    )


def _listed(neighbours: Sequence[Neighbour]) -> str:
    rows = "".join(
        f'<li><span class="similarity">{one.similarity:.2f}</span>{escape(_cut(one.text))}</li>'
        for one in neighbours
    )
    return f"<ol>{rows}</ol>"


def _cut(text: str) -> str:
    return shorten(" ".join(text.split()), _SHOWN_CHARACTERS)


def _map(found: TextMap | None) -> str:
    if found is None:
        return ""
    colours = dict(_colours(found.labels))
    drawn = scatter(
        [(float(x), float(y)) for x, y in found.points],
        [colours.get(label, OTHER_COLOUR) for label in found.labels],
        found.labels,
        alt=f"Map of {len(found.labels):,} texts in {len(set(found.labels)):,} groups: " + ", ".join(colours),
    )
    counts = Counter(found.labels)
    entries = [(label, colour, counts[label]) for label, colour in colours.items()]
    rest = len(found.labels) - sum(count for _, _, count in entries)
    if rest:
        entries.append((f"{len(counts) - len(colours):,} others", OTHER_COLOUR, rest))
    legend = "".join(
        f'<li><span class="dot" style="background:{colour}"></span><span>{escape(label)} '
        f'<span class="soft">{count:,}</span></span></li>'
        for label, colour, count in entries
    )
    return (
        f'<section><h2>Map of the texts</h2><div class="map">{drawn}<ul class="legend">{legend}</ul></div>'
        '<p class="note">PCA, then t-SNE: near points are similar texts; the axes and the distances between '
        "far groups mean nothing.</p></section>"
    )


def _colours(labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The most frequent labels, one colour each; ties in alphabetical order."""
    counts = sorted(Counter(labels).items(), key=lambda one: (-one[1], one[0]))
    for (label, _), colour in zip(counts, PALETTE, strict=False):
        yield label, colour


def _reading(report: EvaluationReport) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    return (
        '<section><h2>How to read this</h2><p class="note">'
        f"[low, high] is the {100 * report.confidence:g}% percentile bootstrap interval over "
        f"{report.resamples:,} resamples of queries, pairs or texts (seed {report.seed}). “model +1.0” is "
        "the model minus that method on the same items, paired. A floor is what counting shared words or "
        "characters gives; TF-IDF floors are fitted on the evaluation texts themselves. "
        "The V-measure of a model that knows nothing is well above 0 where labels are many (42 for 77 labels "
        "and 1,000 texts), so read it beside its floor. "
        "A score in red is below its best floor and is not evidence that anything was learned.</p>"
        f'<p class="note">Measured with {escape(versions) or "nothing"}.</p></section>'
    )
