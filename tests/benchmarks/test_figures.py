"""The figure harness: what it measures, keeps, measures again, and says when it cannot."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks._figures import Figure, Suite

SUITE = '''
import time
from pathlib import Path
from benchmarks._figures import Figure, Suite

suite = Suite(__file__, limit_seconds={limit})

@suite.unit(
    figures=[Figure("growth", "x 100", at_least={bar}), Figure("waste", "s", at_most=9.0)],
    configuration={{"base": 10.0}}, quick={{"base": 1.0}},
)
def growing(seed, configuration, folder):
    """Give what grows."""
    with Path(__file__).with_name("calls").open("a") as calls:
        calls.write(f"growing {{seed}}\\n")
    (folder / "scratch").write_text("x")
    {body}
    return {{"growth": configuration["base"] + seed, "waste": 3.0, "baseline": 2.0 * seed}}

@suite.unit(figures=[Figure("steady", "points")], seeds=[7], in_quick=False)
def steady(seed, configuration, folder):
    {steady}
    return {{"steady": seed}}

if __name__ == "__main__":
    suite.main()
'''


class Bench:
    """A suite in a folder of its own, run as `make` runs one."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capfd = folder, capfd
        self.package = folder / "src" / "llmagentos" / "stage.py"
        self.package.parent.mkdir(parents=True)
        self.package.write_text("x = 1")

    def run(
        self,
        *arguments: str,
        bar: float = 10.0,
        body: str = "pass",
        steady: str = "pass",
        limit: float = 50.0,
        name: str = "sample.py",
    ) -> list[dict[str, Any]]:
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        text = SUITE.format(bar=bar, body=body, steady=steady, limit=limit)
        file.write_text(text, encoding="utf-8")
        scope: dict[str, Any] = {"__file__": str(file), "__name__": "sample"}
        exec(compile(text, str(file), "exec"), scope)
        self.capfd.readouterr()
        suite: Suite = scope["suite"]
        suite.main(arguments)
        return [json.loads(line) for line in self.capfd.readouterr().out.splitlines()]

    @property
    def calls(self) -> int:
        file = self.folder / "calls"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def results(self, name: str = "sample") -> dict[str, Any]:
        results: dict[str, Any] = json.loads((self.folder / "results" / f"{name}.json").read_text())
        return results


@pytest.fixture
def bench(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("benchmarks._provenance.ROOT", tmp_path)  # a package of its own
    return Bench(tmp_path, capfd)


def test_one_line_a_figure_and_the_rest_in_the_results(bench: Bench) -> None:
    lines = bench.run()
    assert lines[0] == {
        "name": "growth",
        "value": 11.0,
        "unit": "x 100",
        "bar": 10.0,
        "holds": True,
        "seeds": [0, 1, 2],
    }
    assert [line["name"] for line in lines] == ["growth", "waste", "steady"]
    assert lines[2]["bar"] is None and lines[2]["holds"] is None and lines[2]["seeds"] == [7]
    record = bench.results()["growth"]
    assert record["configuration"] == {"base": 10.0} and record["details"] == {"baseline": 2.0}
    assert record["hardware"]["cores"] and record["versions"]["torch"] and record["date"] and record["code"]
    assert record["values"] == [10.0, 11.0, 12.0] and record["min"] == 10.0 and record["max"] == 12.0
    # Student's t with 2 degrees of freedom: 11 +- 4.3027 * 1 / sqrt(3)
    assert record["interval95"] == pytest.approx([11 - 2.4841, 11 + 2.4841], abs=1e-3)


def test_what_is_cached_is_not_measured_again_even_when_the_bar_or_another_unit_changes(bench: Bench) -> None:
    bench.run("--only", "growing")
    assert bench.calls == 3
    lines = bench.run("--only", "growth", bar=10.5, steady="x = 1")
    assert bench.calls == 3 and not lines[0]["holds"]  # one seed is below the bar


def test_a_change_of_the_unit_measures_again_and_keeps_the_other_figures(bench: Bench) -> None:
    bench.run("--only", "growing")
    bench.run("--only", "growing", body="configuration = {'base': 0.0}")
    bench.run("--only", "steady")
    assert bench.calls == 6
    assert bench.results()["growth"]["value"] == 1.0 and bench.results()["steady"]["value"] == 7.0


def test_a_change_of_the_package_measures_everything_again(bench: Bench) -> None:
    bench.run()
    bench.package.write_text("x = 2")
    bench.run()
    assert bench.calls == 6


def test_a_suite_may_be_a_folder_whose_name_its_results_have(bench: Bench) -> None:
    part, script = bench.folder / "sample" / "_part.py", bench.folder / "sample" / "table.py"
    part.parent.mkdir()

    def measure(text: str, other: str) -> str:
        part.write_text(text)
        script.write_text(other)
        bench.run("--only", "steady", name="sample/__main__.py")
        return str(bench.results()["steady"]["code"])

    first = measure("x = 1", "y = 1")
    assert measure("x = 1", "y = 2") == first  # what the suite does not import
    assert measure("x = 2", "y = 2") != first
    assert len(list((bench.folder / ".cache" / "sample").glob("steady-7-*.json"))) == 2


def test_the_versions_of_what_a_unit_ran_elsewhere_are_recorded(bench: Bench) -> None:
    bench.run("--only", "steady", steady="""(folder / "versions.json").write_text('{"peer": "1.2"}')""")
    versions = bench.results()["steady"]["versions"]
    assert versions["peer"] == "1.2" and versions["torch"]


def test_an_interrupted_run_goes_on(bench: Bench) -> None:
    lost = "import os; seed == 2 and not Path(__file__).with_name('mended').exists() and os._exit(9)"
    with pytest.raises(SystemExit):
        bench.run("--only", "growing", body=lost)
    (bench.folder / "mended").touch()
    assert bench.calls == 3
    assert bench.run("--only", "growing", body=lost)[0]["value"] == 11.0
    assert bench.calls == 4


def test_quick_is_one_seed_of_the_smaller_configuration_and_says_so(bench: Bench) -> None:
    line = bench.run("--quick", "--only", "growth")[0]
    assert line["quick"] and line["seeds"] == [0] and line["value"] == 1.0 and not line["holds"]
    assert bench.results("sample-quick")["growth"]["interval95"] is None
    assert not (bench.folder / "results" / "sample.json").exists()


def test_fewer_seeds_than_a_unit_has_are_said_and_kept_for_all_of_them(bench: Bench) -> None:
    line = bench.run("--seeds", "2", "--only", "growth")[0]
    assert line["seeds"] == [0, 1] and bench.calls == 2
    assert len(bench.run("--only", "growth")[0]["seeds"]) == 3 and bench.calls == 3


def test_a_quick_run_leaves_out_what_takes_too_long_unless_it_is_asked_for(bench: Bench) -> None:
    assert [line["name"] for line in bench.run("--quick")] == ["growth", "waste"]
    assert [line["name"] for line in bench.run("--quick", "--only", "steady")] == ["steady"]


def test_only_a_quick_run_may_leave_figures_out(bench: Bench) -> None:
    less = "return {'waste': 3.0}"
    assert [line["name"] for line in bench.run("--quick", "--only", "growing", body=less)] == ["waste"]
    with pytest.raises(SystemExit):
        bench.run("--only", "growing", body=less)


@pytest.mark.parametrize(
    ("body", "limit", "says"),
    [
        ("raise ValueError('no')", 50.0, "exit status 1"),
        ("time.sleep(60)", 0.5, "not done after 0.5 s"),
        ("configuration = {'base': float('nan')}", 50.0, "exit status 1"),
    ],
)
def test_a_unit_that_fails_has_no_value_and_leaves_the_results_alone(
    bench: Bench, body: str, limit: float, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        bench.run("--only", "growth", body=body, limit=limit)
    assert end.value.code == 1
    line = json.loads(capfd.readouterr().out.splitlines()[0])
    assert line["value"] is None and not line["holds"] and says in line["error"]
    assert not (bench.folder / "results").exists()


def test_data_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sample.py").write_text("")
    suite = Suite(str(tmp_path / "sample.py"))
    suite.unit(figures=[Figure("a", "s")], data=["no/such.jsonl"])(lambda seed, configuration, folder: {})
    with pytest.raises(SystemExit):
        suite.main([])
    assert "no/such.jsonl is not here; DATA.md" in capsys.readouterr().out


def test_an_unknown_name_is_answered_with_the_known_ones(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        bench.run("--only", "nothing")
    assert end.value.code == 2 and "growing, growth, steady, waste" in capfd.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1"])
def test_no_seed_at_all_is_refused(bench: Bench, number: str) -> None:
    with pytest.raises(SystemExit):
        bench.run("--seeds", number)
    assert f"--seeds must be at least 1, got {number}" in bench.capfd.readouterr().err
