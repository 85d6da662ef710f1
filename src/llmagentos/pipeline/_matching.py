"""Texts kept aside, and how well an encoder matches what belongs together in them.

No run trains on them, and they are none of the held-out ones: trials of recipes are compared by them
(`_probe.py`), and what was trained with what it started from (`_verdict.py`). What belongs together are the
two sides of a structural pair, and the beginning of a text and its rest, so that no label is needed.
"""

import heapq
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
# 200 abstracts, about, which take MiniLM 10 s on two cores.
_CHARACTERS_FOR_A_PRETRAINED_ENCODER: Final = 250_000
_FEWEST_PAIRS: Final = 20
# Of which the one that suits an encoder best measures it: what was trained with a high one is less sure.
_TEMPERATURES: Final = tuple(float(one) for one in np.geomspace(0.02, 0.3, 12))


def texts_aside(corpus: Corpus, *, pretrained: bool) -> list[Document]:
    """Texts that decide between recipes, and whether the model is kept; none where text is too scarce.

    Args:
        corpus: of the run.
        pretrained: a pretrained encoder has to embed them, after each trial anew.

    Returns:
        2% of the texts, from 200 to 1,000; for a pretrained encoder no more characters than 250,000, where
        those are more than 200 texts.
    """
    if corpus.num_training < _FEWEST_TEXTS:
        return []
    number = max(_TEXTS_ASIDE, min(_MOST_TEXTS_ASIDE, corpus.num_training // 50))
    texts = with_smallest_hashes(corpus.training(), number)
    if pretrained:
        ends = accumulate(len(document.text) for document in texts)
        fitting = sum(end <= _CHARACTERS_FOR_A_PRETRAINED_ENCODER for end in ends)
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
        places: n, which of the texts kept aside each pair is from.
        kinds: of the pairs; none where beginnings are matched with the rest.
    """

    queries: tuple[str, ...]
    texts: tuple[str, ...]
    places: tuple[int, ...]
    kinds: frozenset[PairKind] = frozenset()

    def __str__(self) -> str:
        """What is matched, for a person."""
        return f"pairs ({', '.join(sorted(self.kinds))})" if self.kinds else "beginnings"


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
            kinds=frozenset(pair.kind for pair in own.values()),
        )
        found.append(pair_matching)
    beginnings, rests = zip(*(beginning_and_rest(document.text) for document in texts), strict=True)
    return [*found, Matching(queries=beginnings, texts=rests, places=tuple(range(len(texts))))]


def cross_entropies(encoder: Encoder, matched: Sequence[Matching], config: ResolvedTrainingConfig) -> Values:
    """The cross-entropy of finding what belongs to it, of every text, at the temperature at which their mean
    is least; see `_of_texts`.

    Source: Guo et al. 2017, "On calibration of modern neural networks" (temperature scaling).
    """

    def of_one(similarities: Tensor) -> Tensor:
        own = torch.arange(len(similarities))
        logits = [similarities / temperature for temperature in _TEMPERATURES]
        return torch.stack([functional.cross_entropy(one, own, reduction="none") for one in logits], dim=1)

    values = _of_texts(encoder, matched, config, of_one).mean(axis=0)
    best: Values = values[:, values.mean(axis=0).argmin()]
    return best


def reciprocal_ranks(encoder: Encoder, matched: Sequence[Matching], config: ResolvedTrainingConfig) -> Values:
    """1 / rank of what belongs to each text kept aside, the last of equal ones.

    Args:
        encoder: any.
        matched: from `matchings`, of T texts.
        config: its precision.

    Returns:
        float64 (M, T) of M matchings; the mean of each, in (0, 1], is its mean reciprocal rank.
    """

    def of_one(similarities: Tensor) -> Tensor:
        return 1 / (similarities >= similarities.diagonal()[:, None]).sum(dim=1, keepdim=True)

    return _of_texts(encoder, matched, config, of_one)[..., 0]


def _of_texts(
    encoder: Encoder,
    matched: Sequence[Matching],
    config: ResolvedTrainingConfig,
    of_one: Callable[[Tensor], Tensor],
) -> Values:
    """Values of every text, for what is drawn again by a bootstrap has to be independent.

    Args:
        encoder: any.
        matched: of T texts.
        config: its precision.
        of_one: from similarities (Q, Q), of which the diagonal belongs together, to values (Q, k).

    Returns:
        float64 (M, T, k), weighted so that the mean over all T texts is that over the queries of a matching;
        0 where it has none of a text.
    """
    model = EmbeddingModel(encoder)
    num_texts = 1 + max(place for one in matched for place in one.places)
    of_each: list[Values] = []
    for one in matched:
        with autocast_to(config.precision, encoder.device):
            similarities = torch.from_numpy(model.encode(one.queries) @ model.encode(one.texts).T)
        found = of_one(similarities).double().numpy()
        of_each.append(np.zeros((num_texts, found.shape[1])))
        of_each[-1][list(one.places)] = found * num_texts / len(one.texts)
    return np.stack(of_each)
