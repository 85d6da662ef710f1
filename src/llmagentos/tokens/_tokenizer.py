"""A tokenizer from nothing: trained on the user's own text, deterministic.

Text is normalised (NFKC, lower case), then cut at white space and punctuation, and no piece marks
whether it began a word: a static encoder adds token vectors up, so "word" after a space, after a
bracket and inside "keyword" should be one entry, and Chinese has no spaces to mark.
"""

from collections import Counter
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final

import numpy as np
import xxhash
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from tokenizers.normalizers import Normalizer

from llmagentos.corpus import Document
from llmagentos.errors import ConfigError, InputError
from llmagentos.tokens._characters import CLASS, UNSPACED, character_table, code_points
from llmagentos.tokens._config import TokensConfig

_UNKNOWN: Final = "[UNK]"
_SAMPLE_BYTES: Final = 40_000_000
# Where words are not separated by spaces the pieces that Unigram training sees are whole clauses,
# and it slows down: on two busy cores 0.3 M Chinese characters took 5 s, 1 M took 30 s, 4 M over
# 8 minutes, while a token held 1.91 characters after the first and 1.94 after the second.
_UNSPACED_SAMPLE_BYTES: Final = 2_000_000
_VOCABULARY_SIZE: Final = 30_000
# Where a character is half a word, long entries hide what two words share: after 400 steps on the
# Chinese corpora 8,000 entries gave STS-B zh 70.3 and LCQMC 42.4, 30,000 gave 69.4 and 41.9 (odd rows of
# both dev sets, one seed). At least half as many entries again as there are characters are taken.
_UNSPACED_VOCABULARY_SIZE: Final = 8_000


def train_tokenizer(documents: Iterable[Document], config: TokensConfig) -> Tokenizer:
    """Train a tokenizer on a sample of the documents.

    The sample is those texts with the smallest hashes that fill 40 MB (2 MB in scripts without
    spaces between words), so it does not depend on the order of the input.

    Args:
        documents: training documents, never held-out ones; read once, only the sample is kept.
        config: kind and size.

    Returns:
        A tokenizer without special tokens, truncation or padding.

    Raises:
        InputError: there is no text to learn from.
        ConfigError: the vocabulary is too small for the characters of the text.

    Example:
        >>> texts = ["learning learns, learned", "contrastive contrast", "contrastively"]
        >>> documents = [Document(id=text, text=text) for text in texts]
        >>> tokenizer = train_tokenizer(documents, TokensConfig(vocabulary_size=300))
        >>> tokenizer.encode("Contrast!").tokens
        ['contrast', '!']
    """
    sample = _sample(documents)
    if not sample:
        raise InputError("there is no training text to make a tokenizer from; give more text")
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer, trainer = _model(config.kind, _vocabulary_size(sample, normalizer, config))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # at white space and punctuation
    tokenizer.train_from_iterator(sample, trainer, length=len(sample))
    return tokenizer


def _vocabulary_size(sample: list[str], normalizer: Normalizer, config: TokensConfig) -> int:
    alphabet: Counter[str] = Counter()
    for text in sample:
        alphabet.update(normalizer.normalize_str(text))
    fewest = len(alphabet) + 2  # every character, the unknown token, and one to spare
    if config.vocabulary_size is not None:
        if config.vocabulary_size < fewest:
            raise ConfigError(
                f"vocabulary_size must be at least {fewest}, as the text has {len(alphabet)} different "
                f"characters, got {config.vocabulary_size}; leave it out to have it chosen "
                "(tokens.vocabulary_size)"
            )
        return config.vocabulary_size
    characters = code_points("".join(alphabet))
    counts = np.fromiter(alphabet.values(), np.int64, len(alphabet))
    unspaced = counts[character_table()[characters] & CLASS == UNSPACED].sum() / counts.sum()
    return max(_UNSPACED_VOCABULARY_SIZE if unspaced > 0.5 else _VOCABULARY_SIZE, fewest * 3 // 2)


def _model(kind: str, size: int) -> tuple[Tokenizer, trainers.Trainer]:
    if kind == "unigram":
        return Tokenizer(models.Unigram()), trainers.UnigramTrainer(
            vocab_size=size, special_tokens=[_UNKNOWN], unk_token=_UNKNOWN, show_progress=False
        )
    return Tokenizer(models.WordPiece(unk_token=_UNKNOWN)), trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=[_UNKNOWN], show_progress=False
    )


def _sample(documents: Iterable[Document]) -> list[str]:
    """The texts with the smallest hashes, in the order of their hashes, as many as fit the budget."""
    heap: list[tuple[int, str]] = []  # smallest negative hash first: the largest hash leaves first
    size = 0.0
    for document in documents:
        rank = -xxhash.xxh3_64_intdigest(document.text.encode())
        if size >= 1 and rank <= heap[0][0]:
            continue
        heappush(heap, (rank, document.text))
        size += _share_of_budget(document.text)
        while size - (share := _share_of_budget(heap[0][1])) >= 1:
            heappop(heap)
            size -= share
    return [text for _, text in sorted(heap, reverse=True)]


def _share_of_budget(text: str) -> float:
    num_bytes = len(text.encode("utf-8", "surrogatepass"))
    if num_bytes == len(text):
        return num_bytes / _SAMPLE_BYTES
    unspaced = (character_table()[code_points(text)] & CLASS == UNSPACED).mean()
    return num_bytes * float(unspaced / _UNSPACED_SAMPLE_BYTES + (1 - unspaced) / _SAMPLE_BYTES)
