"""The table of the ablation."""

from typing import Any

from benchmarks.views._ablation import LABELS, METRICS, VARIANTS, figures
from benchmarks.views.table import table


def test_one_row_a_variant_and_one_column_a_metric_of_what_was_measured() -> None:
    results: dict[str, dict[str, Any]] = {
        "ablation-irc-crop-mrr": {"value": 15.84, "interval95": [15.0, 16.0]},
        "ablation-irc-bm25-mrr": {"value": 13.6, "interval95": [13.6, 13.6]},
        "ablation-irc-crop-sts": {"value": 76.0, "interval95": None},
        "views-strings-chain-over-nlpaug": {"value": 30.0, "interval95": None},
    }
    assert table(results).splitlines() == [
        "| views | irc MRR@10 | irc STS-B |",
        "|---|---|---|",
        "| BM25 | 13.6 |  |",
        "| two crops of 10-50%, each anywhere (`crop`) | 15.8 ± 0.5 | 76.0 |",
    ]


def test_every_variant_has_a_row_and_every_figure_a_regular_name() -> None:
    assert [*LABELS][3:] == [*VARIANTS]
    for corpus, metrics in METRICS.items():
        for figure in figures(corpus):
            kind, of, *variant, metric = figure.name.split("-")
            assert (kind, of) == ("ablation", corpus) and metric in metrics and "-".join(variant) in LABELS
