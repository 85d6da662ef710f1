"""What is learned, measured where word overlap alone does not win (`make bench-learning`).

The suite is made from ../shared/data by `_suite.py`; everything here reports, and nothing is chosen by it
(`python -m benchmarks.learning.choose` shows the halves to choose on). Scores are x 100. A score's 95%
bootstrap interval over items is among the details, as `NAME low` and `NAME high`. QUICK=1 has the floors
without all-MiniLM-L6-v2, and a minute of `static` on papers, on chat and on Chinese text.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

from benchmarks._figures import Configuration, Suite
from benchmarks.learning._named import Gaps, Scores, of_intervals, of_methods, of_recipes, of_run, of_scores
from benchmarks.learning._suite import (
    ARXIV,
    CHINESE,
    INTENTS,
    IRC,
    METATOOL,
    OTHER_PAPERS,
    STS_ZH,
    STSB,
    TECHDOCS,
)

suite = Suite(__file__)

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


@suite.unit(
    figures=of_methods(FLOORS),
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
    figures=of_methods(INTENT_FLOORS),
    data=INTENT_FILES,
    configuration={"minilm": True},
    quick={"minilm": False},
    seeds=(0,),  # the draws of five texts have seeds of their own
)
def floors_intents(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The same for Banking77 and CLINC150."""
    from benchmarks.learning import _floors

    return _floors.intent_floors("report", with_minilm=configuration["minilm"])


def _against(gaps: Gaps) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for task, other in gaps:
        found.setdefault(task, []).append(other)
    return found


def _options(seed: int, configuration: Configuration, *more: str) -> list[str]:
    return ["--minutes", str(configuration["minutes"]), "--set", f"training.seed={seed}", *more]


TEN: Configuration = {"minutes": 10.0}
TWENTY: Configuration = {"minutes": 20.0}

ARXIV_SCORES: Scores = {"arxiv-knn": None, "arxiv-title": None, "arxiv-hard": None, "arxiv-untitled": None,
                        "stsb": 67.0}  # fmt: skip
ARXIV_GAPS: Gaps = {
    ("arxiv-knn", "tfidf"): 0.0,
    ("arxiv-knn", "minilm"): 0.0,
    ("arxiv-title", "tfidf"): 0.0,
    ("arxiv-title", "minilm"): 0.0,
    ("arxiv-title", "bm25"): 0.0,
    ("arxiv-hard", "bm25"): 0.0,
    ("arxiv-untitled", "bm25"): 0.0,
}


@suite.unit(
    figures=of_run("static-arxiv", ARXIV_SCORES, ARXIV_GAPS, 10.0),
    data=[*ARXIV, STSB["report"]],
    configuration=TEN,
    in_quick=False,
)
def static_arxiv(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """`static` from nothing on abstracts alone, beside the floors on the same candidates."""
    from benchmarks.learning._runs import on_arxiv

    options = _options(seed, configuration, "--set", "views.pairs=0")
    return on_arxiv("static-arxiv", folder, list(ARXIV_SCORES), _against(ARXIV_GAPS), options)


@suite.unit(
    figures=of_run("static-arxiv-titles", ARXIV_SCORES, ARXIV_GAPS, 10.0),
    data=[*ARXIV, STSB["report"]],
    configuration={**TEN, "minilm": True},
    quick={"minutes": 1.0, "minilm": False},
)
def static_arxiv_titles(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The same with pairs of titles and abstracts, as is the default: titles are in-task then."""
    from benchmarks.learning._runs import on_arxiv

    options = _options(seed, configuration)
    compared = {
        pair: gap for pair, gap in ARXIV_GAPS.items() if configuration["minilm"] or "minilm" not in pair
    }
    return on_arxiv("static-arxiv-titles", folder, list(ARXIV_SCORES), _against(compared), options)


ADAPTED_GAPS: Gaps = {
    ("arxiv-title", "minilm"): 1.0,
    ("arxiv-hard", "minilm"): 3.0,
    ("stsb", "minilm"): -0.5,
    ("banking77-knn", "minilm"): -0.5,
    ("clinc150-knn", "minilm"): -0.5,
}


@suite.unit(
    figures=of_run("minilm-arxiv-titles", {}, ADAPTED_GAPS, 20.0),
    data=[*ARXIV, STSB["report"], *INTENT_FILES],
    configuration=TWENTY,
    in_quick=False,
)
def minilm_arxiv_titles(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """all-MiniLM-L6-v2 adapted to arXiv as is the default; the intents and STS-B are guards."""
    from benchmarks.learning._runs import on_arxiv

    options = _options(seed, configuration, "--encoder", "minilm")
    return on_arxiv(
        "minilm-arxiv-titles", folder, list(_against(ADAPTED_GAPS)), _against(ADAPTED_GAPS), options
    )


@suite.unit(
    figures=of_run("minilm-arxiv", {}, ADAPTED_GAPS, 20.0),
    data=[*ARXIV, STSB["report"], *INTENT_FILES],
    configuration=TWENTY,
    in_quick=False,
)
def minilm_arxiv(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The same on abstracts alone."""
    from benchmarks.learning._runs import on_arxiv

    options = _options(seed, configuration, "--encoder", "minilm", "--set", "views.pairs=0")
    against = _against(ADAPTED_GAPS)
    return on_arxiv("minilm-arxiv", folder, list(against), against, options)


PEER_SCORES: Scores = dict.fromkeys(ARXIV_SCORES)


@suite.unit(
    figures=of_scores("peer-static-embedding", PEER_SCORES),
    data=[*ARXIV, STSB["report"]],
    configuration={"minutes": 8.0},  # what a run of 10 has for training alone
    in_quick=False,
)
def peer_static(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """sentence-transformers' StaticEmbedding on titles and abstracts: beside static_arxiv_titles."""
    from benchmarks.learning._peers import static_embedding
    from benchmarks.learning._runs import of_peer
    from benchmarks.learning._suite import arxiv

    pairs = [(row["title"], row["text"]) for row in arxiv().training]
    model = static_embedding(pairs, configuration["minutes"], seed, folder)
    return of_peer("static-embedding", model, list(PEER_SCORES))


@suite.unit(
    figures=[*of_scores("peer-simcse", PEER_SCORES), *of_scores("peer-tsdae", PEER_SCORES)],
    data=[*ARXIV, STSB["report"]],
    configuration={"minutes": 18.0},  # of a run of 20
    in_quick=False,
)
def peers_minilm(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """sentence-transformers' SimCSE and TSDAE of all-MiniLM-L6-v2 on abstracts: beside minilm_arxiv."""
    from benchmarks.learning._peers import simcse, tsdae
    from benchmarks.learning._runs import of_peer
    from benchmarks.learning._suite import arxiv

    texts = [row["text"] for row in arxiv().training]
    minutes = configuration["minutes"]
    return {
        **of_peer("simcse", simcse(texts, minutes, seed, folder), list(PEER_SCORES)),
        **of_peer("tsdae", tsdae(texts, minutes, seed, folder), list(PEER_SCORES)),
    }


@suite.unit(
    figures=of_scores("peer-model2vec", PEER_SCORES),
    data=[*ARXIV, STSB["report"]],
    configuration={},
    seeds=(0,),  # nothing is random
    in_quick=False,
    unavailable=None
    if find_spec("model2vec")
    else "run: .venv/bin/pip install --no-deps model2vec skeletoken",
)
def peer_model2vec(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """model2vec's distillation of all-MiniLM-L6-v2, with the words of the abstracts."""
    from benchmarks.learning._peers import model2vec
    from benchmarks.learning._runs import of_peer
    from benchmarks.learning._suite import arxiv

    return of_peer("model2vec", model2vec([row["text"] for row in arxiv().training]), list(PEER_SCORES))


@suite.unit(
    figures=of_run("static-irc", {"irc": 22.0}, {("irc", "bm25"): 0.0, ("irc", "tfidf"): 0.0}, 10.0),
    data=IRC,
    configuration=TEN,
    quick={"minutes": 1.0},
)
def static_irc(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """`static` from nothing on Ubuntu's chat; the messages that are asked about are not among the text."""
    from benchmarks.learning._runs import on_irc

    return on_irc("static-irc", folder, _options(seed, configuration))


@suite.unit(
    figures=of_run("minilm-irc", {"irc": 28.0}, {("irc", "minilm"): 0.0}, 20.0),
    data=IRC,
    configuration=TWENTY,
    in_quick=False,
)
def minilm_irc(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """all-MiniLM-L6-v2 adapted to the same text."""
    from benchmarks.learning._runs import on_irc

    return on_irc("minilm-irc", folder, _options(seed, configuration, "--encoder", "minilm"))


TECHNICAL_GAPS: Gaps = {
    **{(f"{name}-{way}", "minilm"): -3.0 for name in INTENTS for way in ("knn", "five")},
    **{(f"{name}-all", "svm"): 0.0 for name in INTENTS},
}


@suite.unit(
    figures=of_run("static-technical", {}, TECHNICAL_GAPS, 10.0),
    data=[*TECHDOCS, *IRC, *INTENT_FILES],
    configuration=TEN,
    in_quick=False,
)
def static_technical(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """`static` from nothing on technical documents and Ubuntu's chat, on requests of other kinds."""
    from benchmarks.learning._runs import on_technical

    options = _options(seed, configuration)
    return on_technical("static-technical", folder, _against(TECHNICAL_GAPS), options)


@suite.unit(
    figures=of_run(
        "static-metatool", {"metatool": 55.0}, {("metatool", "bm25"): 0.0, ("metatool", "tfidf"): 0.0}, 10.0
    ),
    data=[*TECHDOCS, *IRC, METATOOL],
    configuration=TEN,
    in_quick=False,
)
def static_metatool(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """`static` from nothing on the same text, the tools and a quarter of the requests."""
    from benchmarks.learning._runs import on_metatool

    return on_metatool("static-metatool", folder, _options(seed, configuration), alone=False)


@suite.unit(
    figures=of_run("minilm-metatool", {"metatool": 72.0}, {("metatool", "minilm"): 0.0}, 20.0),
    data=[METATOOL],
    configuration=TWENTY,
    in_quick=False,
)
def minilm_metatool(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """all-MiniLM-L6-v2 adapted to the tools and a quarter of the requests."""
    from benchmarks.learning._runs import on_metatool

    options = _options(seed, configuration, "--encoder", "minilm")
    return on_metatool("minilm-metatool", folder, options, alone=True)


CHINESE_GAPS: Gaps = {(task, floor): 0.0 for task in STS_ZH for floor in ("characters", "jaccard")}


@suite.unit(
    figures=[
        *of_run("static-chinese", {"stsb-zh": 77.0, "lcqmc": 55.0, "forms": 0.95}, CHINESE_GAPS, 10.0),
        *of_intervals("static-chinese", CHINESE_GAPS),
    ],
    data=[*CHINESE, *STS_ZH.values()],
    configuration=TEN,
    quick={"minutes": 1.0},
)
def static_chinese(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """`static` from nothing on the Chinese corpora, beside characters in common."""
    from benchmarks.learning._runs import on_chinese

    options = _options(seed, configuration)
    return on_chinese("static-chinese", folder, list(STS_ZH), _against(CHINESE_GAPS), options)


@suite.unit(
    figures=of_run(
        "minilm-chinese",
        {"stsb-zh": 70.0, "lcqmc": None, "forms": 0.95},
        {("stsb", "minilm"): -2.0},
        20.0,
    ),
    data=[*CHINESE, *STS_ZH.values(), STSB["report"]],
    configuration=TWENTY,
    in_quick=False,
)
def minilm_chinese(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """all-MiniLM-L6-v2 given Chinese words; STS-B in English is the guard."""
    from benchmarks.learning._runs import on_chinese

    options = _options(seed, configuration, "--encoder", "minilm", "--adapt-vocabulary")
    return on_chinese("minilm-chinese", folder, [*STS_ZH, "stsb"], {"stsb": ["minilm"]}, options)


SMALL_GAPS: Gaps = {("stsb", "static"): 0.0}
# A run of 20 minutes stays with static of itself, so a little more.
JUST_OVER_TWENTY: Configuration = {"minutes": 20.1}


@suite.unit(
    figures=of_run("small-arxiv", {}, {("arxiv-title", "static"): 0.0, **SMALL_GAPS}, 21.0),
    data=[*ARXIV, STSB["report"]],
    configuration=JUST_OVER_TWENTY,
    in_quick=False,
)
def small_arxiv(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """`small` beside `static`, both 20 minutes on papers."""
    from benchmarks.learning._runs import small_beside_static
    from benchmarks.learning._suite import arxiv

    options = _options(seed, configuration)
    return small_beside_static("small-arxiv", folder, arxiv(), "arxiv-title", options)


@suite.unit(
    figures=of_run("small-irc", {}, {("irc", "static"): 0.0, **SMALL_GAPS}, 21.0),
    data=[*IRC, STSB["report"]],
    configuration=JUST_OVER_TWENTY,
    in_quick=False,
)
def small_irc(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The same on chat."""
    from benchmarks.learning._runs import small_beside_static
    from benchmarks.learning._suite import irc

    return small_beside_static("small-irc", folder, irc(), "irc", _options(seed, configuration))


@suite.unit(
    figures=of_run(
        "small-english",
        dict.fromkeys((*SEMANTIC, "stsb", "banking77-knn", "clinc150-knn")),
        {},
        15.0,
    ),
    data=[*ARXIV, *OTHER_PAPERS, *IRC, *TECHDOCS, METATOOL, STSB["report"], *INTENT_FILES],
    configuration={"minutes": 14.0},  # of 15, as above
    in_quick=False,
    unavailable=None if shutil.which("nvidia-smi") else "there is no GPU on this machine",
)
def small_english(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """`small` on a GPU, on all English text but what the suite asks about."""
    from benchmarks.learning._english import on_english

    options = _options(seed, configuration, "--encoder", "small")
    return on_english("small-english", folder, (*SEMANTIC, "stsb", "banking77-knn", "clinc150-knn"), options)


# What one would set by hand; the probe is free to choose.
RECIPES = {
    "crop": ("views.preset=crop", "views.pairs=0", "loss.temperature=0.05"),
    "crop-30": ("views.preset=crop", "views.pairs=0.3", "loss.temperature=0.05"),
    "crop-60": ("views.preset=crop", "views.pairs=0.6", "loss.temperature=0.05"),
    "crop-60-warm": ("views.preset=crop", "views.pairs=0.6", "loss.temperature=0.1"),
}


def _probed(corpus: str, seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    from benchmarks.learning._runs import probed

    return probed(corpus, folder, RECIPES, _options(seed, configuration))


FIVE: Configuration = {"minutes": 5.0}


@suite.unit(figures=of_recipes("arxiv", RECIPES, -1.0), data=ARXIV, configuration=FIVE, in_quick=False)
def probe_arxiv(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The default beside each recipe for five minutes on papers."""
    return _probed("arxiv", seed, configuration, folder)


@suite.unit(figures=of_recipes("irc", RECIPES, -1.0), data=IRC, configuration=FIVE, in_quick=False)
def probe_irc(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The same on chat."""
    return _probed("irc", seed, configuration, folder)


@suite.unit(
    figures=of_recipes("technical", RECIPES, -1.0),
    data=[*TECHDOCS, *INTENT_FILES],
    configuration=FIVE,
    in_quick=False,
)
def probe_technical(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The same on technical documents, measured on requests of other kinds."""
    return _probed("technical", seed, configuration, folder)


@suite.unit(
    figures=of_recipes("chinese", RECIPES, -1.0),
    data=[*CHINESE, *STS_ZH.values()],
    configuration=FIVE,
    in_quick=False,
)
def probe_chinese(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The same on Chinese text."""
    return _probed("chinese", seed, configuration, folder)


if __name__ == "__main__":
    suite.main()
