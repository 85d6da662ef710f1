"""Related words, learned from the corpus itself: no dictionary, any language.

Words that stand beside the same words in the same order are related. The positive pointwise mutual
information (PPMI) of each word with the words one and two places before and after it (each place a
column of its own: "directional") is reduced by a truncated SVD; a pair is related when each is among
the other's nearest and their cosine is high.

Source: Levy and Goldberg 2014, "Neural word embedding as implicit matrix factorization" (PPMI and
SVD, context counts to the power 0.75); Turney and Pantel 2010, section 4 (word-context matrices).
"""

import numpy as np
from numpy.typing import NDArray

from llmagentos.errors import InputError
from llmagentos.tokens import UNIT_START, TokenBatch, TokenSource, concatenated, ppmi, scattered
from llmagentos.views._random import Ints
from llmagentos.views._spelling import WordSpelling
from llmagentos.views._units import UnitBatch, hash_spans

# Below a million words most words have too few neighbours seen for their cosines to mean anything.
MIN_WORDS = 1_000_000
# More words than this change the table little; it bounds time (a minute) and memory (1.5 GB).
MAX_WORDS = 10_000_000
_VOCABULARY = 20_000
# Words seen less often have neighbours by accident (at 10, "thirteen" came out beside "firearm").
_MIN_COUNT = 30
_DIMENSIONS = 100
_NEAREST = 8
_MIN_COSINE = 0.5
_BLOCK = 1024


def learn_related_words(
    store: TokenSource, spelling: WordSpelling, *, min_words: int = MIN_WORDS, max_words: int = MAX_WORDS
) -> dict[str, list[str]]:
    """Learn which words of a corpus can stand for each other.

    Numbers, addresses, code and negations (the protected units) and names (words with a capital
    letter, where the tokenizer keeps case) neither have nor are related words.

    Args:
        store: the corpus as tokens.
        spelling: reads the tokens.
        min_words: >= 1, refuse a smaller corpus.
        max_words: read no more words than this, from texts spread evenly over the store.

    Returns:
        From each word to its related words, the nearest first; words without any are absent.

    Raises:
        InputError: the corpus has fewer than min_words words.
    """
    units = UnitBatch.from_tokens(_sample(store, max_words))
    if units.ids.size < min_words:
        raise InputError(
            f"related words need a corpus of at least {min_words:,} words, this one has "
            f"{units.ids.size:,}; give more text (for train and views you can also set "
            "views.word_replacement=0 or give views.dictionary)"
        )
    numbers, words, eligible = _vocabulary(units, spelling)
    vectors = _vectors(numbers, units.pool.sentences, len(words))
    return _mutual_neighbours(vectors, words, np.flatnonzero(eligible))


def _sample(store: TokenSource, max_words: int) -> TokenBatch:
    """Texts spread evenly over the store until max_words words are read."""
    batches: list[TokenBatch] = []
    read = 0
    for batch in scattered(store):
        batches.append(batch)
        read += int(np.count_nonzero(batch.flags & UNIT_START))
        if read >= max_words:
            break
    return concatenated(batches)


def _vocabulary(units: UnitBatch, spelling: WordSpelling) -> tuple[Ints, list[str], NDArray[np.bool_]]:
    """Number the frequent words.

    Returns:
        int64 (U,), the word of each unit, -1 for a rare one; the words; bool (V,), which may be related.
    """
    pool = units.pool
    names, first, inverse, counts = np.unique(
        hash_spans(pool.tokens, pool.starts, pool.lengths),
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    frequent = np.flatnonzero(counts >= _MIN_COUNT)
    frequent = frequent[np.argsort(-counts[frequent], kind="stable")[:_VOCABULARY]]
    number_of = np.full(names.size, -1, dtype=np.int64)
    numbers: dict[str, int] = {}
    eligible: list[bool] = []
    # Most words of a language stand in code somewhere.
    times_protected = np.bincount(inverse, weights=pool.protected(np.arange(pool.starts.size)))
    protected = (2 * times_protected > counts)[frequent].tolist()
    for unit_type, is_protected in zip(frequent.tolist(), protected, strict=True):
        unit = first[unit_type]
        start = pool.starts[unit]
        read = spelling.read(pool.tokens[start : start + pool.lengths[unit]].tolist())
        # The same word is one word with every marker, and behind a line end.
        word = read[1].strip() if read is not None else f"\x00{unit_type}"
        if word not in numbers:
            numbers[word] = len(numbers)
            # isalpha() is false for the vowel signs of Indic scripts, so any letter makes a word.
            is_word = any(char.isalpha() for char in word) and not any(char.isdigit() for char in word)
            whole = not any(char.isspace() or char == "|" for char in word)
            eligible.append(is_word and whole and word == word.lower() and not is_protected)
        number_of[unit_type] = numbers[word]
    return number_of[inverse], list(numbers), np.array(eligible, dtype=np.bool_)


def _vectors(numbers: Ints, sentences: Ints, size: int) -> NDArray[np.float32]:
    """Unit vectors (V, D) of the words from PPMI at -2, -1, +1 and +2, never across a sentence's end."""
    # scipy.sparse takes 0.13 s to import, and only this function needs it.
    from scipy.sparse import coo_array, hstack
    from scipy.sparse.linalg import svds

    blocks = []
    for distance in (1, 2):
        left, right = numbers[:-distance], numbers[distance:]
        inside = (left >= 0) & (right >= 0) & (sentences[:-distance] == sentences[distance:])
        ones = np.ones(int(inside.sum()))
        after = coo_array((ones, (left[inside], right[inside])), shape=(size, size)).tocsr()
        blocks += [ppmi(after), ppmi(after.T.tocsr())]
    # A fixed start vector: without it ARPACK's is random, and the table would differ between runs.
    dimensions = min(_DIMENSIONS, size - 1)
    left_vectors, values, _ = svds(hstack(blocks).tocsr(), k=dimensions, v0=np.ones(size), which="LM")
    vectors = left_vectors * np.sqrt(values)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit


def _mutual_neighbours(
    vectors: NDArray[np.float32], words: list[str], eligible: Ints
) -> dict[str, list[str]]:
    """Pairs in which each is among the other's nearest, by blocks of rows so that memory stays small."""
    if eligible.size < 2:
        return {}
    vectors = vectors[eligible]
    width = min(_NEAREST, eligible.size - 1)
    nearest = np.empty((eligible.size, width), dtype=np.int64)
    cosines = np.empty((eligible.size, width), dtype=np.float32)
    for first in range(0, eligible.size, _BLOCK):
        rows = np.arange(first, min(first + _BLOCK, eligible.size))
        products = vectors[rows] @ vectors.T
        products[rows - first, rows] = -1.0
        best = np.argpartition(-products, width - 1, axis=1)[:, :width]
        values = np.take_along_axis(products, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        nearest[rows] = np.take_along_axis(best, order, axis=1)
        cosines[rows] = np.take_along_axis(values, order, axis=1)
    close = [
        {int(other) for other, cosine in zip(others, values, strict=True) if cosine >= _MIN_COSINE}
        for others, values in zip(nearest, cosines, strict=True)
    ]
    related: dict[str, list[str]] = {}
    for row, others in enumerate(nearest.tolist()):
        mutual = [words[eligible[other]] for other in others if other in close[row] and row in close[other]]
        if mutual:
            related[words[eligible[row]]] = mutual
    return related
