"""Word replacement: a table from the tokens of a word to the tokens of its related words.

The words come from a dictionary file or from the corpus itself (`_related.py`); both are the same
mapping from a word to its related words, best first. It is compiled for one tokenizer, once for each
marker of a position (with and without a space, say), so a word replaced in the middle of a text keeps its
space and words of several pieces replace each other whole.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np

from llmagentos.corpus import write_whole
from llmagentos.errors import InputError
from llmagentos.tokens import ragged_index
from llmagentos.views._names import Names
from llmagentos.views._operations import UNBOUNDED, Bounds, drawn
from llmagentos.views._random import Ints, UInts, chance, integers, mix, ragged_random
from llmagentos.views._spelling import WordSpelling
from llmagentos.views._traits import BLANK, SPACED, WORD
from llmagentos.views._units import UnitBatch, UnitPool, hash_spans

RelatedWords = Mapping[str, Sequence[str]]


class Replacement:
    """Replaces words by related ones.

    Args:
        related: from each word to its related words.
        spelling: of the tokens; words that it cannot write are left out.
    """

    def __init__(self, related: RelatedWords, spelling: WordSpelling) -> None:
        # Most related words are words of the table themselves: each is spelled once.
        spelled = cache(partial(_spelled, spelling))
        sources: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for word, others in related.items():
            forms: dict[tuple[int, ...], str] = {}
            for marker in spelling.markers_of(word):  # Han stands alone with any marker: the first one counts
                if source := spelled(marker, word):
                    forms.setdefault(source, marker)
            for source, marker in forms.items():
                targets = (spelled(marker, other) for other in others)
                usable = [target for target in targets if target and target != source]
                if usable:
                    sources.setdefault(source, []).extend(usable)
        words = [np.array(word, dtype=np.int32) for word in sources]
        lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        tokens = np.concatenate([np.empty(0, dtype=np.int32), *words])
        self._names = Names()
        self._names.add(hash_spans(tokens, np.cumsum(lengths) - lengths, lengths))
        targets_of = list(sources.values())
        flat = [target for targets in targets_of for target in targets]
        self._counts = np.fromiter(map(len, targets_of), dtype=np.int64, count=len(targets_of))
        self._first = np.cumsum(self._counts) - self._counts
        self._lengths = np.fromiter(map(len, flat), dtype=np.int64, count=len(flat))
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._tokens = np.array([token for target in flat for token in target], dtype=np.int32)

    def __len__(self) -> int:
        return len(self._names)

    def apply(
        self, units: UnitBatch, rate: float, keys: UInts, bounds: Bounds = UNBOUNDED, *, max_unit_tokens: int
    ) -> UnitBatch:
        """Replace drawn words by one of their related words; others and protected units stay.

        Args:
            units: N texts.
            rate: probability that a unit is drawn, 0 to 1.
            keys: uint64 (N,).
            bounds: words replaced in a text, of those that have related words.
            max_unit_tokens: a related word with more tokens is not used.

        Returns:
            N texts with as many units.
        """
        pool = units.pool
        random = ragged_random(keys, units.offsets)
        # Without bounds only the drawn words are looked up.
        places = np.flatnonzero(chance(random, rate)) if bounds == UNBOUNDED else np.arange(units.ids.size)
        places = places[units.unprotected(places)]
        spans = units.ids[places]
        starts, lengths = pool.starts[spans], pool.lengths[spans]
        blanks = _leading_blanks(pool, starts, lengths)
        found = self._names.find(hash_spans(pool.tokens, starts + blanks, lengths - blanks))
        known = np.flatnonzero(found >= 0)
        places, found, starts, blanks = places[known], found[known], starts[known], blanks[known]
        if bounds != UNBOUNDED:
            offsets = np.searchsorted(places, units.offsets).astype(np.int64)
            some = drawn(random[places], offsets, rate, bounds)
            places, found, starts, blanks = places[some], found[some], starts[some], blanks[some]
        chosen = self._first[found] + integers(mix(random[places]), self._counts[found])
        lengths = self._lengths[chosen]
        tokens = self._tokens.take(ragged_index(self._starts[chosen], lengths))
        if blanks.any():
            ends = np.cumsum(blanks + lengths)
            both = np.empty(int(ends[-1]), dtype=np.int32)
            both[ragged_index(ends - lengths - blanks, blanks)] = pool.tokens[ragged_index(starts, blanks)]
            both[ragged_index(ends - lengths, lengths)] = tokens
            tokens, lengths = both, blanks + lengths
        return units.changed(places, tokens, lengths, max_unit_tokens)


def _leading_blanks(pool: UnitPool, starts: Ints, lengths: Ints) -> Ints:
    """How many tokens of white space each span begins with, before the space that its word brings."""
    blanks = np.zeros(starts.size, dtype=np.int64)
    left = np.flatnonzero(lengths > 1)
    while left.size:
        there = starts[left] + blanks[left]
        here, following = pool.traits[pool.tokens[there]], pool.traits[pool.tokens[there + 1]]
        # A lone space in front of white space is a part of it.
        blank = (here & BLANK != 0) | (
            (here & (SPACED | WORD) == SPACED) & (following & (SPACED | BLANK) != 0)
        )
        left = left[blank]
        blanks[left] += 1
        left = left[blanks[left] < lengths[left] - 1]
    return blanks


def _spelled(spelling: WordSpelling, marker: str, words: str) -> tuple[int, ...]:
    """Tokens of one or several words; none where one of them cannot be spelled."""
    ids: list[int] = []
    for word in words.split():
        written = spelling.write(spelling.marker if ids else marker, word)
        if written is None:
            return ()
        ids += written
    return tuple(ids)


def read_dictionary(path: str | Path) -> dict[str, list[str]]:
    """Read related words from a text file of lines `word<TAB>synonym|synonym`.

    Args:
        path: UTF-8; empty lines are skipped; a word may stand on several lines. What stands before the
            tab is one word: an expression of several is never found in a text.

    Returns:
        From each word to its related words.

    Raises:
        InputError: the file cannot be read, is not of this form, or holds no word.
    """
    related: dict[str, list[str]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the dictionary {path} cannot be read ({error}); give a UTF-8 file of lines "
            "word<TAB>synonym|synonym (views.dictionary)"
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        word, tab, synonyms = line.partition("\t")
        others = [other.strip() for other in synonyms.split("|") if other.strip()]
        if not (tab and word.strip() and others) or "\t" in synonyms:
            raise InputError(
                f"line {number} of the dictionary {path} is not word<TAB>synonym|synonym: {line[:60]!r}; "
                "correct or remove it (views.dictionary)"
            )
        related.setdefault(word.strip(), []).extend(others)
    if not related:
        raise InputError(
            f"the dictionary {path} holds no word; give lines word<TAB>synonym|synonym, or leave "
            "views.dictionary unset to learn related words from the corpus"
        )
    return related


def write_dictionary(related: RelatedWords, path: str | Path) -> None:
    """Write related words in the form that `read_dictionary` reads.

    Args:
        related: from each word to its related words, none with a tab, a line end or a vertical bar.
        path: replaced where it exists.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = (f"{word}\t{'|'.join(others)}\n" for word, others in sorted(related.items()))
    write_whole(Path(path), "".join(lines))
