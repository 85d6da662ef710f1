"""Texts to a `TokenBatch`: token ids, units, sentences and protection in one vectorised pass."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
from jaxtyping import Bool
from tokenizers import Tokenizer

from llmagentos.tokens._batch import PROTECTED, SENTENCE_START, UNIT_START, TokenBatch
from llmagentos.tokens._characters import DIGIT, NEGATION, character_table, code_points
from llmagentos.tokens._protection import NEGATIONS, protected_spans
from llmagentos.tokens._sentences import sentence_starts
from llmagentos.tokens._units import mark_units


def encode_texts(texts: Sequence[str], tokenizer: Tokenizer) -> TokenBatch:
    """Tokenise texts and mark their units, sentences and protected words.

    Args:
        texts: N texts, of any length; an empty text becomes an empty row.
        tokenizer: any tokenizer that reports offsets; special tokens are not added, and nothing is
            truncated (so switch truncation and padding off in it).

    Returns:
        The N texts as a `TokenBatch`; its tokens are exactly the tokenizer's own output.

    Example:
        >>> from tokenizers.models import WordLevel
        >>> from tokenizers.pre_tokenizers import BertPreTokenizer
        >>> words = {"[UNK]": 0, "it": 1, "works": 2, ".": 3, "It": 4}
        >>> tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
        >>> tokenizer.pre_tokenizer = BertPreTokenizer()
        >>> batch = encode_texts(["it works. It works", ""], tokenizer)
        >>> batch.tokens.tolist(), batch.offsets.tolist(), batch.flags.tolist()
        ([1, 2, 3, 4, 2], [0, 5, 5], [3, 1, 1, 3, 1])
    """
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    offsets = np.concatenate([[0], np.cumsum([len(encoding) for encoding in encodings], dtype=np.int64)])
    tokens = np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int32, offsets[-1])
    pairs = chain.from_iterable(chain.from_iterable(e.offsets for e in encodings))
    spans = np.fromiter(pairs, np.int64, 2 * offsets[-1]).reshape(-1, 2)

    characters = [code_points(text) for text in texts]
    text_starts = np.concatenate([[0], np.cumsum([len(c) for c in characters], dtype=np.int64)])
    classes = character_table()[np.concatenate([*characters, np.zeros(0, np.uint32)])]
    rows = np.repeat(np.arange(len(texts)), np.diff(offsets))
    starts, ends = (spans + text_starts[rows, None]).T

    first = np.zeros(len(tokens), bool)
    first[offsets[:-1][np.diff(offsets) > 0]] = True
    units = mark_units(classes, starts, ends, first)

    # A sentence begins at the first unit that starts at or after the boundary.
    boundaries = [
        base + start
        for text, base in zip(texts, text_starts, strict=False)
        for start in sentence_starts(text)
    ]
    sentence_of = np.searchsorted(np.array(boundaries, np.int64), np.maximum(ends - 1, starts), side="right")
    unit_of = np.cumsum(units) - 1
    unit_heads = np.flatnonzero(units)
    unit_sentence = sentence_of[unit_heads]
    begins = np.concatenate([[True], unit_sentence[1:] != unit_sentence[:-1]])[: len(unit_heads)]
    begins |= first[unit_heads]

    marked = classes & (DIGIT | NEGATION) > 0
    for text, base in zip(texts, text_starts, strict=False):
        for start, end in protected_spans(text):
            marked[base + start : base + end] = True
    count = np.concatenate([[0], np.cumsum(marked)])
    token_protected = (count[ends] > count[starts]) | _negation_tokens(tokenizer)[tokens]
    unit_protected = np.zeros(len(unit_heads), bool)
    unit_protected[unit_of[token_protected]] = True

    flags = units * np.uint8(UNIT_START) | unit_protected[unit_of] * np.uint8(PROTECTED)
    flags[unit_heads[begins]] |= SENTENCE_START
    return TokenBatch(tokens=tokens, offsets=offsets, flags=flags.astype(np.uint8))


@lru_cache(maxsize=4)
def _negation_tokens(tokenizer: Tokenizer) -> Bool[np.ndarray, " V"]:
    """Which entries of the vocabulary are English negations, bool (V,)."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    table = np.zeros(max(vocabulary.values(), default=-1) + 1, bool)
    # "▁", "Ġ" and "##" are the marks by which tokenizers tell word starts from continuations.
    table[[i for word, i in vocabulary.items() if word.lstrip("▁Ġ").lower() in NEGATIONS]] = True
    return table
