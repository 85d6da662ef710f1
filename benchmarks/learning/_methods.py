"""What is compared: models, and the floors that count words, each as similarities of texts."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from llmagentos.evaluation import Encodes
from llmagentos.evaluation._floors import bm25_scores, bm25_words
from llmagentos.evaluation._measure import unit_vectors

Scores = npt.NDArray[np.floating]


class Method(Protocol):
    """What says how near texts are."""

    def similarities(self, queries: Sequence[str], documents: Sequence[str]) -> Scores:
        """Shape (queries, documents); higher is nearer."""
        ...


class ByVectors:
    """The cosines of vectors of length 1.

    Args:
        vectors: from n texts to n rows, dense or sparse. Columns need be the same within one call only.
    """

    def __init__(self, vectors: Callable[[Sequence[str]], Any]) -> None:
        self.vectors = vectors

    def similarities(self, queries: Sequence[str], documents: Sequence[str]) -> Scores:
        """Shape (queries, documents), within [-1, 1]."""
        rows = self.vectors([*queries, *documents])
        product = rows[: len(queries)] @ rows[len(queries) :].T
        return np.asarray(product if isinstance(product, np.ndarray) else product.toarray())

    def of_pairs(self, left: Sequence[str], right: Sequence[str]) -> npt.NDArray[np.floating]:
        """Shape (pairs,)."""
        rows = self.vectors([*left, *right])
        first, second = rows[: len(left)], rows[len(left) :]
        product = first * second if isinstance(rows, np.ndarray) else first.multiply(second)
        return np.asarray(product.sum(axis=1)).ravel()


class Bm25:
    """BM25 as `llmagentos.evaluation` has it: bm25s, words of two characters or more, English stop words."""

    def similarities(self, queries: Sequence[str], documents: Sequence[str]) -> Scores:
        """Shape (queries, documents), 0 where no word is shared."""
        return np.concatenate(list(bm25_scores(bm25_words(queries), bm25_words(documents))))


class Tfidf:
    """(1 + log count) * idf by word or character, rows of length 1; idf from a training corpus.

    idf = ln((1 + n) / (1 + texts with it)) + 1; what the corpus lacks has the idf of 0 texts.

    Args:
        corpus: n texts, read once.
        analyzer: "word" (two characters or more) or "char".

    Examples:
        >>> rows = Tfidf(["a red cat", "a red dog"]).vectors(["red cat", "red"])
        >>> (rows @ rows.T).toarray().round(3)
        array([[1.  , 0.58],
               [0.58, 1.  ]])
    """

    def __init__(self, corpus: Iterable[str], analyzer: Literal["word", "char"] = "word") -> None:
        from sklearn.feature_extraction.text import CountVectorizer

        self._analyze = CountVectorizer(analyzer=analyzer).build_analyzer()
        self._texts_with: Counter[str] = Counter()
        self._num_texts = 0
        for text in corpus:
            self._texts_with.update(set(self._analyze(text)))
            self._num_texts += 1

    def vectors(self, texts: Sequence[str]) -> Any:
        """Sparse rows, shape (n, different terms of these texts)."""
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.preprocessing import normalize

        vectorizer = CountVectorizer(analyzer=self._analyze, dtype=np.float64)
        counts = vectorizer.fit_transform(texts)
        counts.data = 1 + np.log(counts.data)
        texts_with = np.array([self._texts_with[term] for term in vectorizer.get_feature_names_out()])
        idf = np.log((1 + self._num_texts) / (1 + texts_with)) + 1
        return normalize(counts.multiply(idf[None]).tocsr())


def of_model(model: Encodes, label: str) -> ByVectors:
    """Anything with `encode(list of n texts) -> (n, D)`."""
    return ByVectors(lambda texts: unit_vectors(model, texts, label))


def of_words(corpus: Iterable[str], analyzer: Literal["word", "char"] = "word") -> ByVectors:
    """TF-IDF with the IDF of a corpus."""
    return ByVectors(Tfidf(corpus, analyzer).vectors)
