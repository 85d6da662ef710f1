"""A tokenizer from nothing: trained on the user's own text, deterministic.

Text is normalised (NFKC, lower case, and simplified characters where it is Chinese), then cut at
white space and punctuation, and no piece marks whether it began a word: a static encoder adds token
vectors up, so "word" after a space, after a bracket and inside "keyword" should be one entry, and
Chinese has no spaces to mark.

The trainers of the library draw on hash tables that are seeded anew in every process: its Unigram
trainer gave other scores each time, its WordPiece trainer other pieces. Only its byte-pair merges
over an alphabet that is fixed beforehand are the same each time, so both kinds begin with these.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import chain, repeat
from typing import Final

import numpy as np
import xxhash
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from llmagentos.corpus import Document
from llmagentos.errors import ConfigError, InputError
from llmagentos.tokens._characters import CLASS, UNSPACED, character_table, code_points
from llmagentos.tokens._config import TokensConfig
from llmagentos.tokens._simplified import is_chinese, simplifying

_UNKNOWN: Final = "[UNK]"
_SAMPLE_BYTES: Final = 40_000_000
# Where words are not separated by spaces what is counted as a word is a whole clause, nearly every
# one different: 9 MB of Chinese took as long as 40 MB of English (30 s on one busy core). Held-out
# text had 1.68 characters a token after 2 MB, 1.73 after 9 MB, 1.75 after 36 MB.
_UNSPACED_SAMPLE_BYTES: Final = 8_000_000
_VOCABULARY_SIZE: Final = 30_000
# Where a character is half a word, long entries hide what two words share: after 400 steps on the
# Chinese corpora 8,000 entries gave STS-B zh 70.3 and LCQMC 42.4, 30,000 gave 69.4 and 41.9 (odd rows of
# both dev sets, one seed). At least half as many entries again as there are characters are taken.
_UNSPACED_VOCABULARY_SIZE: Final = 8_000
_WORDS_AT_ONCE: Final = 65_536  # bounds the memory of the library's results
_LONGEST_PIECE: Final = 16
_FEW_WORDS: Final = 10_000
# A word seen less often is better off with what its pieces learned elsewhere.
_FEWEST_OF_A_WORD: Final = 20
_SPARE_PIECES: Final = 2  # times the vocabulary, from which the most used are taken
# WordPiece calls a longer word unknown as a whole, and a Chinese clause is such a word.
_LONGEST_WORD: Final = 400


def train_tokenizer(documents: Iterable[Document], config: TokensConfig) -> Tokenizer:
    """Train a tokenizer on a sample of the documents.

    The sample is those texts with the smallest hashes that fill 40 MB (8 MB in scripts without
    spaces between words), so it does not depend on the order of the input. The same texts give the
    same tokenizer in every process, with any number of threads.

    Args:
        documents: training documents, never held-out ones; read once, only the sample is kept.
        config: kind and size.

    Returns:
        A tokenizer without special tokens, truncation or padding; [UNK] is entry 0.

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
    sample = sampled_texts(documents)
    cutter = word_cutter(chinese=is_chinese(sample))
    tokenizer = tokenizer_of(counted_words(sample, cutter), config)
    tokenizer.normalizer = cutter.normalizer
    return tokenizer


def tokenizer_of(words: Counter[str], config: TokensConfig) -> Tokenizer:
    """The tokenizer that is trained on words, each with its number of occurrences, for words that are
    normalised already; see `train_tokenizer`.
    """
    if not words:
        raise InputError("there is no training text to make a tokenizer from; give more text")
    train = _train_unigram if config.kind == "unigram" else _train_wordpiece
    return train(words, _vocabulary_size(words, config))


def _vocabulary_size(words: Counter[str], config: TokensConfig) -> int:
    alphabet: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            alphabet[character] += count
    fewest = len(alphabet) + 2  # every character, the unknown token, and one to spare
    as_well = ""
    if config.kind == "wordpiece":  # has another entry for a character inside a word
        num_inside = len({character for word in words for character in word[1:]})
        fewest += num_inside
        as_well = f" and {num_inside} of them also inside words"
    if config.vocabulary_size is not None:
        if config.vocabulary_size < fewest:
            raise ConfigError(
                f"vocabulary_size must be at least {fewest}, as the text has {len(alphabet)} different "
                f"characters{as_well}, got {config.vocabulary_size}; leave it out to have it chosen "
                "(tokens.vocabulary_size)"
            )
        return config.vocabulary_size
    characters = code_points("".join(alphabet))
    counts = np.fromiter(alphabet.values(), np.int64, len(alphabet))
    unspaced = counts[character_table()[characters] & CLASS == UNSPACED].sum() / counts.sum()
    return max(_UNSPACED_VOCABULARY_SIZE if unspaced > 0.5 else _VOCABULARY_SIZE, fewest * 3 // 2)


def word_cutter(*, chinese: bool = False) -> Tokenizer:
    """What normalises and cuts text into words, as the tokenizers that are trained here do.

    Args:
        chinese: read traditional characters as simplified ones.
    """
    steps: list[normalizers.Normalizer] = [normalizers.NFKC(), normalizers.Lowercase()]
    cutter = _tokenizer(models.BPE())
    cutter.normalizer = normalizers.Sequence([*steps, simplifying()] if chinese else steps)
    return cutter


def _tokenizer(model: models.Model) -> Tokenizer:
    """A tokenizer for words that are normalised already."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # at white space and punctuation
    return tokenizer


def _train_unigram(words: Counter[str], size: int) -> Tokenizer:
    """Pieces that different words share, scored by how often the best cut of each word uses them.

    Merges count each word once, however frequent: a piece is what at least two words have in common,
    so "learn" and "ing" win over "learning". Counted by occurrence nearly every word becomes a piece
    of its own, which is better only where words are few. The library's Unigram trainer also begins
    with what two words share, but leaves a third of the tokens single characters. MRR@10 title to
    abstract among 1,000 held-out arXiv papers / STS-B dev / STS-B test, 256 dimensions, one seed:

        training text       100 kB                1 MB                  30 MB
        each word once      78.8 / 73.0 / 63.2    85.5 / 74.5 / 63.9    89.6 / 76.8 / 64.7
        each occurrence     81.4 / 75.1 / 64.8    85.5 / 75.0 / 63.6    88.1 / 77.3 / 62.5
        library's trainer   81.0 / 73.1 / 63.1    86.0 / 73.3 / 61.5    89.6 / 74.1 / 61.8
        WordPiece           76.1 / 74.7 / 61.3    80.9 / 75.7 / 63.6

    On 24 MB of Chinese (8,000 entries) STS-B zh dev and LCQMC dev were 71.8 and 41.7, with the
    library's trainer 70.4 and 41.2.
    """
    merges = _tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=_SPARE_PIECES * size,
        min_frequency=2,
        max_token_length=_LONGEST_PIECE,
        show_progress=False,
    )
    merges.train_from_iterator(_repeated(words) if len(words) < _FEW_WORDS else sorted(words), trainer)
    used = _scored(_piece_counts(merges, words))
    pieces = _most_used(_piece_counts(used, words), size - 1)
    pieces |= _whole_words(words, pieces, size - 1 - len(pieces))
    return _scored(_piece_counts(_scored(pieces), words))


def _scored(counts: dict[str, float]) -> Tokenizer:
    """A Unigram tokenizer with log probabilities as scores, most frequent pieces first.

    Characters stay although no cut uses them, so that no word is unknown.
    """
    kept = {piece: max(count, 0.5) for piece, count in counts.items() if count > 0 or len(piece) == 1}
    total = sum(kept.values())
    ranked = sorted(kept, key=lambda piece: (-kept[piece], piece))
    vocabulary = [(_UNKNOWN, 0.0), *((piece, math.log(kept[piece] / total)) for piece in ranked)]
    return _tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=False))


def _most_used(counts: dict[str, float], number: int) -> dict[str, float]:
    """All characters, then the pieces that are used most, as many as there is room for."""
    ranked = sorted(counts, key=lambda piece: (len(piece) > 1, -counts[piece], piece))
    return {piece: counts[piece] for piece in ranked[:number]}


def _whole_words(words: Counter[str], pieces: Mapping[str, float], number: int) -> dict[str, float]:
    """The most frequent words that are no piece yet, at most so many; none in scripts without spaces."""
    frequent = (
        word
        for word, count in words.items()
        if count >= _FEWEST_OF_A_WORD and 1 < len(word) <= _LONGEST_PIECE and word not in pieces
    )
    spaced = [
        word for word in frequent if not (character_table()[code_points(word)] & CLASS == UNSPACED).any()
    ]
    ranked = sorted(spaced, key=lambda word: (-words[word], word))
    return {word: float(words[word]) for word in ranked[:number]}


def _piece_counts(tokenizer: Tokenizer, words: Counter[str]) -> dict[str, float]:
    """How often each entry but [UNK] occurs in the text that the words were counted in."""
    vocabulary = tokenizer.get_vocab()
    counts = np.zeros(len(vocabulary))
    items = list(words.items())
    for start in range(0, len(items), _WORDS_AT_ONCE):
        some = items[start : start + _WORDS_AT_ONCE]
        encodings = tokenizer.encode_batch_fast([word for word, _ in some], add_special_tokens=False)
        lengths = [len(encoding) for encoding in encodings]
        ids = np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int64, sum(lengths))
        # Whole numbers below 2^53: the sum is exact in any order.
        weights = np.repeat(np.array([count for _, count in some], np.float64), lengths)
        counts += np.bincount(ids, weights=weights, minlength=len(counts))
    return {piece: float(counts[i]) for piece, i in vocabulary.items() if piece != _UNKNOWN}


def _train_wordpiece(words: Counter[str], size: int) -> Tokenizer:
    # The trainer numbers the characters inside words as it meets them, and breaks ties by number;
    # named as special tokens they have their numbers before. They are none in the result.
    inside = sorted({"##" + character for word in words for character in word[1:]})
    tokenizer = _tokenizer(models.WordPiece(unk_token=_UNKNOWN))
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=[_UNKNOWN, *inside], show_progress=False
    )
    tokenizer.train_from_iterator(_repeated(words), trainer)
    vocabulary: dict[str, int] = json.loads(tokenizer.to_str())["model"]["vocab"]
    return _tokenizer(
        models.WordPiece(vocabulary, unk_token=_UNKNOWN, max_input_chars_per_word=_LONGEST_WORD)
    )


def _repeated(words: Counter[str]) -> Iterator[str]:
    """Each word as often as it occurs."""
    for word, count in sorted(words.items()):
        yield " ".join(repeat(word, count))


def counted_words(texts: Iterable[str], tokenizer: Tokenizer) -> Counter[str]:
    """The words that a tokenizer cuts the texts into before it looks for pieces, and how many of each.

    Args:
        texts: to count in.
        tokenizer: with a pre-tokenizer.
    """
    words: Counter[str] = Counter()
    # At spaces and line ends alone: `str.split()` also cuts at characters that the tokenizer keeps.
    chunks = Counter(chain.from_iterable(text.replace("\n", " ").split(" ") for text in texts))
    for chunk, count in chunks.items():
        normalised = chunk if tokenizer.normalizer is None else tokenizer.normalizer.normalize_str(chunk)
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalised):
            words[word] += count
    return words


def sampled_texts(documents: Iterable[Document]) -> list[str]:
    """The texts with the smallest hashes, in the order of their hashes, as many as fit the budget."""
    heap: list[tuple[int, str, int]] = []  # smallest negative hash first: the largest hash leaves first
    size = 0
    for document in documents:
        rank = -xxhash.xxh3_64_intdigest(document.text.encode())
        if size >= _SAMPLE_BYTES and rank <= heap[0][0]:
            continue
        cost = _cost_bytes(document.text)
        heappush(heap, (rank, document.text, cost))
        size += cost
        while size - heap[0][2] >= _SAMPLE_BYTES:
            size -= heappop(heap)[2]
    return [text for _, text, _ in sorted(heap, reverse=True)]


def _cost_bytes(text: str) -> int:
    """Bytes of a text, those of scripts without spaces counted more: their budget is smaller."""
    num_bytes = len(text.encode())
    if num_bytes == len(text):
        return num_bytes
    unspaced = float((character_table()[code_points(text)] & CLASS == UNSPACED).mean())
    return round(num_bytes * (1 + unspaced * (_SAMPLE_BYTES / _UNSPACED_SAMPLE_BYTES - 1)))
