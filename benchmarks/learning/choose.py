"""The halves to choose on: score models, and write the text to train on.

python -m benchmarks.learning.choose MODEL...                 a Markdown table, floors and MiniLM first
python -m benchmarks.learning.choose --texts FOLDER           FOLDER/arxiv.jsonl, irc.jsonl, metatool.jsonl
... --texts FOLDER --source english                           FOLDER/english.jsonl, all English text

The reporting halves are measured by `make bench-learning` only.
"""

import argparse
from pathlib import Path

from benchmarks.learning._english import english_rows
from benchmarks.learning._kept import minilm
from benchmarks.learning._methods import Bm25, Method, of_model, of_words
from benchmarks.learning._score import score
from benchmarks.learning._split import write_rows
from benchmarks.learning._suite import arxiv, irc, metatool, sentences
from llmagentos import EmbeddingModel

SOURCES = {"arxiv": arxiv, "irc": irc, "metatool": metatool}


def main() -> None:
    """Read the arguments; print or write."""
    parser = argparse.ArgumentParser(prog="benchmarks.learning.choose")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="a model folder")
    parser.add_argument("--source", choices=[*SOURCES, "english"], action="append", help="may be repeated")
    parser.add_argument("--texts", metavar="FOLDER", type=Path, help="write the text to train on here")
    options = parser.parse_args()
    if options.texts:
        options.texts.mkdir(parents=True, exist_ok=True)
    elif "english" in (options.source or ()):
        parser.error("english is text to train on, without tasks of its own; give --texts FOLDER")
    for source in options.source or SOURCES:
        if source == "english":
            write_rows(english_rows(), options.texts / "english.jsonl")
            continue
        split = SOURCES[source]()
        if options.texts:
            write_rows(split.training, options.texts / f"{source}.jsonl")
        else:
            tasks = split.tasks["choose"]
            methods: dict[str, Method] = {
                "BM25": Bm25(),
                "TF-IDF": of_words(row["text"] for row in split.training),
                "minilm": of_model(minilm(), "minilm"),
                **{model: of_model(EmbeddingModel.load(model), model) for model in options.models},
            }
            print(f"\n| {source}: {len(split.training):,} rows to train on | {' | '.join(tasks)} |")
            print("|---" * (1 + len(tasks)) + "|")
            for label, method in methods.items():
                found = score(method, tasks)
                print(f"| {label} | {' | '.join(f'{one.value:.1f}' for one in found.values())} |", flush=True)
    if options.models and not options.texts:
        for model in options.models:
            scores = score(of_model(EmbeddingModel.load(model), model), sentences("choose"))
            print(f"{model}: " + ", ".join(f"{name} {one.value:.1f}" for name, one in scores.items()))


if __name__ == "__main__":
    main()
