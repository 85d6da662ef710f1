import json
import os
import re
import resource
import time
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from rich.console import Console

from llmagentos.errors import InputError, OutputError
from llmagentos.evaluation import (
    Comparison,
    Encodes,
    EvaluationReport,
    RankChange,
    RankChanges,
    Score,
    ScoreDifference,
    TaskResult,
    nearest_neighbours,
    text_map,
    write_report,
)
from llmagentos.evaluation._svg import Bar, Line, bar_chart, line_chart, nice_ticks, shorten


def result(task: str, value: float, floor: float) -> TaskResult:
    """A task with one metric, one floor and one baseline of 10."""
    others = [("word TF-IDF", "floor", floor), ("基线 <b>", "baseline", 10.0)]
    return TaskResult(
        task=task,
        source="-",
        kind="sts",
        size="3 pairs",
        primary="spearman",
        scores=(Score(metric="spearman", value=value, low=value - 5, high=value + 5),),
        comparisons=tuple(
            Comparison(
                label=label,
                role="floor" if role == "floor" else "baseline",
                settings={"analyzer": "word"} if role == "floor" else {},
                scores=(Score(metric="spearman", value=other, low=other - 1, high=other + 1),),
                differences=(
                    ScoreDifference(
                        metric="spearman",
                        value=value - other,
                        low=value - other - 1,
                        high=value - other + 1,
                        probability=0.5,
                    ),
                ),
            )
            for label, role, other in others
        ),
        notes=("one note",),
    )


def report(*results: TaskResult) -> EvaluationReport:
    return EvaluationReport(
        model="模型 <small>",
        results=results,
        seed=0,
        resamples=1000,
        confidence=0.95,
        versions={"numpy": "2"},
    )


ABOVE, BELOW, CLOSE = result("above", 80.0, 70.0), result("below", 60.0, 70.0), result("close", 70.5, 70.0)


def test_only_what_is_above_its_floor_is_a_headline() -> None:
    equal = result("equal", 70.0, 70.0)
    headline = report(BELOW, ABOVE, equal, CLOSE).headline
    assert [one.task for one in headline] == ["above", "close"]
    assert str(headline[0]) == "above: Spearman 80.0 [75.0, 85.0], +10.0 [+9.0, +11.0] over word TF-IDF"
    assert str(headline[1]).endswith("over word TF-IDF, which this many items cannot tell from 0")
    assert [one.is_below_floor("spearman") for one in (ABOVE, BELOW, equal)] == [False, True, False]


def test_json_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    report(ABOVE, BELOW).write_json(path)
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read == report(ABOVE, BELOW).to_dict()
    assert read["results"][1]["below_floor"] == {"spearman": True} and len(read["headline"]) == 1
    assert "模型" in path.read_text(encoding="utf-8")
    assert os.listdir(path.parent) == ["report.json"]


def test_the_terminal_shows_red_below_the_floor() -> None:
    coloured = StringIO()
    Console(width=100, force_terminal=True, color_system="standard", file=coloured).print(
        report(ABOVE, BELOW)
    )
    assert "\x1b[1;31m60.0" in coloured.getvalue() and "\x1b[1;32m80.0" in coloured.getvalue()
    plain = StringIO()
    Console(width=60, file=plain).print(report(ABOVE, BELOW))
    for part in ("word TF-IDF (floor)", "one note", "Above the trivial floor:", "基线 <b>"):
        assert part in plain.getvalue()
    nothing = StringIO()
    Console(width=60, file=nothing).print(report(BELOW))
    assert "No score is above its trivial floor." in nothing.getvalue()


class Page(HTMLParser):
    """Checks that every tag is closed, and keeps what a reader and a browser would meet."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(tmp_path: Path, letters: Encodes, noise: Encodes) -> None:
    texts = ["alpha beta", "beta <gamma>", "delta & epsilon", "一个女人", "一个男人", "zeta"]
    labels = ["包 甲", "包 甲", "b", "c", "c", "<d>"]
    path = tmp_path / "report.html"
    write_report(
        path,
        title="A <title>",
        report=report(ABOVE, BELOW),
        facts={"texts": 12345, "minutes": 2.5, "语料": "<文档>", "titles used": True, "tried": ["a", "b"]},
        metrics=[
            {"step": step, "loss": 1 / step, "alignment": 0.5, "uniformity": -float(step)}
            for step in range(1, 2000)
        ],
        changes=RankChanges(
            better=(RankChange(query="<q>", wanted="alpha", before=9, after=1, first="alpha"),),
            worse=(RankChange(query="q & a", wanted="beta", before=1, after=2_500, first="<instead>"),),
            num_better=31,
            num_worse=1_234,
            num_queries=4_000,
        ),
        neighbours=nearest_neighbours(noise, letters, texts, 2, 2),
        text_map=text_map(letters.encode(texts), labels),
    )
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "a"}
    assert not any({"src", "href", "onclick"} & set(attributes) for _, attributes in page.tags)
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(pictures) == 5 and all(len(one["aria-label"] or "") > 20 for one in pictures)
    assert "loss goes from" in text and "Map of 6 texts in 4 groups" in text
    for escaped in (
        "A &lt;title&gt;",
        "12,345",
        "&lt;文档&gt;",
        "<dt>tried</dt><dd>a</dd><dd>b</dd>",
        "beta &lt;gamma&gt;",
        "包 甲",
        "&lt;d&gt;",
        "模型 &lt;small&gt;",
        "9 → 1</td><td>&lt;q&gt;</td><td>alpha</td><td>the same</td>",
        "1 → 2,500</td><td>q &amp; a</td><td>beta</td><td>&lt;instead&gt;</td>",
        "4,000 held-out queries 31 find their text at a better rank than before training and 1,234 at",
    ):
        assert escaped in text
    assert "<gamma>" not in text and "<文档>" not in text
    assert text.count('<span class="tag">below floor</span>') == 1 and text.count('class="card"') == 1
    assert len(text) < 100_000


def test_a_page_without_anything_above_the_floor_says_so(tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", title="t", report=report(BELOW), facts={})
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "V-measure of a model that knows nothing is well above 0" in text
    assert "No score is above its trivial floor" in text and 'class="card"' not in text
    assert "Training" not in text and "Map of the texts" not in text and "Nearest" not in text


@pytest.mark.parametrize(
    "metrics", [[], [{"step": 1.0}], [{"loss": 1.0}], [{"step": 1.0, "loss": float("nan")}]]
)
def test_metrics_without_a_curve_draw_none(tmp_path: Path, metrics: list[dict[str, float]]) -> None:
    write_report(tmp_path / "r.html", title="t", report=report(BELOW), facts={}, metrics=metrics)
    assert "Training" not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_one_logged_step_is_a_curve(tmp_path: Path) -> None:
    write_report(
        tmp_path / "r.html", title="t", report=report(), facts={}, metrics=[{"step": 1, "loss": 2.0}]
    )
    assert "loss goes from 2 at step 1 to 2 at step 1" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"r\.html cannot be written \(File exists\)"):
        write_report(tmp_path / "file" / "r.html", title="t", report=report(), facts={})
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot be written"):
        report().write_json(tmp_path / "folder")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_text("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"disk .* full .*r\.html; free some space"):
            write_report(path, title="t", report=report(ABOVE), facts={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["r.html"]


def test_a_fact_that_is_not_unicode_is_shown_escaped(tmp_path: Path) -> None:
    write_report(
        tmp_path / "r.html", title="t", report=report(), facts={"corpus": os.fsdecode(b"caf\xe9.txt")}
    )
    assert r"caf\udce9.txt" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_neighbours_are_the_nearest_others(letters: Encodes, noise: Encodes) -> None:
    texts = ["aab", "abb", "xyz", "aab", "xyy"]
    found = nearest_neighbours(noise, letters, texts, num_queries=3, k=2)
    assert [row.query for row in found.rows] == ["aab", "xyz", "xyy"] and found.num_texts == 5
    first = found.rows[0].after
    assert [(one.text, round(one.similarity, 3)) for one in first] == [("aab", 1.0), ("abb", 0.8)]
    assert all(len(row.before) == len(row.after) == 2 for row in found.rows)
    assert len(nearest_neighbours(noise, letters, texts[:2], num_queries=9, k=9).rows[0].after) == 1
    with pytest.raises(InputError, match="at least 2 texts, got 1"):
        nearest_neighbours(noise, letters, ["a"])


def test_a_map_keeps_groups_together_and_repeats() -> None:
    rng = np.random.default_rng(0)
    vectors = np.repeat(np.eye(3), 20, axis=0) + rng.normal(0, 0.05, (60, 3))
    labels = [name for name in "abc" for _ in range(20)]
    found = text_map(vectors, labels, seed=3)
    assert found.labels == tuple(labels)
    np.testing.assert_array_equal(found.points, text_map(vectors, labels, seed=3).points)
    distances = np.linalg.norm(found.points[:, None] - found.points[None], axis=2) + 1e9 * np.eye(60)
    assert (np.array(labels)[distances.argmin(axis=1)] == labels).mean() > 0.95


@pytest.mark.parametrize("shape", [(5, 1), (5, 2), (6, 400)])
def test_small_maps_are_drawn(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(0).normal(size=shape)
    assert text_map(vectors, ["x"] * shape[0]).points.shape == (shape[0], 2)


def test_a_collapsed_model_has_a_map_too(tmp_path: Path) -> None:
    found = text_map(np.ones((7, 3)), ["x"] * 7)
    write_report(tmp_path / "r.html", title="t", report=report(), facts={}, text_map=found)
    Page((tmp_path / "r.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vectors", [np.ones((4, 3)), np.ones(6), np.full((6, 2), np.nan), np.ones((7, 2))])
def test_what_cannot_be_mapped_is_refused(vectors: npt.NDArray[np.float64]) -> None:
    with pytest.raises(InputError, match="a text map needs at least 5 finite vectors with one label each"):
        text_map(vectors, ["x"] * 6)


def test_many_texts_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmagentos.evaluation import _pictures

    monkeypatch.setattr(_pictures, "_MAPPED_TEXTS", 30)
    started = time.perf_counter()
    found = text_map(np.random.default_rng(0).normal(size=(500, 8)), [str(i) for i in range(500)])
    assert found.points.shape == (30, 2) and len(set(found.labels)) == 30
    assert time.perf_counter() - started < 10


def test_charts_hold_any_value() -> None:
    bars = [Bar(label="x" * 99, value=-12.0, low=-30.0, high=5.0, role="model")]
    assert "…" in bar_chart(bars, alt="negative") and "nan" not in bar_chart(bars, alt="negative")
    flat = [Line(name="flat", points=((3.0, 1.0), (3.0, 1.0)), colour="#000")]
    assert "nan" not in line_chart(flat, x_name="step", alt="flat")
    assert shorten("短", 2) == "短" and shorten("短文", 3) == "短…"
    ticks = nice_ticks(-3.9, 0.2, 6)
    assert ticks == [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0]
