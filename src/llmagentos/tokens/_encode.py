"""Texts to a `TokenBatch`: token ids, units, sentences and protection in one vectorised pass.

All texts of a call are one array of characters, so that few rules need a loop over texts. Units,
sentences and protection add a quarter to the time of the tokenizer itself.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from jaxtyping import Bool, Int64
from tokenizers import Tokenizer

from llmagentos.tokens._batch import PROTECTED, SENTENCE_START, UNIT_START, TokenBatch
from llmagentos.tokens._characters import character_table, code_points
from llmagentos.tokens._protection import protected_characters
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
    lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int32, offsets[-1])
    pairs = chain.from_iterable(chain.from_iterable(e.offsets for e in encodings))
    spans = np.fromiter(pairs, np.int64, 2 * offsets[-1]).reshape(-1, 2)

    # A line end between texts keeps words from running over, and lets every span end before the end.
    characters = code_points("\n".join((*texts, "")))
    text_starts = np.concatenate([[0], np.cumsum([len(text) + 1 for text in texts], dtype=np.int64)])
    spans += np.repeat(text_starts[:-1], lengths)[:, None]
    starts, ends = np.ascontiguousarray(spans.T)
    first = np.zeros(len(tokens), bool)
    first[offsets[:-1][lengths > 0]] = True

    classes = character_table()[characters]
    units = mark_units(classes, starts, ends, first)
    heads = np.flatnonzero(units)
    num_tokens = np.diff(heads, append=len(tokens))

    flags = units.astype(np.uint8) * UNIT_START
    if len(tokens):
        sentences = _sentence_heads(texts, text_starts, np.maximum.reduceat(ends, heads), first[heads])
        flags[heads[sentences]] |= SENTENCE_START
        marked = protected_characters(texts, text_starts, characters, classes)
        count = np.concatenate([[0], np.cumsum(marked, dtype=np.int32)])
        protected = np.logical_or.reduceat(count[ends] > count[starts], heads)
        flags |= np.repeat(protected, num_tokens).astype(np.uint8) * PROTECTED
    return TokenBatch(tokens=tokens, offsets=offsets, flags=flags)


def _sentence_heads(
    texts: Sequence[str],
    text_starts: Int64[np.ndarray, " N+1"],
    unit_ends: Int64[np.ndarray, " U"],
    first: Bool[np.ndarray, " U"],
) -> Bool[np.ndarray, " U"]:
    """Which units begin a sentence, bool (U,).

    A unit is of the sentence of its last character: its first may be the space before the word,
    which still belongs to the sentence before.
    """
    boundaries = [
        base + start
        for text, base in zip(texts, text_starts[:-1].tolist(), strict=True)
        for start in sentence_starts(text)
    ]
    sentence = np.searchsorted(np.array(boundaries, np.int64), unit_ends - 1, side="right")
    begins: Bool[np.ndarray, " U"] = first | (np.diff(sentence, prepend=-1) != 0)
    return begins
