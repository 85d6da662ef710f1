"""Figures: numbers that the project states, each measured again by one command.

A *unit* is one run that takes a seed and gives one or more figures. Each seed of a unit runs in a process
of its own (a crash or an hour too long costs that unit only) and its outcome is kept in `benchmarks/.cache/`
under the hash of all that could change it: the code of the package, the code of the suite without its other
units, the configuration, the seed, the data, the versions of libraries and the machine. So an interrupted
suite goes on where it was, and a change of the code measures again. Moving a bar measures nothing again.

A suite is a file such as `benchmarks/path.py`:

    from benchmarks._figures import Configuration, Figure, Suite
    from benchmarks._provenance import data_path

    suite = Suite(__file__)

    @suite.unit(
        figures=[Figure("static-arxiv-mrr", unit="MRR@10 x 100", at_least=90.0)],
        data=["corpus/arxiv/train-cs.jsonl.zst"],  # in ../shared/data
        configuration={"minutes": 10.0},
        quick={"minutes": 1.0},  # replaces these with QUICK=1
    )
    def static_arxiv(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
        model = train([data_path("corpus/arxiv/train-cs.jsonl.zst")], folder / "model", seed=seed, ...)
        return {"static-arxiv-mrr": ..., "tfidf": ...}  # what is no figure is kept as a detail

    if __name__ == "__main__":
        suite.main()
"""

import argparse
import hashlib
import json
import math
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks._limited import run_limited
from benchmarks._provenance import code_hash, data_hash, hardware, versions

SEEDS = (0, 1, 2)
LIMIT_SECONDS = 3600.0  # for one seed of one unit: what needs longer is no figure that others can check

Configuration = Mapping[str, Any]
Measure = Callable[[int, Configuration, Path], Mapping[str, float]]
Record = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A number with a name, a unit and at most one bar to clear; without a bar it is only recorded."""

    name: str
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    def clears(self, value: float) -> bool:
        """Whether one seed's value clears the bar; a value that is not a number never does."""
        lowest = -float("inf") if self.at_least is None else self.at_least
        highest = float("inf") if self.at_most is None else self.at_most
        return lowest <= value <= highest

    def unmeasured(self) -> Record:
        """The record of a figure without a value, which therefore does not hold, if there is a bar."""
        bar = self.at_least if self.at_most is None else self.at_most
        side = None if bar is None else "at least" if self.at_most is None else "at most"
        blank = {"name": self.name, "value": None, "unit": self.unit, "bar": bar, "bar_is": side}
        return blank | {"holds": None if bar is None else False, "seeds": []}

    def summary(self, values: Mapping[int, float]) -> Record:
        """The mean over seeds with its spread; `holds` only if every single seed clears the bar there is.

        `interval95` is Student's t interval of the mean over seeds, none for a single seed.
        """
        numbers = list(values.values())
        mean, interval = statistics.fmean(numbers), None
        if len(numbers) > 1:
            from scipy.stats import t as student_t  # 1 s to import, for the process that sums up only

            error = statistics.stdev(numbers) / len(numbers) ** 0.5
            half = float(student_t.ppf(0.975, len(numbers) - 1)) * error
            interval = [_rounded(mean - half), _rounded(mean + half)]
        record = self.unmeasured()
        return record | {
            "value": _rounded(mean),
            "holds": None if record["bar"] is None else all(map(self.clears, numbers)),
            "seeds": list(values),
            "values": [_rounded(number) for number in numbers],
            "min": _rounded(min(numbers)),
            "max": _rounded(max(numbers)),
            "interval95": interval,
        }


@dataclass(frozen=True)
class Unit:
    """One measurement: the function, the figures it gives, and all that its value depends on."""

    measure: Measure
    figures: tuple[Figure, ...]
    data: tuple[str, ...]
    configuration: Configuration
    quick: Configuration
    in_quick: bool
    seeds: tuple[int, ...]
    unavailable: str | None

    @property
    def name(self) -> str:
        """The function's name."""
        return self.measure.__name__

    @property
    def figure_names(self) -> list[str]:
        """The names of the figures that it gives."""
        return [figure.name for figure in self.figures]

    def settings(self, quick: bool) -> Configuration:
        """The configuration that it is measured with."""
        return {**self.configuration, **(self.quick if quick else {})}


def _rounded(number: float) -> float:
    """To six digits that count."""
    return float(f"{number:.6g}")


class Suite:
    """The units of one file, measured, cached and written to `results/NAME.json`.

    NAME is that of the file, or of its folder where the file is `__main__.py`: what such a suite imports are
    the files of its folder whose names begin with `_`.

    Args:
        file: The suite's own `__file__`.
        folder: Where `results/` and `.cache/` are; if not given the folder of the file, or the one above
            a suite that is a folder.
        limit_seconds: How long one seed of one unit may take.
    """

    def __init__(
        self, file: str, *, folder: Path | None = None, limit_seconds: float = LIMIT_SECONDS
    ) -> None:
        self.file = Path(file).resolve()
        is_folder = self.file.name == "__main__.py"
        self.name = self.file.parent.name if is_folder else self.file.stem
        self.folder = folder or (self.file.parent.parent if is_folder else self.file.parent)
        self.limit_seconds = limit_seconds
        self.units: dict[str, Unit] = {}

    def unit(
        self,
        *,
        figures: Sequence[Figure],
        data: Sequence[str] = (),
        configuration: Configuration | None = None,
        quick: Configuration | None = None,
        in_quick: bool = True,
        seeds: Sequence[int] = SEEDS,
        unavailable: str | None = None,
    ) -> Callable[[Measure], Measure]:
        """Register a function from (seed, configuration, empty folder) to {figure or detail: value}.

        One that is not `in_quick` takes too long for QUICK=1, which leaves it out. One that is `unavailable`
        cannot be measured on this machine, for that reason, and the results say so.
        """

        def register(measure: Measure) -> Measure:
            unit = Unit(
                measure,
                tuple(figures),
                tuple(data),
                configuration or {},
                quick or {},
                in_quick,
                tuple(seeds),
                unavailable,
            )
            self.units[unit.name] = unit
            return measure

        return register

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Measure what is not cached, print one JSON line a figure, and write the results."""
        parser = argparse.ArgumentParser(prog=f"benchmarks.{self.name}")
        parser.add_argument("--only", metavar="NAME", help="one unit or figure")
        parser.add_argument("--seeds", metavar="N", type=int, help="the first N of each unit's seeds")
        parser.add_argument("--quick", action="store_true", help="one seed of a smaller configuration")
        parser.add_argument("--measure", nargs=3, metavar=("UNIT", "SEED", "RESULT"), help=argparse.SUPPRESS)
        options = parser.parse_args(arguments)
        if options.seeds is not None and options.seeds < 1:
            parser.error(f"--seeds must be at least 1, got {options.seeds}; leave it out for all")
        if options.measure:
            name, seed, result = options.measure
            self._measure(self.units[name], int(seed), options.quick, Path(result))
            return
        names = {unit.name: (unit.name, *unit.figure_names) for unit in self.units.values()}
        chosen = [unit for unit in self.units.values() if options.only in (None, *names[unit.name])]
        if not chosen:
            known = ", ".join(sorted({name for pair in names.values() for name in pair}))
            parser.error(f"no figure or unit is named {options.only}; there are {known}")
        if options.only is None and options.quick:
            chosen = [unit for unit in chosen if unit.in_quick]
        failed = False
        for unit in chosen:
            for record in self._figures(unit, options.quick, options.seeds):
                line = {key: record[key] for key in ("name", "value", "unit", "bar", "holds", "seeds")}
                line |= {key: record[key] for key in ("quick", "error") if record.get(key)}
                print(json.dumps(line, ensure_ascii=False), flush=True)
                if record["value"] is None and unit.unavailable is None:
                    failed = True
                else:
                    self._write(record, options.quick)
        if failed:  # a bar that does not hold is a result; a figure that could not be measured is a failure
            sys.exit(1)

    def _figures(self, unit: Unit, quick: bool, most_seeds: int | None = None) -> Iterable[Record]:
        """The records of one unit; if a seed fails, every figure of the unit says why and has no value."""
        about: Record = {"measured_by": unit.name, "quick": quick, "configuration": unit.settings(quick)}
        if unit.unavailable is not None:
            about |= {"hardware": hardware(), "error": unit.unavailable}
            yield from (figure.unmeasured() | about for figure in unit.figures)
            return
        outcomes: dict[int, Record] = {}
        try:
            about["code"] = code_hash(self.file, unit.name, set(self.units) - {unit.name})
            about["data"] = {name: data_hash(name) for name in unit.data}
            for seed in unit.seeds[: 1 if quick else most_seeds]:
                outcomes[seed] = self._outcome(unit, seed, quick, about)
        except (OSError, RuntimeError) as error:
            yield from (figure.unmeasured() | about | {"error": str(error)} for figure in unit.figures)
            return
        last = outcomes[max(outcomes)]
        about |= {key: last[key] for key in ("versions", "hardware", "date")}
        about["seconds"] = [outcome["seconds"] for outcome in outcomes.values()]
        about["details"] = {
            name: _rounded(statistics.fmean(outcome["values"][name] for outcome in outcomes.values()))
            for name in last["values"]
            if name not in unit.figure_names
        }
        for figure in unit.figures:
            if figure.name not in last["values"]:
                continue  # of a quick run, which may measure less
            values = {seed: outcome["values"][figure.name] for seed, outcome in outcomes.items()}
            yield figure.summary(values) | about

    def _outcome(self, unit: Unit, seed: int, quick: bool, about: Record) -> Record:
        """One seed of one unit, from the cache or measured in a process of its own."""
        machine = {**hardware(), "gpu": None}  # which is known where it is used only
        everything = json.dumps([about, unit.figure_names, seed, versions(), machine], sort_keys=True)
        key = hashlib.sha256(everything.encode()).hexdigest()[:16]
        result = self.folder / ".cache" / self.name / f"{unit.name}-{seed}-{key}.json"
        if not result.exists():
            result.parent.mkdir(parents=True, exist_ok=True)
            name = f"{unit.name}, seed {seed}"
            print(f"{name}: measuring", file=sys.stderr, flush=True)
            command = [str(self.file), "--measure", unit.name, str(seed), str(result)]
            run_limited(name, [*command, *(["--quick"] if quick else [])], self.limit_seconds)
        outcome: Record = json.loads(result.read_text())
        return outcome

    def _measure(self, unit: Unit, seed: int, quick: bool, result: Path) -> None:
        """Measure one seed in this process and write its outcome, whole or not at all."""
        folder = result.with_suffix("")
        for left in folder.parent.glob(f"{unit.name}-{seed}-*"):  # by runs that were killed
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
        folder.mkdir(parents=True)
        start = time.monotonic()
        measured = unit.measure(seed, unit.settings(quick), folder)
        others = folder / "versions.json"  # of libraries that the unit ran elsewhere
        values = {name: float(value) for name, value in measured.items()}
        missing = 0.0 if quick else math.nan  # a quick run may leave figures out
        wrong = [name for name in unit.figure_names if not math.isfinite(values.get(name, missing))]
        if wrong:
            raise RuntimeError(f"{unit.name} gave no finite value for {', '.join(wrong)}")
        outcome = {
            "values": values,
            "seconds": round(time.monotonic() - start, 1),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {**versions(), **(json.loads(others.read_text()) if others.exists() else {})},
            "hardware": hardware(),
        }
        partial = result.with_suffix(".part")
        partial.write_text(json.dumps(outcome))
        partial.replace(result)
        shutil.rmtree(folder)

    def _write(self, record: Record, quick: bool) -> None:
        """Merge one figure into the results, so that measuring one figure keeps the others."""
        path = self.folder / "results" / f"{self.name}{'-quick' if quick else ''}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        known: dict[str, Record] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        old = known.get(record["name"], record)
        if record["value"] is None and old["value"] is not None and old["unit"] == record["unit"]:
            return  # measured on another machine, which has what this one lacks
        text = json.dumps({**known, record["name"]: record}, indent=2, ensure_ascii=False)
        partial = path.with_suffix(".part")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)
