"""Stage 2, tokens: a corpus becomes memory-mapped tokens, cut once into units and sentences.

Text is tokenised once; every later view is index arithmetic over these arrays (design 2.1).
Takes a `Corpus` (or any texts) and a tokenizer, gives a `TokenStore`.
"""

from llmagentos.tokens._batch import (
    PROTECTED,
    SENTENCE_START,
    UNIT_START,
    TokenBatch,
    concatenated,
    ragged_index,
)
from llmagentos.tokens._characters import PUNCTUATION, SPACE, UNSPACED, WORD, character_classes
from llmagentos.tokens._config import TokensConfig
from llmagentos.tokens._cooccurrence import TokenSource, cooccurrence_vectors, ppmi, scattered
from llmagentos.tokens._encode import encode_texts
from llmagentos.tokens._extension import check_extendable, extend_tokenizer
from llmagentos.tokens._pairs import PairStore, build_pairs
from llmagentos.tokens._store import StoreProgress, TokenStore, build_store
from llmagentos.tokens._tokenizer import train_tokenizer
from llmagentos.tokens._units import mark_units
from llmagentos.tokens._words import WordBatch, split_words

__all__ = [
    "PROTECTED",
    "PUNCTUATION",
    "SENTENCE_START",
    "SPACE",
    "UNIT_START",
    "UNSPACED",
    "WORD",
    "PairStore",
    "StoreProgress",
    "TokenBatch",
    "TokenSource",
    "TokenStore",
    "TokensConfig",
    "WordBatch",
    "build_pairs",
    "build_store",
    "character_classes",
    "check_extendable",
    "concatenated",
    "cooccurrence_vectors",
    "encode_texts",
    "extend_tokenizer",
    "mark_units",
    "ppmi",
    "ragged_index",
    "scattered",
    "split_words",
    "train_tokenizer",
]
