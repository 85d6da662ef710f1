"""Three small charts as SVG text: bars with intervals, lines, and a map of points.

Written by hand and not with a plotting library: the browser then sets the labels in its own fonts, so
Chinese is never boxes, a page needs no picture files, and it stays sharp in print.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Okabe and Ito's colours, which people with colour-blindness can tell apart; grey is for "other".
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c564b", "#5f9e1a")
OTHER_COLOUR = "#b6bcc4"

_LABEL_WIDTH = 250
_ROW_HEIGHT = 24


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One horizontal bar; `role` is a CSS class: model, below, baseline or floor."""

    label: str
    value: float
    low: float
    high: float
    role: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve through (x, y) points, in the order of x."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: str


def bar_chart(bars: Sequence[Bar], *, alt: str) -> str:
    """Horizontal bars from 0 with interval whiskers, on a scale that ends at 100."""
    left, right, top = _LABEL_WIDTH + 12, 700, 8
    bottom = top + _ROW_HEIGHT * len(bars)
    lowest = min([0.0, *(bar.low for bar in bars), *(bar.value for bar in bars)])
    start = 10 * math.floor(lowest / 10)

    def x(value: float) -> float:
        return left + (right - left) * (value - start) / (100 - start)

    parts = [_open(760, bottom + 24, alt)]
    for tick in range(20 * math.ceil(start / 20), 101, 20):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(_text(x(tick), bottom + 16, str(tick), "tick", "middle"))
    for row, bar in enumerate(bars):
        middle = top + _ROW_HEIGHT * (row + 0.5)
        a, b = sorted((x(0), x(bar.value)))
        parts.append(_text(_LABEL_WIDTH, middle + 4, shorten(bar.label, 36), f"label {bar.role}", "end"))
        parts.append(
            f'<rect class="{bar.role}" x="{a:.1f}" y="{middle - 8:.1f}" width="{b - a:.1f}" height="16">'
            f"<title>{escape(bar.label)}: {bar.value:.1f} [{bar.low:.1f}, {bar.high:.1f}]</title></rect>"
        )
        parts.append(_whisker(x(bar.low), x(bar.high), middle))
        parts.append(
            _text(max(b, x(bar.high)) + 8, middle + 4, f"{bar.value:.1f}", f"value {bar.role}", "start")
        )
    return "".join([*parts, "</svg>"])


def line_chart(lines: Sequence[Line], *, x_name: str, alt: str) -> str:
    """Curves on shared axes with a legend; every line needs at least one point."""
    left, right, top, bottom = 44, 436, 30, 200
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_ticks, y_ticks = nice_ticks(min(xs), max(xs), 5), nice_ticks(min(ys), max(ys), 6)
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (right - left) * (x - x_low) / (x_high - x_low),
            bottom - (bottom - top) * (y - y_low) / (y_high - y_low),
        )

    parts = [_open(450, 240, alt)]
    for tick in y_ticks:
        height = place(x_low, tick)[1]
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(_text(left - 8, height + 4, f"{tick:g}", "tick", "end"))
    for tick in x_ticks:
        if x_low <= tick <= x_high:
            parts.append(_text(place(tick, y_low)[0], bottom + 18, f"{tick:,g}", "tick", "middle"))
    parts.append(_text((left + right) / 2, bottom + 34, x_name, "tick", "middle"))
    for number, line in enumerate(lines):
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in line.points)
        parts.append(f'<polyline class="curve" stroke="{line.colour}" points="{path}"/>')
        across = left + 110 * number
        parts.append(f'<rect x="{across}" y="9" width="14" height="4" fill="{line.colour}"/>')
        parts.append(_text(across + 20, 15, line.name, "legend", "start"))
    return "".join([*parts, "</svg>"])


def scatter(
    points: Sequence[tuple[float, float]], colours: Sequence[str], names: Sequence[str], *, alt: str
) -> str:
    """Points in their colours; a name shows when the mouse rests on its point."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    scale = 560 / max(max(xs) - min(xs), max(ys) - min(ys), 1e-9)
    width, height = (max(200, scale * (max(axis) - min(axis)) + 40) for axis in (xs, ys))
    parts = [_open(round(width), round(height), alt)]
    # Grey points first, so that they never cover a coloured one.
    order = sorted(range(len(points)), key=lambda i: colours[i] != OTHER_COLOUR)
    for i in order:
        across, down = 20 + scale * (xs[i] - min(xs)), 20 + scale * (max(ys) - ys[i])
        parts.append(
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3" fill="{colours[i]}">'
            f"<title>{escape(names[i])}</title></circle>"
        )
    return "".join([*parts, "</svg>"])


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """About `most` round numbers from at or below `low` to at or above `high`, at least two.

    Examples:
        >>> nice_ticks(0.3, 6.9, 6)
        [0.0, 2.0, 4.0, 6.0, 8.0]
        >>> nice_ticks(2.0, 2.0, 2)
        [2.0, 3.0]
    """
    if not high > low:
        high = low + 1
    raw = (high - low) / (most - 1)
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def shorten(text: str, width: int) -> str:
    """At most `width` columns of text, wide (Chinese) characters counted as two.

    Examples:
        >>> shorten("character bigrams", 12), shorten("中文标题很长", 8)
        ('character b…', '中文标…')
    """
    used = 0
    for index, character in enumerate(text):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > width:
            kept = text[:index]
            while kept and _columns(kept) > width - 1:
                kept = kept[:-1]
            return kept + "…"
    return text


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _open(width: int, height: int, alt: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(alt)}"><title>{escape(alt)}</title>'
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _whisker(low: float, high: float, middle: float) -> str:
    ends = "".join(f"M{x:.1f} {middle - 4:.1f}V{middle + 4:.1f}" for x in (low, high))
    return f'<path class="whisker" d="M{low:.1f} {middle:.1f}H{high:.1f}{ends}"/>'
