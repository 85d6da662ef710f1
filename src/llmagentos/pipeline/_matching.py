"""Texts kept aside, and how well an encoder matches what belongs together in them.

No run trains on them, and they are none of the held-out ones: trials of recipes are compared by them
(`_probe.py`), and what was trained with what it started from (`_verdict.py`). What belongs together are the
two sides of a structural pair, and the beginning of a text and its rest, so that no label is needed.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import xxhash
from torch import Tensor
from torch.nn import functional

from llmagentos.corpus import Corpus, Document, PairKind, TextPair
from llmagentos.encoder import Encoder
from llmagentos.model import EmbeddingModel
from llmagentos.pipeline._heldout import beginning_and_rest
from llmagentos.training import ResolvedTrainingConfig, autocast_to

Values = npt.NDArray[np.float64]

_FEWEST_TEXTS: Final = 2_000
# With 200 an interval of mean reciprocal rank is 4 points wide (`small` on an H100: +1.8 [-0.2, +3.8]).
_TEXTS_ASIDE, _MOST_TEXTS_ASIDE = 200, 1_000
# In UTF-8, for a character of Chinese has about as many tokens as three of English. 200 abstracts, about,
# which take MiniLM 10 s on two cores.
_BYTES_FOR_A_TRANSFORMER: Final = 250_000
_FEWEST_PAIRS: Final = 20
# Of which the one that suits an encoder best measures it: what was trained with a high one is less sure.
_TEMPERATURES: Final = tuple(float(one) for one in np.geomspace(0.02, 0.3, 12))


def texts_aside(corpus: Corpus, *, transforms: bool) -> list[Document]:
    """Texts that decide between recipes, and whether the model is kept; none where text is too scarce.

    Args:
        corpus: of the run.
        transforms: a Transformer has to embed them, after each trial anew.

    Returns:
        2% of the texts, from 200 to 1,000; for a Transformer no more bytes than 250,000, where those are more
        than 200 texts.
    """
    if corpus.num_training < _FEWEST_TEXTS:
        return []
    number = max(_TEXTS_ASIDE, min(_MOST_TEXTS_ASIDE, corpus.num_training // 50))
    texts = with_smallest_hashes(corpus.training(), number)
    if transforms:
        ends = accumulate(len(document.text.encode()) for document in texts)
        fitting = sum(end <= _BYTES_FOR_A_TRANSFORMER for end in ends)
        texts = texts[: max(_TEXTS_ASIDE, fitting)]
    return texts


def with_smallest_hashes(documents: Iterable[Document], number: int) -> list[Document]:
    """Some texts, the same in whatever order they come.

    Args:
        documents: the training documents, in any order.
        number: how many.

    Returns:
        In the order of their hashes.
    """
    return heapq.nsmallest(number, documents, key=lambda d: xxhash.xxh3_64_intdigest(d.text.encode()))


@dataclass(frozen=True, slots=True)
class Matching:
    """Queries, each with the text that belongs to it.

    Attributes:
        queries: n.
        texts: n, the one that belongs to each.
        places: n, which of the texts kept aside each is from.
        kinds: n, of the pairs; none where beginnings are matched with the rest.
    """

    queries: tuple[str, ...]
    texts: tuple[str, ...]
    places: tuple[int, ...]
    kinds: tuple[PairKind, ...] = ()

    @property
    def parts(self) -> dict[str, list[int]]:
        """The queries of each kind by what a person calls it; kinds of fewer than 20 are one, if there are 20
        of them together.
        """
        if not self.kinds:
            return {"beginnings": list(range(len(self.queries)))}
        counts = Counter(self.kinds)
        found: dict[str, list[int]] = {}
        for place, kind in enumerate(self.kinds):
            name = kind if counts[kind] >= _FEWEST_PAIRS else "other"
            found.setdefault(f"{name} pairs", []).append(place)
        return {name: places for name, places in sorted(found.items()) if len(places) >= _FEWEST_PAIRS}


def matchings(texts: Sequence[Document], pairs: Iterable[TextPair]) -> list[Matching]:
    """What the texts kept aside are matched by.

    Args:
        texts: from `texts_aside`.
        pairs: structural pairs of any texts; those are taken whose text is kept aside, one a text.

    Returns:
        Their pairs, if there are 20 at least, and the first fifth of each text with its rest.
    """
    places = {document.text: place for place, document in enumerate(texts)}
    own = {pair.text: pair for pair in pairs if pair.text in places}
    found = []
    if len(own) >= _FEWEST_PAIRS:
        pair_matching = Matching(
            queries=tuple(pair.first for pair in own.values()),
            texts=tuple(pair.second for pair in own.values()),
            places=tuple(places[text] for text in own),
            kinds=tuple(pair.kind for pair in own.values()),
        )
        found.append(pair_matching)
    beginnings, rests = zip(*(beginning_and_rest(document.text) for document in texts), strict=True)
    return [*found, Matching(queries=beginnings, texts=rests, places=tuple(range(len(texts))))]


def cross_entropies(encoder: Encoder, matched: Sequence[Matching], config: ResolvedTrainingConfig) -> Values:
    """The cross-entropy of finding what belongs to it, of every text, at the temperature at which their mean
    is least; see `of_texts`.

    Source: Guo et al. 2017, "On calibration of modern neural networks" (temperature scaling).
    """

    def of_one(similarities: Tensor) -> Tensor:
        own = torch.arange(len(similarities))
        logits = [similarities / temperature for temperature in _TEMPERATURES]
        return torch.stack([functional.cross_entropy(one, own, reduction="none") for one in logits], dim=1)

    values = of_texts(_of_queries(encoder, matched, config, of_one), matched)
    best: Values = values[:, values.mean(axis=0).argmin()]
    return best


def reciprocal_ranks(
    encoder: Encoder, matched: Sequence[Matching], config: ResolvedTrainingConfig
) -> list[Values]:
    """1 / rank of what belongs to each query, the last of equal ones.

    Args:
        encoder: any.
        matched: from `matchings`.
        config: its precision.

    Returns:
        Of each matching float64 (n,), in (0, 1]; their mean is its mean reciprocal rank.
    """

    def of_one(similarities: Tensor) -> Tensor:
        return 1 / (similarities >= similarities.diagonal()[:, None]).sum(dim=1)

    return _of_queries(encoder, matched, config, of_one)


def of_texts(values: Sequence[Values], matched: Sequence[Matching]) -> Values:
    """The values of queries as values of texts, for what a bootstrap draws again has to be independent.

    Args:
        values: of each matching (n, ...), one of each query.
        matched: of T texts.

    Returns:
        float64 (T, ...), weighted so that their mean is the mean over the matchings of their means.
    """
    num_texts = 1 + max(place for one in matched for place in one.places)
    found: Values = np.zeros((num_texts, *values[0].shape[1:]))
    for one, of_queries in zip(matched, values, strict=True):
        found[list(one.places)] += of_queries * num_texts / (len(one.texts) * len(matched))
    return found


def _of_queries(
    encoder: Encoder,
    matched: Sequence[Matching],
    config: ResolvedTrainingConfig,
    of_one: Callable[[Tensor], Tensor],
) -> list[Values]:
    """Values of every query.

    Args:
        encoder: any.
        matched: from `matchings`.
        config: its precision.
        of_one: from similarities (n, n), of which the diagonal belongs together, to values (n, ...).

    Returns:
        Those of each matching, float64.
    """
    model = EmbeddingModel(encoder)
    found: list[Values] = []
    for one in matched:
        with autocast_to(config.precision, encoder.device):
            queries, texts = (
                torch.from_numpy(model.encode(side)).double() for side in (one.queries, one.texts)
            )
        # In float32 equal texts differ in the last bit on some processors (Zen 5, AVX-512), and processes do.
        found.append(of_one((queries @ texts.T).float()).double().numpy())
    return found
