"""How fast views are made, beside other libraries, and tokens, beside the tokenizer alone."""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from benchmarks._figures import Configuration
from benchmarks._texts import read_rows
from benchmarks.views._data import documents, mean_words, paragraphs, passages, write_synonyms
from benchmarks.views._peers import Peers
from llmagentos.encoder import load_encoder
from llmagentos.tokens import TokensConfig, build_store, train_tokenizer
from llmagentos.training._order import batch_at
from llmagentos.views import Preset, Views, ViewsConfig

# What is changed in each text, from a store.
RATES: dict[str, Any] = {
    "sentence_reordering": 0.5,
    "word_swap": 0.1,
    "word_replacement": 0.1,
    "word_deletion": 0.1,
    "character_noise": 0.1,
}
# Beside the peers as many words have to change as there. EDA replaces 12.5 words of 100 (it draws 10 and
# replaces each wherever it stands) and moves 17.7 (two for each swap); ours looks for related words of every
# word that it draws, and pairs are exchanged with the given probability: at 10% that were 4.2 and 7.2.
PEER_RATES: dict[str, Any] = RATES | {"word_swap": 0.25, "word_replacement": 0.3}
OTHER_RATES: dict[str, Any] = {"repetition": 0.2, "span_masking": 0.15}
EDA = {"deletion": "word_deletion", "swap": "word_swap", "replacement": "word_replacement"}
# Longer than every text here: nothing is cut.
MAX_TOKENS = 4_096
BATCH = 1_024


def strings(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Strings in, strings out, on one core; a text is one view of one text on both sides."""
    one_core()
    texts = paragraphs(configuration["texts"])
    dictionary = write_synonyms(folder / "synonyms.tsv")

    def ours(**amounts: Any) -> Callable[[], object]:
        views = Views(texts, ViewsConfig(preset="dropout", dictionary=str(dictionary), **amounts))
        epochs = iter(range(1_000_000))
        return lambda: views.strings(seed=seed, epoch=next(epochs))

    same = Views(texts, ViewsConfig(preset="dropout")).strings(seed=seed)
    with Peers(texts, minilm(), folder, seed) as peers:
        theirs = peers.result("nothing")
        speeds = {
            "chain": _both_speeds(
                lambda: peers.seconds("chain"), ours(**PEER_RATES), len(texts), configuration["rounds"]
            ),
            "chain of look-ups": _both_speeds(
                lambda: peers.seconds("chain-quick"), ours(**PEER_RATES), len(texts), configuration["rounds"]
            ),
            **{
                name: _both_speeds(
                    partial(_repeated, partial(peers.seconds, f"eda-{name}")),
                    ours(**{operation: PEER_RATES[operation]}),
                    len(texts),
                    configuration["rounds"],
                )
                for name, operation in EDA.items()
            },
        }
    return {
        "views-strings-chain-over-nlpaug": _ratio(speeds["chain"]),
        **{f"views-strings-over-eda-{name}": _ratio(speeds[name]) for name in EDA},
        **{
            f"{side} {name}, texts/s": speed
            for name, pair in speeds.items()
            for side, speed in zip(("nlpaug" if "chain" in name else "EDA", "ours"), pair, strict=True)
        },
        "nlpaug has WordNet and its tagger": float(peers.has_wordnet),
        "chain over nlpaug with look-ups for both": _ratio(speeds["chain of look-ups"]),
        "words a text": mean_words(texts),
        **{
            f"ours, words that {name} changes": _changed_words(texts, dictionary, operation)
            for name, operation in EDA.items()
        },
        "texts that nlpaug changes with everything off, %": _changed(theirs, texts),
        "... also but for white space, %": _changed(map(_joined, theirs), map(_joined, texts)),
        "texts that ours changes with everything off, %": max(
            _changed(views, texts) for views in zip(*same, strict=True)
        ),
    }


def tokens(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Text in, token ids of views out, on one core: our one encoding against one for every view."""
    one_core()
    texts, tokenizer = paragraphs(configuration["texts"]), minilm()
    dictionary = write_synonyms(folder / "synonyms.tsv")
    config = ViewsConfig(preset="dropout", dictionary=str(dictionary), **PEER_RATES)
    all_texts = np.arange(len(texts))
    times: dict[str, list[float]] = {
        "peer": [],
        "quick peer": [],
        "store": [],
        "set-up": [],
        "1": [],
        "10": [],
    }
    with Peers(texts, tokenizer, folder, seed) as peers:
        for turn in range(configuration["rounds"]):
            times["peer"].append(2 * peers.seconds("ids"))  # two views of each text
            times["quick peer"].append(2 * peers.seconds("ids-quick"))
            began = time.perf_counter()
            store = build_store(documents(texts), tokenizer, folder / f"store-{turn}")
            encoded = time.perf_counter()
            views = Views(store, config)
            made = time.perf_counter()
            epochs = partial(views.views, all_texts, seed=seed, max_tokens=MAX_TOKENS)
            seconds = [_seconds(partial(epochs, epoch=epoch)) for epoch in range(10)]
            times["store"].append(encoded - began)
            times["set-up"].append(made - encoded)
            times["1"].append(encoded - began + seconds[0])
            times["10"].append(encoded - began + sum(seconds))
        loading = peers.loading_seconds
    best = {name: min(values) for name, values in times.items()}
    return {
        "views-ids-1-epoch-over-nlpaug": best["peer"] / best["1"],
        "views-ids-10-epochs-over-nlpaug": 10 * best["peer"] / best["10"],
        "nlpaug has WordNet and its tagger": float(peers.has_wordnet),
        "1 epoch, nlpaug with look-ups for both": best["quick peer"] / best["1"],
        "10 epochs, nlpaug with look-ups for both": 10 * best["quick peer"] / best["10"],
        "nlpaug and tokenizer, seconds an epoch": best["peer"],
        "ours, seconds of the encoding": best["store"],
        "ours, seconds of 1 epoch with the encoding": best["1"],
        "ours, seconds of 10 epochs with the encoding": best["10"],
        "dictionary read by ours, seconds, not counted": best["set-up"],
        "dictionary read by nlpaug, seconds, not counted": loading,
        "1 epoch, dictionaries counted": (best["peer"] + loading) / (best["1"] + best["set-up"]),
        "10 epochs, dictionaries counted": (10 * best["peer"] + loading) / (best["10"] + best["set-up"]),
    }


def store(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Views from a store of passages of 110 words, in the order of training, on one core."""
    one_core()
    texts = passages(110, configuration["texts"])
    dictionary = write_synonyms(folder / "synonyms.tsv")
    began = time.perf_counter()
    built = build_store(documents(texts), minilm(), folder / "store")
    encoding = len(texts) / (time.perf_counter() - began)

    def speeds(epochs: int, **amounts: Any) -> list[tuple[float, float]]:
        """Views a second in each epoch: by the clock, and by the time that the core gave to this process."""
        views = Views(built, ViewsConfig(**{"preset": "dropout", "dictionary": str(dictionary)} | amounts))
        steps = len(built) // BATCH

        def run(epoch: int, batches: Sequence[NDArray[np.int64]]) -> None:
            for rows in batches:
                views.views(rows, seed=seed, epoch=epoch, max_tokens=MAX_TOKENS)

        found = []
        for epoch in range(epochs):
            of_epoch = range(epoch * steps, (epoch + 1) * steps)
            batches = [batch_at(step, batch_size=BATCH, size=len(built), seed=seed)[1] for step in of_epoch]
            busy = time.process_time()
            seconds = _seconds(partial(run, epoch, batches))
            busy = time.process_time() - busy
            found.append((2 * steps * BATCH / seconds, 2 * steps * BATCH / busy))
        return found

    five = speeds(3, **RATES)
    return {
        "views-from-store-texts-per-second": five[1][0],
        "views-from-store-first-epoch": five[0][0],
        "second epoch, by the time of the process": five[1][1],
        "third epoch": five[2][0],
        "passages": len(built),
        "tokens a text": built.num_tokens / len(built),
        "encoding, texts/s": encoding,
        **{f"preset {name}": speeds(2, preset=name)[1][0] for name in get_args(Preset)},
        **{name: speeds(2, **{name: rate})[1][0] for name, rate in {**RATES, **OTHER_RATES}.items()},
    }


def encoding(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Texts a second of `build_store` over those of the tokenizer's `encode_batch`, all cores."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    texts = passages(110, configuration["texts"])
    chinese = [row["text"] for row in read_rows("corpus/zh_modern/modern-60k.jsonl.zst")][: len(texts)]
    cases = {
        "encoding-over-tokenizer": (minilm(), texts),
        "own unigram": (train_tokenizer(documents(texts), TokensConfig()), texts),
        "byte-level BPE": (_byte_level(texts), texts),
        "own unigram, Chinese": (train_tokenizer(documents(chinese), TokensConfig()), chinese),
        "all-MiniLM-L6-v2's WordPiece, Chinese": (minilm(), chinese),
    }
    found: dict[str, float] = {}
    for name, (tokenizer, some) in cases.items():
        found[name], speed = _encoding_ratio(tokenizer, some, configuration["rounds"], folder / name)
        found[f"{name}: ours, texts/s"] = speed
    return found


def one_core() -> None:
    """Keep this process, and those that it starts, on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def minilm() -> Tokenizer:
    """all-MiniLM-L6-v2's tokenizer."""
    return load_encoder("minilm").tokenizer


def _byte_level(texts: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=30_000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _encoding_ratio(
    tokenizer: Tokenizer, texts: Sequence[str], rounds: int, folder: Path
) -> tuple[float, float]:
    """The median of the ratios of single rounds, and the best speed of ours."""
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    some = documents(texts)

    def alone() -> None:
        for first in range(0, len(texts), 1_024):  # as many as build_store encodes at once
            encodings = tokenizer.encode_batch(list(texts[first : first + 1_024]), add_special_tokens=False)
            for one in encodings:
                _ = one.ids

    alone()  # the library starts its threads with the first call
    ratios, best = [], float("inf")
    for turn in range(rounds):
        theirs = _seconds(alone)
        ours = _seconds(partial(build_store, some, tokenizer, folder / str(turn)))
        ratios.append(theirs / ours)
        best = min(best, ours)
    return statistics.median(ratios), len(texts) / best


def _both_speeds(
    peer: Callable[[], float], ours: Callable[[], object], num_texts: int, rounds: int
) -> tuple[float, float]:
    """Texts a second of the peer and of ours, each the best of its rounds, which alternate."""
    ours()
    both = [(peer(), _repeated(lambda: _seconds(ours))) for _ in range(rounds)]
    theirs, own = (min(seconds) for seconds in zip(*both, strict=True))
    return num_texts / theirs, 2 * num_texts / own  # ours makes two views of each text


def _changed_words(texts: Sequence[str], dictionary: Path, operation: str) -> float:
    """How many words of a text one of our operations changes, the mean over 200 texts."""
    amounts: dict[str, Any] = {operation: PEER_RATES[operation]}
    views = Views(texts, ViewsConfig(preset="dropout", dictionary=str(dictionary), **amounts))
    return statistics.fmean(len(first.edits) for first, _ in views.explain(range(200)))


def _ratio(speeds: tuple[float, float]) -> float:
    return speeds[1] / speeds[0]


def _repeated(measure: Callable[[], float], at_least: float = 1.0) -> float:
    """The mean of as many passes as take a second."""
    passes = [measure()]
    while sum(passes) < at_least:
        passes.append(measure())
    return statistics.fmean(passes)


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _changed(results: Sequence[str] | Iterator[str], texts: Sequence[str] | Iterator[str]) -> float:
    pairs = list(zip(results, texts, strict=True))
    return 100 * sum(a != b for a, b in pairs) / len(pairs)


def _joined(text: str) -> str:
    return " ".join(text.split())
