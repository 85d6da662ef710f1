"""Texts as tokens in memory, made by the tokens stage, for the tests of this folder."""

import io
import json
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from llmagentos.tokens import PROTECTED, SENTENCE_START, UNIT_START, TokenBatch, encode_texts
from llmagentos.views._random import text_keys
from llmagentos.views._units import UnitBatch

SHARED = Path(__file__).parents[3] / "shared" / "data"

ENGLISH = [
    "The quick brown fox does not jump over 3 lazy dogs. It sleeps under the old tree! Nobody sees it?",
    "Neural networks learn useful features from large collections of unlabelled text. Simple methods often "
    "work well. We compare 12 methods on http://example.org/data and never tune them by hand.",
    "One short sentence",
    "Word",
]
CHINESE = [
    "对比学习不需要标签。模型从大量文本中学习有用的表示！我们没有调整3个参数。",
    "北京是中国的首都。上海是最大的城市，人口超过两千万。",
]


class MemoryStore:
    """Stands for a `TokenStore`, without a folder."""

    def __init__(self, texts: Sequence[str], tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.num_documents = len(texts)
        self.hashes = np.arange(len(texts), dtype=np.uint64) + np.uint64(100)
        self.groups = np.zeros(len(texts), dtype=np.uint64)
        self._rows = [encode_texts([text], tokenizer) for text in texts]

    def batch(self, indices: np.ndarray, *, limit: int | None = None) -> TokenBatch:
        rows = [self._rows[index] for index in indices]
        tokens = [row.tokens[:limit] for row in rows]
        return TokenBatch(
            tokens=np.concatenate([np.empty(0, np.int32), *tokens]),
            offsets=np.cumsum([0, *map(len, tokens)]),
            flags=np.concatenate([np.empty(0, np.uint8), *(row.flags[:limit] for row in rows)]),
        )


def train(kind: str, texts: Sequence[str], size: int = 400) -> Tokenizer:
    """A small tokenizer: wordpiece, unigram, metaspace (Unigram that marks spaces) or bytes (BPE)."""
    unknown = "[UNK]"
    tokenizer = Tokenizer(models.Unigram())
    trainer: trainers.Trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=[unknown], unk_token=unknown, show_progress=False
    )
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
        trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=[unknown], show_progress=False)
    elif kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    if kind in ("wordpiece", "unigram"):
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        spaced = kind == "metaspace"
        tokenizer.pre_tokenizer = (
            pre_tokenizers.Metaspace() if spaced else pre_tokenizers.ByteLevel(add_prefix_space=False)
        )
        tokenizer.decoder = decoders.Metaspace() if spaced else decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@pytest.fixture(scope="session")
def english() -> MemoryStore:
    """Four English texts; the last one is a single word."""
    return MemoryStore(ENGLISH, train("wordpiece", ENGLISH * 3))


@pytest.fixture(scope="session")
def chinese() -> MemoryStore:
    """Two Chinese texts."""
    return MemoryStore(CHINESE, train("unigram", CHINESE * 3, 120))


@pytest.fixture(scope="session")
def real_texts() -> Callable[[str, int], list[str]]:
    """Reads the first texts of a file of the shared data; skips where it is missing."""

    def read(name: str, count: int) -> list[str]:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"shared data not on this machine: {name}")
        with path.open("rb") as file:
            lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")
            return [json.loads(line)["text"] for line in islice(lines, count)]

    return read


def ragged(documents: list[list[list[tuple[int, bool]]]]) -> TokenBatch:
    """A batch from documents of sentences of (number of tokens, protected) units; every token differs."""
    flags: list[int] = []
    offsets = [0]
    for document in documents:
        for sentence in document:
            for place, (length, protected) in enumerate(sentence):
                mark = PROTECTED if protected else 0
                flags.append(UNIT_START | mark | (0 if place else SENTENCE_START))
                flags += [mark] * (length - 1)
        offsets.append(len(flags))
    return TokenBatch(
        tokens=np.arange(len(flags), dtype=np.int32),
        offsets=np.array(offsets, dtype=np.int64),
        flags=np.array(flags, dtype=np.uint8),
    )


# Enough to find what there is, quickly; no deadline, for machines that are busy.
quick = settings(max_examples=40, deadline=None)

_unit = st.tuples(st.integers(1, 4), st.booleans())
_sentence = st.lists(_unit, min_size=1, max_size=8)
batches = st.lists(st.lists(_sentence, max_size=5), min_size=1, max_size=6).map(ragged)
rates = st.sampled_from([0.05, 0.3, 0.7, 1.0])
seeds = st.integers(-(2**70), 2**70)


def words(count: int, texts: int, protected: bool = False) -> UnitBatch:
    """Texts of `count` units of one token in one sentence."""
    return UnitBatch.from_tokens(ragged([[[(1, protected)] * count]] * texts))


def keys(number: int, seed: int = 7) -> np.ndarray:
    """One key a text."""
    return text_keys(seed, 0, np.arange(number))


def rows(batch: TokenBatch) -> list[list[int]]:
    """The tokens of each text."""
    return [batch.tokens[a:b].tolist() for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]


def unit_rows(units: UnitBatch) -> list[list[int]]:
    """The ids of each text."""
    return [units.ids[a:b].tolist() for a, b in zip(units.offsets[:-1], units.offsets[1:], strict=True)]


def same(left: TokenBatch, right: TokenBatch) -> bool:
    """Whether two batches are equal in every array."""
    return all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in ("tokens", "offsets", "flags")
    )
