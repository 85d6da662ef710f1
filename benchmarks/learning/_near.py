"""Near-duplicates across a split, found exactly: Jaccard similarity of word pairs, by prefix filtering.

Two sets x, y have |x & y| / |x | y| >= t only if they share at least ceil(t |y|) items. So whatever the
order of the items, one of the first |x| - ceil(t |x|) + 1 of x is also among the first so many of y; with
the rarest first, few texts have it, and only these are compared. MinHash finds the same pairs, less a few.

Source: Bayardo, Ma and Srikant, Scaling up all pairs similarity search, WWW 2007; Xiao et al., WWW 2008.
"""

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

# Two abstracts of one field share a few per cent of their word pairs; versions of one text most of them.
THRESHOLD = 0.5
_WORD = re.compile(r"\w+")


def word_pairs(text: str) -> frozenset[str]:
    """The pairs of neighbouring words in lower case; a single word for itself.

    Examples:
        >>> sorted(word_pairs("The cat: the CAT sat.")), word_pairs("Thanks!")
        (['cat sat', 'cat the', 'the cat'], frozenset({'thanks'}))
    """
    words = _WORD.findall(text.lower())
    pairs = itertools.pairwise(words)
    return frozenset(" ".join(pair) for pair in pairs) if len(words) > 1 else frozenset(words)


def near_duplicates(texts: Sequence[str], among: Iterable[str], *, threshold: float = THRESHOLD) -> set[int]:
    """The places of those texts that have a near-duplicate among others.

    Args:
        texts: n texts.
        among: the other texts, read once; a text without words is near to nothing.
        threshold: Jaccard similarity in (0, 1] from which on two texts are near.

    Returns:
        Places in `texts`.

    Examples:
        >>> sorted(near_duplicates(["a red cat sat", "a dog"], ["the red cat sat", "a log"]))
        [0]
    """
    sets = [word_pairs(text) for text in texts]
    frequencies = Counter(pair for pairs in sets for pair in pairs)
    rarest_first = sorted(frequencies, key=lambda pair: (frequencies[pair], pair))
    order = {pair: rank for rank, pair in enumerate(rarest_first)}
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, pairs in enumerate(sets):
        rarest = sorted(pairs, key=order.__getitem__)
        for pair in rarest[: len(pairs) - math.ceil(threshold * len(pairs)) + 1]:
            places[pair].append(place)
    near: set[int] = set()
    for text in among:
        other = word_pairs(text)
        needed = math.ceil(threshold * len(other))
        known = [pair for pair in other if pair in order]
        if not other or len(known) < needed:
            continue
        known.sort(key=order.__getitem__)
        found = {place for pair in known[: len(known) - needed + 1] for place in places.get(pair, ())}
        for place in found - near:
            shared = len(sets[place] & other)
            if shared >= threshold * (len(sets[place]) + len(other) - shared):
                near.add(place)
    return near
