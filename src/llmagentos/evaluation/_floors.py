"""Trivial floors: what counting shared words and characters gives on the same task.

A score means nothing alone. On STS-B test, plain word TF-IDF has a Spearman of 69.9; on its Chinese
version, TF-IDF of single characters has 74.7. A model earns its place above these, so every task is
measured with them too, on the same items, folds and metrics. They see the evaluation texts (TF-IDF is
fitted on them), which a model does not: that makes them stricter, not weaker.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numpy as np

from llmagentos.evaluation._bootstrap import Sample
from llmagentos.evaluation._measure import (
    classification_samples,
    clusters,
    fold_hits,
    retrieval_samples,
    sts_samples,
)
from llmagentos.evaluation._ranking import Ints, Scores, top_of_rows
from llmagentos.evaluation._tasks import ClassificationTask, RetrievalTask, STSTask, Task

Setting = str | int | float | bool | None

# Scripts written without spaces: Thai to Lao, Burmese, Khmer, kana, Han with its extensions.
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
_SPACELESS += "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
_SPACELESS_CHARACTER = re.compile(f"[{_SPACELESS}]")
_RUN = re.compile(f"[{_SPACELESS}]+|[^\\W{_SPACELESS}]+")
_WORD = re.compile(r"\w+")
_SPACELESS_SHARE = 0.1
_SAMPLED_TEXTS = 2000
_SCORES_AT_ONCE = 16_000_000
_LSA_DIMENSIONS = 100


@dataclass(frozen=True, eq=False)
class Floor:
    """A trivial method's per-item values on a task, with everything needed to repeat it."""

    label: str
    samples: Mapping[str, Sample]
    settings: Mapping[str, Setting]


def floors(task: Task) -> Iterator[Floor]:
    """Every trivial floor of a task, one after the other."""
    if isinstance(task, RetrievalTask):
        return _retrieval_floors(task)
    if isinstance(task, STSTask):
        return _sts_floors(task)
    return _classification_floors(task)


def is_spaceless(texts: Sequence[str]) -> bool:
    """Whether at least a tenth of the word characters belong to scripts written without spaces.

    Examples:
        >>> is_spaceless(["一个女人在弹吉他。"]), is_spaceless(["a woman plays"])
        (True, False)
    """
    sampled = "".join(texts[:: max(1, len(texts) // _SAMPLED_TEXTS)])
    letters = sum(map(len, _WORD.findall(sampled)))
    return len(_SPACELESS_CHARACTER.findall(sampled)) >= _SPACELESS_SHARE * max(1, letters)


def character_bigrams(text: str) -> list[str]:
    """Overlapping character pairs where a script has no spaces, whole words elsewhere, lower case.

    Examples:
        >>> character_bigrams("弹吉他 on 2 guitars")
        ['弹吉', '吉他', 'on', '2', 'guitars']
    """
    pieces: list[str] = []
    for run in _RUN.findall(text.lower()):
        if len(run) > 1 and _SPACELESS_CHARACTER.match(run):
            pieces.extend(run[i : i + 2] for i in range(len(run) - 1))
        else:
            pieces.append(run)
    return pieces


def _retrieval_floors(task: RetrievalTask) -> Iterator[Floor]:
    def bigrams(texts: Sequence[str]) -> list[list[str]]:
        return [character_bigrams(text) for text in texts]

    common: dict[str, Setting] = {"method": "lucene", "k1": 1.5, "b": 0.75, "bm25s": version("bm25s")}
    settings = {"tokenizer": r"\b\w\w+\b, lower case", "stop_words": "english", "stemmer": None, **common}
    yield from _bm25(task, "BM25", bm25_words, settings)
    spaceless = is_spaceless(task.documents)
    if spaceless:
        settings = {"tokenizer": "character bigrams", "stop_words": None, "stemmer": None, **common}
        yield from _bm25(task, "BM25, character bigrams", bigrams, settings)
    yield from _if_words(lambda: _tfidf_ranking(task, "TF-IDF", {}))
    if spaceless:
        options = {"analyzer": "char", "ngram_range": (1, 2)}
        yield from _if_words(lambda: _tfidf_ranking(task, "TF-IDF, character 1-2-grams", options))


def _bm25(
    task: RetrievalTask,
    label: str,
    tokenize: Callable[[Sequence[str]], list[list[str]]],
    settings: Mapping[str, Setting],
) -> Iterator[Floor]:
    """BM25 with that tokenizer, or nothing where no document has a word."""
    documents, queries = tokenize(task.documents), tokenize(task.queries)
    if any(documents):
        ranked = _ranked(bm25_scores(queries, documents))
        yield Floor(label, retrieval_samples(task, ranked), settings)


def bm25_words(texts: Sequence[str]) -> list[list[str]]:
    """The words of each text as bm25s finds them: two characters or more, lower case, no English stop words.

    Examples:
        >>> bm25_words(["The cat of C"])
        [['cat']]
    """
    tokens: list[list[str]] = _bm25s().tokenize(list(texts), return_ids=False, show_progress=False)
    return tokens


def bm25_scores(queries: Sequence[list[str]], documents: Sequence[list[str]]) -> Iterator[Scores]:
    """BM25 (k1 = 1.5, b = 0.75, Lucene's form) in blocks of shape (some queries, documents), float32.

    Args:
        queries: words; a query without words scores 0 everywhere.
        documents: words; at least one document has some.

    Source: Robertson and Zaragoza, The Probabilistic Relevance Framework (2009).

    Examples:
        >>> next(bm25_scores([["cat"]], [["cat"], ["dog"]])).argmax()
        np.int64(0)
    """
    index = _bm25s().BM25(k1=1.5, b=0.75, method="lucene")
    index.index(documents, show_progress=False)
    for rows in _row_blocks(len(queries), len(documents)):
        block = np.zeros((len(rows), len(documents)), dtype=np.float32)
        for row, query in zip(block, (queries[i] for i in rows), strict=True):
            if query:
                row[:] = index.get_scores(query)
        yield block


def _bm25s() -> ModuleType:
    """The package, imported without JAX.

    Where that is installed, bm25s calls it once as it is imported, and JAX takes three quarters of the memory
    of a GPU (seen on an H100). The scores here are numpy's in any case.
    """
    if "jax" not in sys.modules:
        sys.modules["jax"] = None  # type: ignore[assignment]  # so that importing it fails
        try:
            return import_module("bm25s")
        finally:
            del sys.modules["jax"]
    return import_module("bm25s")


def _tfidf_ranking(task: RetrievalTask, label: str, options: Mapping[str, Any]) -> Floor:
    vectorizer = tfidf_vectorizer(options).fit(task.documents)
    queries, documents = vectorizer.transform(task.queries), vectorizer.transform(task.documents)
    blocks = (
        (queries[rows] @ documents.T).toarray()
        for rows in _row_blocks(len(task.queries), len(task.documents))
    )
    return Floor(label, retrieval_samples(task, _ranked(blocks)), _tfidf_settings(options, "the documents"))


def _ranked(blocks: Iterable[Scores]) -> Ints:
    return np.concatenate([top_of_rows(block) for block in blocks])


def _row_blocks(num_rows: int, width: int) -> Iterator[range]:
    step = max(1, _SCORES_AT_ONCE // max(1, width))
    for start in range(0, num_rows, step):
        yield range(start, min(start + step, num_rows))


def _sts_floors(task: STSTask) -> Iterator[Floor]:
    kinds: dict[str, dict[str, Any]] = {
        "word TF-IDF": {},
        "character TF-IDF": {"analyzer": "char"},
        "character 1-3-gram TF-IDF": {"analyzer": "char", "ngram_range": (1, 3)},
    }
    for label, options in kinds.items():
        yield from _if_words(partial(_tfidf_cosine, task, label, options))
    for label, split, items in (
        ("word Jaccard", lambda text: set(_WORD.findall(text)), r"\w+"),
        ("character Jaccard", lambda text: set("".join(text.split())), "characters but white space"),
    ):
        overlaps = [
            _jaccard(split(a.lower()), split(b.lower())) for a, b in zip(task.left, task.right, strict=True)
        ]
        yield Floor(label, sts_samples(task, overlaps), {"items": f"{items}, lower case"})


def _tfidf_cosine(task: STSTask, label: str, options: Mapping[str, Any]) -> Floor:
    vectorizer = tfidf_vectorizer(options).fit(task.left + task.right)
    left, right = vectorizer.transform(task.left), vectorizer.transform(task.right)
    cosines = np.asarray(left.multiply(right).sum(axis=1)).ravel()
    return Floor(label, sts_samples(task, cosines), _tfidf_settings(options, "the evaluation sentences"))


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / max(1, len(a | b))


def _classification_floors(task: ClassificationTask) -> Iterator[Floor]:
    yield from _if_words(lambda: _svm(task, "word 1-2-gram TF-IDF + linear SVM", {"ngram_range": (1, 2)}))
    if is_spaceless(task.texts):
        options = {"analyzer": "char", "ngram_range": (1, 3)}
        yield from _if_words(lambda: _svm(task, "character 1-3-gram TF-IDF + linear SVM", options))


def _svm(task: ClassificationTask, label: str, options: Mapping[str, Any]) -> Floor:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer
    from sklearn.svm import LinearSVC

    classifier = make_pipeline(tfidf_vectorizer(options), LinearSVC(random_state=0))
    hits = fold_hits(task, classifier, np.array(task.texts, dtype=object))
    features = tfidf_vectorizer(options).fit_transform(task.texts)
    dimensions = min(_LSA_DIMENSIONS, features.shape[1] - 1, features.shape[0] - 1)
    if dimensions >= 1:
        features = make_pipeline(TruncatedSVD(dimensions, random_state=0), Normalizer()).fit_transform(
            features
        )
    settings = {
        **_tfidf_settings(options, "the training folds (accuracy), all texts (V-measure)"),
        "classifier": "LinearSVC(C=1)",
        "clustering": f"k-means on {max(1, dimensions)} LSA dimensions",
    }
    return Floor(label, classification_samples(task, hits, clusters(task, features)), settings)


def _if_words(build: Callable[[], Floor]) -> Iterator[Floor]:
    """The floor, or nothing where no text has a term to count (TF-IDF is then undefined)."""
    try:
        floor = build()
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
    else:
        yield floor


def tfidf_vectorizer(options: Mapping[str, Any]) -> Any:
    """TF-IDF with 1 + log of the count, and these options of scikit-learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, **options)


def _tfidf_settings(options: Mapping[str, Any], fitted_on: str) -> dict[str, Setting]:
    low, high = options.get("ngram_range", (1, 1))
    return {
        "analyzer": options.get("analyzer", "word"),
        "n_grams": f"{low}-{high}",
        "sublinear_tf": True,
        "fitted_on": fitted_on,
        "scikit-learn": version("scikit-learn"),
    }
