"""What training changed, in two pictures: neighbours before and after, and a map of texts.

Both are pure functions of vectors, texts and a seed, computed once and only then shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmagentos.errors import InputError
from llmagentos.evaluation._measure import Encodes, unit_vectors
from llmagentos.evaluation._ranking import top_documents

_MAPPED_TEXTS = 2000
_PCA_DIMENSIONS = 50
_FEWEST_MAPPED = 5


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A text and its cosine with the query."""

    text: str
    similarity: float


@dataclass(frozen=True, kw_only=True)
class NeighbourRow:
    """One query with its nearest texts under two encoders."""

    query: str
    before: tuple[Neighbour, ...]
    after: tuple[Neighbour, ...]


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Nearest texts before and after training, for a few queries among `num_texts` texts."""

    rows: tuple[NeighbourRow, ...]
    num_texts: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TextMap:
    """Texts as points of a plane: `points` is (n, 2), `labels` has n names to colour by."""

    points: npt.NDArray[np.float64]
    labels: tuple[str, ...]


def nearest_neighbours(
    before: Encodes, after: Encodes, texts: Sequence[str], num_queries: int = 5, k: int = 3
) -> Neighbours:
    """The k nearest other texts of a few texts, under two encoders.

    The queries are spread evenly over the texts, not chosen, so that they show what is usual.

    Args:
        before: an encoder, for instance the untrained one.
        after: the trained one.
        texts: at least 2.
        num_queries: >= 1.
        k: >= 1.

    Returns:
        `min(num_queries, len(texts))` rows of at most k neighbours each.

    Raises:
        InputError: fewer than 2 texts.

    Examples:
        >>> class Length:
        ...     def encode(self, texts):
        ...         return np.array([[1.0, len(text)] for text in texts])
        >>> found = nearest_neighbours(Length(), Length(), ["a", "bb", "eeeeeeee"], num_queries=1, k=1)
        >>> found.rows[0].query, found.rows[0].after[0].text
        ('a', 'bb')
    """
    if len(texts) < 2:
        raise InputError(f"nearest neighbours need at least 2 texts, got {len(texts)}; give more texts")
    chosen = np.linspace(0, len(texts) - 1, min(num_queries, len(texts)), dtype=np.int64)
    columns = [
        _nearest(encoder, texts, chosen, k, name) for encoder, name in ((before, "before"), (after, "after"))
    ]
    rows = tuple(
        NeighbourRow(query=texts[query], before=old, after=new)
        for query, old, new in zip(chosen, *columns, strict=True)
    )
    return Neighbours(rows=rows, num_texts=len(texts))


def text_map(vectors: npt.ArrayLike, labels: Sequence[str], seed: int = 0) -> TextMap:
    """Positions in a plane that keep near texts near: PCA to 50 dimensions, then t-SNE.

    Args:
        vectors: shape (n, D), n >= 5; of more than 2,000 a random 2,000 are shown.
        labels: n names.
        seed: the same seed gives the same map.

    Returns:
        The map; distances between far groups mean nothing.

    Raises:
        InputError: fewer than 5 vectors, or not one label each.

    Source: van der Maaten and Hinton, JMLR 2008.

    Examples:
        >>> text_map(np.eye(6), list("aabbcc")).points.shape
        (6, 2)
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows = np.asarray(vectors, dtype=np.float64)
    if (
        rows.ndim != 2
        or len(rows) < _FEWEST_MAPPED
        or len(labels) != len(rows)
        or not np.isfinite(rows).all()
    ):
        raise InputError(
            f"a text map needs at least {_FEWEST_MAPPED} finite vectors with one label each, "
            f"got vectors of shape {rows.shape} and {len(labels)} labels"
        )
    names = list(labels)
    if len(rows) > _MAPPED_TEXTS:
        kept = np.sort(np.random.default_rng(seed).choice(len(rows), _MAPPED_TEXTS, replace=False))
        rows, names = rows[kept], [names[i] for i in kept]
    if np.ptp(rows, axis=0).max() == 0:  # A collapsed model: every text is the same point.
        return TextMap(points=np.zeros((len(rows), 2)), labels=tuple(names))
    dimensions = min(_PCA_DIMENSIONS, len(rows) - 1, rows.shape[1])
    reduced = PCA(dimensions, random_state=seed).fit_transform(rows)
    start = "pca" if dimensions >= 2 else "random"
    perplexity = min(30.0, (len(rows) - 1) / 3)
    placed = TSNE(2, perplexity=perplexity, init=start, max_iter=500, random_state=seed).fit_transform(
        reduced
    )
    return TextMap(points=np.asarray(placed, dtype=np.float64), labels=tuple(names))


def _nearest(
    encoder: Encodes, texts: Sequence[str], queries: npt.NDArray[np.int64], k: int, name: str
) -> list[tuple[Neighbour, ...]]:
    vectors = unit_vectors(encoder, texts, f"the encoder {name} training")
    found = top_documents(vectors[queries], vectors, k + 1)
    rows = []
    for query, row in zip(queries, found, strict=True):
        others = [int(one) for one in row if one != query][:k]
        rows.append(
            tuple(Neighbour(text=texts[i], similarity=float(vectors[query] @ vectors[i])) for i in others)
        )
    return rows
