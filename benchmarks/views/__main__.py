"""The views, measured: how fast they are made, beside other libraries, and what each of them teaches.

`make bench-views`. Peers run in an environment of their own (`_peers.py`): the same texts, the same
dictionary, the same core, by turns with ours. Everything that is trained is scored on sets for choosing
alone: nothing here is looked at on a set that is reported.
"""

from pathlib import Path

from benchmarks._figures import Configuration, Figure, Suite
from benchmarks.views import _ablation
from benchmarks.views._data import SYNONYMS, TECHDOCS
from benchmarks.views._peers import PEERS

suite = Suite(__file__)

CHAIN = (
    "augmented texts/s, ours over nlpaug 1.1.11 (WordNet 3.0, nltk 3.10.4), five operations chained, one core"
)
EDA = "augmented texts/s, ours over textaugment 3.0.0's EDA, that operation alone, one core"
IDS = "time of nlpaug 1.1.11 and the tokenizer over ours, text to token ids of two views a text"


@suite.unit(
    figures=[
        Figure("views-strings-chain-over-nlpaug", unit=CHAIN, at_least=20.0),
        Figure("views-strings-over-eda-deletion", unit=EDA, at_least=1.0),
        Figure("views-strings-over-eda-swap", unit=EDA, at_least=1.0),
        Figure("views-strings-over-eda-replacement", unit=EDA, at_least=1.0),
    ],
    data=[*TECHDOCS, SYNONYMS],
    configuration={"texts": 2000, "rounds": 5, "each side": "its best round", "peers": PEERS},
    quick={"texts": 1000, "rounds": 3},
)
def strings(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Strings in, strings out, beside nlpaug and EDA; dictionaries are read before, on both sides."""
    from benchmarks.views import _speed

    return _speed.strings(seed, configuration, folder)


@suite.unit(
    figures=[
        Figure("views-ids-1-epoch-over-nlpaug", unit=f"{IDS}, 1 epoch", at_least=30.0),
        Figure(
            "views-ids-10-epochs-over-nlpaug",
            unit=f"{IDS}, 10 epochs (theirs: 10 times one)",
            at_least=100.0,
        ),
    ],
    data=[*TECHDOCS, SYNONYMS],
    configuration={"texts": 2000, "rounds": 3, "each side": "its best round", "peers": PEERS},
    quick={"texts": 1000, "rounds": 2},
)
def tokens(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Text in, token ids of views out; encoding is counted, reading the dictionary on neither side."""
    from benchmarks.views import _speed

    return _speed.tokens(seed, configuration, folder)


@suite.unit(
    figures=[
        Figure(
            "views-from-store-texts-per-second",
            unit="augmented texts/s (two views a text), five operations, one core, 110 words, second epoch",
            at_least=50_000.0,
        ),
        Figure(
            "views-from-store-first-epoch",
            unit="augmented texts/s (two views a text), five operations, one core, 110 words",
        ),
    ],
    data=[*TECHDOCS, SYNONYMS],
    configuration={"texts": 45_000},
    quick={"texts": 20_480},
)
def store(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Views from a token store."""
    from benchmarks.views import _speed

    return _speed.store(seed, configuration, folder)


@suite.unit(
    figures=[
        Figure(
            "encoding-over-tokenizer",
            unit="texts/s, build_store over tokenizers 0.23.3 alone, all-MiniLM-L6-v2's, all cores",
            at_least=0.8,
        )
    ],
    data=[*TECHDOCS, "corpus/zh_modern/modern-60k.jsonl.zst"],
    configuration={"texts": 30_000, "rounds": 5, "taken": "median of the rounds' ratios"},
    quick={"texts": 10_240, "rounds": 3},
)
def encoding(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Tokens with units, sentences and protection, beside the tokenizer alone."""
    from benchmarks.views import _speed

    return _speed.encoding(seed, configuration, folder)


@suite.unit(
    figures=[
        Figure(
            "epoch-memory-growth-mb",
            unit="MB of the process's own memory, from a tenth to the end of an epoch of 10 million texts",
            at_most=200.0,
        )
    ],
    configuration={"texts": 10_000_000, "batch_size": 4096},
    quick={"texts": 200_000},
    seeds=(0,),
)
def memory(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """One epoch over more tokens than a batch reads."""
    from benchmarks.views import _memory

    return _memory.memory(seed, configuration, folder)


@suite.unit(
    figures=_ablation.figures("arxiv"),
    data=[*_ablation.ARXIV, _ablation.STSB],
    configuration={**_ablation.CONFIGURATION, "texts": 30_000},
    quick=_ablation.QUICK,
)
def ablation_arxiv(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Abstracts: long texts."""
    return _ablation.ablation("arxiv", seed, configuration, folder)


@suite.unit(
    figures=_ablation.figures("chinese"),
    data=[*_ablation.CHINESE, _ablation.STSB_ZH, _ablation.LCQMC],
    configuration={**_ablation.CONFIGURATION, "texts": 20_000},
    quick=_ablation.QUICK,
)
def ablation_chinese(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Documentation, statutes and books in Chinese."""
    return _ablation.ablation("chinese", seed, configuration, folder)


@suite.unit(
    figures=_ablation.figures("irc"),
    data=[*_ablation.IRC, _ablation.STSB],
    configuration={**_ablation.CONFIGURATION, "texts": 100_000},
    quick=_ablation.QUICK,
)
def ablation_irc(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Chat: short texts."""
    return _ablation.ablation("irc", seed, configuration, folder)


if __name__ == "__main__":
    suite.main()
