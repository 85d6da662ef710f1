"""What each operation teaches: the same encoder from nothing, the same steps, only the views differ.

Every number is looked at on sets for choosing: papers of 2019, texts kept aside, half of the reply links,
STS-B dev, and the odd rows of the Chinese pairs. Figures are named ablation-CORPUS-VARIANT-METRIC.
"""

import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks._figures import Configuration, Figure
from benchmarks._tasks import retrieval, sts
from benchmarks._texts import hashed, read_lines, read_rows, smallest
from benchmarks.views._data import documents
from llmagentos.corpus import CorpusConfig, Document, clean_document, cut_document
from llmagentos.encoder import StaticEncoder
from llmagentos.evaluation import RetrievalTask, STSTask, evaluate
from llmagentos.loss import NTXentLoss
from llmagentos.model import EmbeddingModel
from llmagentos.tokens import TokensConfig, TokenStore, build_store, train_tokenizer
from llmagentos.training import Budget, TrainingConfig, train_encoder
from llmagentos.views import Spelling, Views, ViewsConfig, learn_related_words

ARXIV = ("corpus/arxiv/train-cs.jsonl.zst", "corpus/arxiv/stream2019-cs.jsonl.zst")
CHINESE = (
    "corpus/zh_docs_tidb/docs.jsonl.zst",
    "corpus/zh_paddle/docs.jsonl.zst",
    "corpus/zh_modern/modern-60k.jsonl.zst",
    "corpus/zh_laws/laws.jsonl.zst",
)
IRC = ("corpus/ubuntu_irc/train.jsonl.zst", "corpus/ubuntu_irc/reply-links-train.tsv.zst")
STSB = "eval/sts_en/STSB-dev.tsv"
STSB_ZH = "eval/sts_zh/stsb-zh-dev.tsv"
LCQMC = "eval/sts_zh/lcqmc-dev.tsv"

# Preset `sentence` is `repetition`, and crops with deletion are preset `paragraph`: each is trained once.
VARIANTS: dict[str, dict[str, Any]] = {
    "dropout": {"preset": "dropout"},
    "word-replacement": {"preset": "dropout", "word_replacement": 0.1},
    "word-deletion": {"preset": "dropout", "word_deletion": 0.1},
    "word-swap": {"preset": "dropout", "word_swap": 0.1},
    "sentence-reordering": {"preset": "dropout", "sentence_reordering": 0.5},
    "character-noise": {"preset": "dropout", "character_noise": 0.1},
    "repetition": {"preset": "sentence"},
    "span-masking": {"preset": "dropout", "span_masking": 0.15},
    "crop": {"preset": "crop", "crop_relation": "independent"},
    "crop-adjacent": {"preset": "crop", "crop_relation": "adjacent"},
    "crop-overlapping": {"preset": "crop", "crop_relation": "overlapping"},
    "span": {"preset": "span"},
    "paragraph": {"preset": "paragraph", "crop_relation": "independent"},
    "crop-replacement": {"preset": "crop", "crop_relation": "independent", "word_replacement": 0.1},
    "crop-noise": {"preset": "crop", "crop_relation": "independent", "character_noise": 0.1},
    "noisy": {"preset": "noisy"},
    "seed": {"preset": "seed"},
}
LABELS = {
    "bm25": "BM25",
    "tfidf": "TF-IDF",
    "untrained": "untrained (random vectors, lengths by inverse document frequency)",
    "dropout": "the same text twice (`dropout`)",
    "word-replacement": "10% of the words replaced",
    "word-deletion": "10% of the words left out",
    "word-swap": "10% of the words swapped",
    "sentence-reordering": "half of the sentences moved",
    "character-noise": "typing errors in 10% of the words",
    "repetition": "20% of the words said twice (`sentence`)",
    "span-masking": "15% hidden in spans",
    "crop": "two crops of 10-50%, each anywhere (`crop`)",
    "crop-adjacent": "... side by side",
    "crop-overlapping": "... with something in common",
    "span": "two crops of 30-80% (`span`)",
    "paragraph": "crops of 10-50%, 10% left out (`paragraph`)",
    "crop-replacement": "crops of 10-50%, 10% replaced",
    "crop-noise": "crops of 10-50%, typing errors in 10%",
    "noisy": "typing errors in 10%, 5% left out, 5% swapped (`noisy`)",
    "seed": "the five operations of the seed (`seed`)",
}
METRICS = {"arxiv": ("mrr", "sts"), "chinese": ("mrr", "sts", "lcqmc"), "irc": ("mrr", "sts")}
UNITS = {
    ("arxiv", "mrr"): "MRR@10 x 100, title to abstract, 2,000 papers of 2019",
    ("arxiv", "sts"): "Spearman x 100, STS-B dev",
    ("chinese", "mrr"): "MRR@10 x 100, first fifth to the rest, 2,000 texts",
    ("chinese", "sts"): "Spearman x 100, STS-B zh dev, odd rows",
    ("chinese", "lcqmc"): "Spearman x 100, LCQMC dev, odd rows",
    ("irc", "mrr"): "MRR@10 x 100, message to its reply, 1,000 links",
    ("irc", "sts"): "Spearman x 100, STS-B dev",
}
CONFIGURATION = {"steps": 200, "batch_size": 512, "min_words": 500_000, "variants": list(VARIANTS)}
QUICK = {"steps": 20, "texts": 4_000, "variants": ["dropout", "word-deletion", "crop"]}

Task = RetrievalTask | STSTask


@dataclass(frozen=True)
class Corpus:
    """Texts to train on, and tasks by the name of their metric."""

    texts: list[Document]
    tasks: dict[str, Task]


def figures(corpus: str) -> list[Figure]:
    """All figures of one corpus, none with a bar."""
    return [
        Figure(f"ablation-{corpus}-{name}-{metric}", unit=UNITS[corpus, metric])
        for name in LABELS
        for metric in METRICS[corpus]
        if name != "bm25" or metric == "mrr"  # BM25 is no measure of similarity
    ]


def ablation(corpus: str, seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Train once for each variant on the same store, and score all of them together."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    data = {"arxiv": arxiv, "chinese": chinese, "irc": irc}[corpus](configuration["texts"])
    began = time.monotonic()
    tokenizer = train_tokenizer(data.texts, TokensConfig())
    store = build_store(data.texts, tokenizer, folder / "store")
    built = time.monotonic()
    configs = {name: ViewsConfig(**VARIANTS[name]) for name in configuration["variants"]}
    related: Mapping[str, Sequence[str]] = {}
    if any(config.resolved().uses("word_replacement") for config in configs.values()):
        spelling = Spelling(tokenizer)
        related = learn_related_words(store, spelling, min_words=configuration["min_words"])
    learned = time.monotonic()
    asked = [text for task in data.tasks.values() for text in texts_of(task)]
    models = {"untrained": Kept(_new_encoder(store, seed), asked)}
    details = {"texts": float(len(store)), "tokens": float(store.num_tokens), "related words": len(related)}
    for name, config in configs.items():
        encoder = _new_encoder(store, seed)
        views = Views(store, config, related=related)
        training = TrainingConfig(batch_size=configuration["batch_size"], seed=seed)
        result = train_encoder(
            encoder,
            views,
            len(store),
            NTXentLoss(),
            training.resolved(pretrained=False),
            Budget(steps=configuration["steps"]),
            folder / "run",
        )
        shutil.rmtree(folder / "run")
        models[name] = Kept(encoder, asked)
        details[f"{name}, seconds of training"] = result.seconds
    trained = time.monotonic()
    scores = score(data.tasks, models)
    details |= {
        "seconds of tokenizer and store": built - began,
        "seconds of related words": learned - built,
        "seconds of training": trained - learned,
        "seconds of scoring": time.monotonic() - trained,
    }
    return {f"ablation-{corpus}-{name}-{metric}": value for (name, metric), value in scores.items()} | details


def score(tasks: Mapping[str, Task], models: Mapping[str, "Kept"]) -> dict[tuple[str, str], float]:
    """The primary score of each model and of the best floors of two kinds, by (name, metric)."""
    (first, model), *others = models.items()
    report = evaluate(model, list(tasks.values()), label=first, baselines=others)
    found: dict[tuple[str, str], float] = {}
    for metric, result in zip(tasks, report.results, strict=True):
        found[first, metric] = result.score(result.primary).value
        for row in result.comparisons:
            value = row.score(result.primary).value
            if row.role == "baseline":
                found[row.label, metric] = value
            for floor, part in (("bm25", "BM25"), ("tfidf", "TF-IDF")):
                if row.role == "floor" and part in row.label:
                    found[floor, metric] = max(value, found.get((floor, metric), -100.0))
    return found


class Kept:
    """The vectors of some texts, kept so that the model itself need not be."""

    def __init__(self, encoder: StaticEncoder, texts: Iterable[str]) -> None:
        unique = list(dict.fromkeys(texts))
        self._places = {text: place for place, text in enumerate(unique)}
        self._vectors = EmbeddingModel(encoder).encode(unique)

    def encode(self, texts: list[str], /) -> npt.NDArray[np.float32]:
        """The vectors of these texts."""
        return self._vectors[[self._places[text] for text in texts]]


def arxiv(number: int) -> Corpus:
    """Abstracts up to 2018, without their titles; papers of 2019 to find."""
    train, stream = ARXIV
    papers = smallest(read_rows(stream), "_id", 2_000)
    task = retrieval("papers of 2019", [(row["title"], row["text"]) for row in papers])
    texts = [row["text"] for row in smallest(read_rows(train), "_id", number)]
    return Corpus(documents(texts), {"mrr": task, "sts": sts(STSB)})


def chinese(number: int) -> Corpus:
    """Documentation, and as many passages of statutes as of classical books in modern Chinese."""
    parts: list[list[Document]] = [_cut(name) for name in CHINESE]
    documentation = [*parts[0], *parts[1]]
    each = max(0, number + 2_000 - len(documentation)) // 2
    pool = documentation + [part for several in parts[2:] for part in several[:each]]
    pool = sorted(pool, key=lambda part: hashed(part.id.split("#")[0]))  # a document stays on one side
    aside, texts = pool[:2_000], pool[2_000:][:number]
    pairs = [(text[: len(text) // 5], text[len(text) // 5 :]) for text in (part.text for part in aside)]
    tasks: dict[str, Task] = {"mrr": retrieval("texts kept aside", pairs)}
    return Corpus(texts, tasks | {"sts": sts(STSB_ZH, "odd"), "lcqmc": sts(LCQMC, "odd")})


def irc(number: int) -> Corpus:
    """Messages of at least 5 words; the half of the reply links that is for choosing."""
    messages, links = IRC
    rows = list(read_rows(messages))
    said = {(row["log"], str(row["line"])): row["text"] for row in rows}
    pairs: dict[tuple[str, str], tuple[str, str]] = {}
    taken: set[tuple[str, str]] = set()
    for link in sorted(list(read_lines(links))[1:], key=hashed):
        log, message, reply = link.split("\t")  # the column reply_to holds the later line
        ends = (log, message), (log, reply)
        fits = message != reply and hashed(link) % 2 == 0 and not taken & set(ends)
        if fits and all(said.get(end, "").strip() for end in ends):
            pairs[ends[0]] = said[ends[0]], said[ends[1]]
            taken |= set(ends)
        if len(pairs) == 1_000:
            break
    kept = [
        {"id": f"{row['log']} {row['line']}", "text": row["text"]}
        for row in rows
        if len(row["text"].split()) >= 5 and (row["log"], str(row["line"])) not in taken
    ]
    texts = [row["text"] for row in smallest(kept, "id", number)]
    tasks: dict[str, Task] = {"mrr": retrieval("reply links", list(pairs.values())), "sts": sts(STSB)}
    return Corpus(documents(texts), tasks)


def texts_of(task: Task) -> tuple[str, ...]:
    """All texts of a task."""
    return task.left + task.right if isinstance(task, STSTask) else task.queries + task.documents


def _cut(name: str) -> list[Document]:
    """Clean passages of a corpus as the pipeline makes them, in the order of their hashes."""
    found: list[Document] = []
    for row in read_rows(name):
        document, _ = clean_document(
            Document(id=f"{name} {row['_id']}".replace("#", "%23"), text=row["text"])
        )
        found += [part for part in cut_document(document, CorpusConfig()) if isinstance(part, Document)]
    return sorted(found, key=lambda part: hashed(part.id))


def _new_encoder(store: TokenStore, seed: int) -> StaticEncoder:
    """As the pipeline starts one: random directions, lengths by inverse document frequency."""
    idf = np.log((1 + len(store)) / (1 + store.document_counts)) / np.log(1 + len(store))
    return StaticEncoder(store.tokenizer, token_weights=idf.astype(np.float32), seed=seed)
