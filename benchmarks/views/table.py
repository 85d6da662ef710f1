"""The ablation as a Markdown table, from the last results: `python -m benchmarks.views.table`.

A cell is the mean over seeds ± half of the 95% interval of the mean (Student's t over seeds).
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.views._ablation import LABELS, METRICS

RESULTS = Path(__file__).resolve().parents[1] / "results"
NAMES = {"mrr": "MRR@10", "sts": "STS-B", "lcqmc": "LCQMC"}


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """One row a variant, one column a corpus and metric; only what was measured."""
    measured = {name for name in results if name.startswith("ablation-")}

    def name_of(corpus: str, variant: str, metric: str) -> str:
        return f"ablation-{corpus}-{variant}-{metric}"

    columns = [
        (corpus, metric)
        for corpus, metrics in METRICS.items()
        for metric in metrics
        if any(name_of(corpus, variant, metric) in measured for variant in LABELS)
    ]
    lines = [
        "| views | " + " | ".join(f"{corpus} {NAMES[metric]}" for corpus, metric in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for variant, label in LABELS.items():
        cells = [cell(results.get(name_of(corpus, variant, metric))) for corpus, metric in columns]
        if any(cells):
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(record: Mapping[str, Any] | None) -> str:
    """Mean ± half of the interval; the mean alone where it is the same for every seed or there is one."""
    if record is None:
        return ""
    low, high = record["interval95"] or (0.0, 0.0)
    half = (high - low) / 2
    return f"{record['value']:.1f}" + (f" ± {half:.1f}" if half else "")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.views.table")
    parser.add_argument("--quick", action="store_true", help="of the last quick run")
    name = "views-quick.json" if parser.parse_args().quick else "views.json"
    print(table(json.loads((RESULTS / name).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
