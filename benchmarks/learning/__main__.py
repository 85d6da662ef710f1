"""What is learned, measured where word overlap alone does not win (`make bench-learning`).

The suite is made from ../shared/data by `_suite.py`; everything here reports, and nothing is chosen by it
(`python -m benchmarks.learning.choose` shows the halves to choose on). Scores are x 100. A score's 95%
bootstrap interval over items is among the details, as `NAME low` and `NAME high`.
"""

import os
from pathlib import Path

from benchmarks._command import steps, train
from benchmarks._figures import Configuration, Figure, Suite
from benchmarks.learning._suite import ARXIV, CHINESE, INTENTS, IRC, METATOOL, STS_ZH, STSB

suite = Suite(__file__)

UNITS = {
    "arxiv-knn": "accuracy x 100 of 10-NN, primary category, held-out abstracts, 80 a category",
    "arxiv-title": "MRR@10 x 100, title to abstract, held-out papers",
    "arxiv-hard": "MRR@10 x 100, title to abstract, the fifth with the least words in common",
    "arxiv-untitled": "MRR@10 x 100, title to abstract without the words of its title",
    "irc": "MRR@10 x 100, message to the message linked to it among 1,000",
    "metatool": "nDCG@10 x 100, request to tool, macro-averaged per tool",
    "stsb": "Spearman x 100, STS-B test",
    "stsb-zh": "Spearman x 100, STS-B zh dev, even rows",
    "lcqmc": "Spearman x 100, LCQMC dev, even rows",
    **{
        f"{name}-{way}": f"accuracy x 100, {title} test, {how}"
        for name, title in (("banking77", "Banking77"), ("clinc150", "CLINC150"))
        for way, how in (
            ("knn", "10-NN"),
            ("five", "5 texts a label, 5 draws, logistic regression"),
            ("all", "all labels"),
        )
    },
}
INTENT_FILES = [f"{folder}/{part}.tsv" for folder in INTENTS.values() for part in ("train", "test")]
SEMANTIC = ("arxiv-knn", "arxiv-title", "arxiv-hard", "arxiv-untitled", "irc", "metatool")
# tfidf: by words; characters: likewise by characters; jaccard: sets of characters; svm: TF-IDF, linear SVM
FLOORS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(SEMANTIC, ("bm25", "tfidf", "minilm")),
    "stsb": ("tfidf", "minilm"),
    **dict.fromkeys(STS_ZH, ("characters", "jaccard", "minilm")),
}
INTENT_FLOORS: dict[str, tuple[str, ...]] = {
    **{f"{name}-{way}": ("tfidf", "minilm") for name in INTENTS for way in ("knn", "five")},
    **{f"{name}-all": ("svm", "minilm") for name in INTENTS},
}


def _figures(floors: dict[str, tuple[str, ...]]) -> list[Figure]:
    return [
        Figure(f"learning-{task}-{method}", unit=UNITS[task])
        for task, methods in floors.items()
        for method in methods
    ]


@suite.unit(
    figures=_figures(FLOORS),
    data=[*ARXIV, *IRC, *CHINESE, METATOOL, *STSB.values(), *STS_ZH.values()],
    configuration={"minilm": True},
    quick={"minilm": False},
    seeds=(0,),  # nothing is random
)
def floors(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """What counting words gives on the reporting halves, and all-MiniLM-L6-v2 as it is."""
    from benchmarks.learning import _floors

    return _floors.floors("report", with_minilm=configuration["minilm"])


@suite.unit(
    figures=_figures(INTENT_FLOORS),
    data=INTENT_FILES,
    configuration={"minilm": True},
    quick={"minilm": False},
    seeds=(0,),  # the draws of five texts have seeds of their own
)
def floors_intents(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The same for Banking77 and CLINC150."""
    from benchmarks.learning import _floors

    return _floors.intent_floors("report", with_minilm=configuration["minilm"])


BARS: dict[str, tuple[str, ...]] = {
    "arxiv-knn": ("minilm",),
    "arxiv-title": ("tfidf", "minilm"),
    "arxiv-hard": ("tfidf", "minilm"),
    "arxiv-untitled": ("tfidf", "minilm"),
}


def _arxiv_figures(name: str) -> list[Figure]:
    return [
        *(
            Figure(
                f"learning-{name}-{task}-over-{method}", unit=f"{UNITS[task]}, model - {method}", at_least=0.0
            )
            for task, methods in BARS.items()
            for method in methods
        ),
        Figure(f"learning-{name}-stsb", unit=UNITS["stsb"], at_least=67.0),
        Figure(f"learning-{name}-minutes", unit="minutes, whole command", at_most=10.0),
    ]


@suite.unit(
    figures=_arxiv_figures("static-arxiv"),
    data=[*ARXIV, STSB["report"]],
    configuration={"minutes": 9.0},  # of the 10 that the bar allows
    quick={"minutes": 1.0},
)
def static_arxiv(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """`static` from nothing on abstracts alone, beside the floors on the same candidates."""
    return _static_arxiv("static-arxiv", seed, configuration, folder, "views.pairs=0")


@suite.unit(
    figures=_arxiv_figures("static-arxiv-titles"),
    data=[*ARXIV, STSB["report"]],
    configuration={"minutes": 9.0},
    quick={"minutes": 1.0},
)
def static_arxiv_titles(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The same with pairs of titles and abstracts, as is the default: titles are in-task then."""
    return _static_arxiv("static-arxiv-titles", seed, configuration, folder)


def _static_arxiv(
    name: str, seed: int, configuration: Configuration, folder: Path, *settings: str
) -> dict[str, float]:
    from benchmarks._tasks import sts
    from benchmarks.learning import _floors
    from benchmarks.learning._kept import minilm
    from benchmarks.learning._methods import of_model, of_words
    from benchmarks.learning._score import score
    from benchmarks.learning._split import write_rows
    from benchmarks.learning._suite import arxiv
    from llmagentos import EmbeddingModel

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    split = arxiv()
    out = folder / "model"
    rows = write_rows(split.training, folder / "papers.jsonl")
    options = ["--minutes", str(configuration["minutes"])]
    for setting in (f"training.seed={seed}", *settings):
        options += ["--set", setting]
    minutes = train([rows], out, *options)
    tasks = {**split.tasks["report"], "stsb": sts(STSB["report"])}
    own = score(of_model(EmbeddingModel.load(out), "static"), tasks)
    others = {
        "tfidf": score(of_words(row["text"] for row in split.training), tasks),
        "minilm": score(of_model(minilm(), "minilm"), tasks),
    }
    found = {
        f"learning-{name}-stsb": own["stsb"].value,
        f"learning-{name}-minutes": minutes,
        **{task: one.value for task, one in own.items()},
        **{f"{task}, {label}": one.value for label, other in others.items() for task, one in other.items()},
        **steps(out),
    }
    for task, methods in BARS.items():
        for method in methods:
            gap = own[task].over(others[method][task])
            found |= _floors.with_interval(f"learning-{name}-{task}-over-{method}", gap)
    return found


if __name__ == "__main__":
    suite.main()
