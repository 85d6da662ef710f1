"""Is what the trial chooses better on average than any fixed recipe?

`python -m benchmarks.learning.recipes` reads what `make bench-learning ONLY=probe_arxiv` and the like have
measured, and prints a Markdown table.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "learning.json"
CORPORA = ("arxiv", "irc", "technical", "chinese")


def table(records: Mapping[str, Mapping[str, Any]], fixed: Sequence[str]) -> list[str]:
    """The lines of the table.

    Args:
        records: figures by name.
        fixed: recipes; what was chosen (default) has the row below them.

    Returns:
        Of the corpora that are measured with every recipe; without any a sentence in place of a table.

    Examples:
        >>> scores = {"a": 20.0, "b": 22.0, "default": 22.5}
        >>> records = {f"learning-probe-irc-{name}": {"value": value} for name, value in scores.items()}
        >>> print(*table(records, ["a", "b"]), sep="\\n")
        | recipe | irc | mean |
        |---|---|---|
        | a | 20.0 | 20.0 |
        | b | 22.0 | 22.0 |
        | default | 22.5 | 22.5 |
        | default - best on average | | +0.5 |
    """
    recipes = [*fixed, "default"]
    names = {corpus: [f"learning-probe-{corpus}-{recipe}" for recipe in recipes] for corpus in CORPORA}
    measured = {
        corpus: [records[name]["value"] for name in of_corpus]
        for corpus, of_corpus in names.items()
        if all(records.get(name, {}).get("value") is not None for name in of_corpus)
    }
    if not measured:
        return ["No corpus is measured with every recipe yet: make bench-learning ONLY=probe_arxiv"]
    rows = [[*row, fmean(row)] for row in zip(*measured.values(), strict=True)]
    over = rows[-1][-1] - max(row[-1] for row in rows[:-1])
    return [
        f"| recipe | {' | '.join(measured)} | mean |",
        "|---" * (len(measured) + 2) + "|",
        *(
            f"| {name} | {' | '.join(f'{one:.1f}' for one in row)} |"
            for name, row in zip(recipes, rows, strict=True)
        ),
        f"| default - best on average |{' |' * len(measured)} {over:+.1f} |",
    ]


def main() -> None:
    """Print it."""
    from benchmarks.learning.__main__ import RECIPES

    print("\n".join(table(json.loads(RESULTS.read_text(encoding="utf-8")), list(RECIPES))))


if __name__ == "__main__":
    main()
