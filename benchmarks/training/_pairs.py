"""Pre-made pairs of real texts: both sides train on the same strings."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._texts import hashed, read_rows
from llmagentos.tokens import TokenStore
from llmagentos.views import Recipe, ViewBatch, Views, ViewsConfig

ARXIV = "corpus/arxiv/train-cs.jsonl.zst"
IRC = "corpus/ubuntu_irc/train.jsonl.zst"
Pair = tuple[str, str]


def make_pairs(kind: str, number: int, seed: int) -> list[Pair]:
    """Two views of each of `number` texts, in an order of the seed's.

    Args:
        kind: `abstracts`, or `skewed`: an abstract and a chat message of five words or more by turns.
        number: of pairs, even.
        seed: of the choice, the order and the views.

    Returns:
        Pairs of strings. The views lack 30% of their words and have 10% of the rest swapped, so that the
        longest abstracts still fill 128 tokens and the two are not the same.
    """
    abstracts = [row["text"] for row in read_rows(ARXIV)]
    texts = chosen(abstracts, number if kind == "abstracts" else number // 2, seed)
    if kind == "skewed":
        messages = [row["text"] for row in read_rows(IRC) if len(row["text"].split()) >= 5]
        texts += chosen(messages, number // 2, seed)
    recipe = ViewsConfig(preset="dropout", word_deletion=0.3, word_swap=0.1)
    pairs = Views(texts, recipe).strings(seed=seed)
    order = np.random.default_rng(seed).permutation(len(pairs))
    return [pairs[place] for place in order]


def chosen(texts: list[str], number: int, seed: int) -> list[str]:
    """Different texts, those with the smallest hashes of the seed's."""
    return sorted(set(texts), key=lambda text: hashed(f"{seed} {text}"))[:number]


def write_pairs(pairs: list[Pair], path: Path) -> None:
    """As JSON, for the processes of both sides."""
    path.write_text(json.dumps(pairs), encoding="utf-8")


def read_pairs(path: Path) -> list[Pair]:
    """What `write_pairs` wrote."""
    return [(a, b) for a, b in json.loads(path.read_text(encoding="utf-8"))]


@dataclass(frozen=True)
class PairViews:
    """The pairs of a token store whose rows are first view, second view, and so on; stands for `Views`."""

    store: TokenStore
    recipe: Recipe

    def views(self, indices: npt.NDArray[np.int64], *, seed: int, epoch: int, max_tokens: int) -> ViewBatch:
        """The pairs of some rows, cut to `max_tokens`."""
        hashes = self.store.hashes[2 * indices]
        return ViewBatch(
            a=self.store.batch(2 * indices, limit=max_tokens),
            b=self.store.batch(2 * indices + 1, limit=max_tokens),
            hashes=hashes,
            groups=np.zeros_like(hashes),
        )


def untouched() -> Recipe:
    """The recipe of pairs that are made already: nothing is done to them, and dropout is on."""
    return ViewsConfig(preset="dropout").resolved()


def settings(arguments: list[str]) -> dict[str, Any]:
    """What a side is told on its command line: one JSON object."""
    told: dict[str, Any] = json.loads(arguments[1])
    return told
