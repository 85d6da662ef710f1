import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llmagentos.evaluation import ClassificationTask, RetrievalTask, STSTask, load_task
from llmagentos.evaluation._bootstrap import score
from llmagentos.evaluation._floors import character_bigrams, floors, is_spaceless


@pytest.mark.parametrize(
    ("path", "floor", "expected"),
    [
        # The figures that the project states as its floors.
        ("sts_zh/stsb-zh-dev.tsv", "character TF-IDF", 74.7),
        ("sts_zh/stsb-zh-dev.tsv", "character Jaccard", 65.9),
        ("sts_en/STSB-test.tsv", "word TF-IDF", 69.9),
        ("sts_zh/lcqmc-dev.tsv", "character TF-IDF", 44.9),
    ],
)
def test_the_stated_sts_floors(shared: Path, path: str, floor: str, expected: float) -> None:
    task = load_task(shared / "data" / "eval" / path)
    found = {one.label: 100 * score(one.samples["spearman"]) for one in floors(task)}
    assert found[floor] == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(("name", "expected"), [("cls_banking77", 89.4), ("cls_clinc150", 91.1)])
def test_the_stated_classification_floors(shared: Path, name: str, expected: float) -> None:
    """The stated figures train on train.tsv and score test.tsv: the same features and classifier."""
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    from llmagentos.evaluation._floors import tfidf_vectorizer

    folder = shared / "data" / "eval" / name
    train, test = load_task(folder / "train.tsv"), load_task(folder / "test.tsv")
    assert isinstance(train, ClassificationTask) and isinstance(test, ClassificationTask)
    fitted = make_pipeline(tfidf_vectorizer({"ngram_range": (1, 2)}), LinearSVC(random_state=0))
    fitted.fit(train.texts, train.labels)
    hits = fitted.predict(test.texts) == np.array(test.labels)
    assert 100 * hits.mean() == pytest.approx(expected, abs=0.06)


def test_chinese_retrieval_has_character_floors_that_work() -> None:
    texts = ("一个女人在弹吉他", "两个孩子在骑马", "狗在草地上跑")
    task = RetrievalTask(
        name="zh",
        source="-",
        queries=("弹吉他的女人", "骑马的孩子", "草地上的狗"),
        documents=texts,
        document_ids=("0", "1", "2"),
        relevant=({"0": 1}, {"1": 1}, {"2": 1}),
    )
    found = {one.label: score(one.samples["mrr@10"]) for one in floors(task)}
    assert found["BM25, character bigrams"] == found["TF-IDF, character 1-2-grams"] == 1
    assert found["BM25"] < 1  # A sentence without spaces is one word to it.


def test_bm25_records_how_it_was_computed() -> None:
    task = RetrievalTask(
        name="en",
        source="-",
        queries=("red apples", "unknownword", "the"),
        documents=("green pears", "red apples"),
        document_ids=("0", "1"),
        relevant=({"1": 1}, {"1": 1}, {"1": 1}),
    )
    bm25, tfidf = floors(task)
    assert (bm25.label, tfidf.label) == ("BM25", "TF-IDF")
    assert {"tokenizer", "stop_words", "stemmer", "k1", "b", "method", "bm25s"} == set(bm25.settings)
    # Without a matching word every document scores 0, and the first ones stand first.
    np.testing.assert_array_equal(bm25.samples["mrr@10"].values, [1, 0.5, 0.5])


def test_texts_without_words_have_fewer_floors_not_a_traceback() -> None:
    sts = STSTask(name="x", source="-", left=("?", "!"), right=("?", "?"), gold=(1, 0))
    assert [one.label for one in floors(sts)] == [
        "character TF-IDF",
        "character 1-3-gram TF-IDF",
        "word Jaccard",
        "character Jaccard",
    ]
    empty = STSTask(name="x", source="-", left=("", ""), right=("", ""), gold=(1, 0))
    assert [score(one.samples["spearman"]) for one in floors(empty)] == [0, 0]
    labels = ("a", "b") * 5
    assert list(floors(ClassificationTask(name="x", source="-", labels=labels, texts=("?",) * 10))) == []
    retrieval = RetrievalTask(
        name="x",
        source="-",
        queries=("?",),
        documents=("!", "?"),
        document_ids=("0", "1"),
        relevant=({"0": 1},),
    )
    assert list(floors(retrieval)) == []


def test_scripts_without_spaces() -> None:
    assert is_spaceless(["ภาษาไทย"]) and is_spaceless(["ひらがな", "カタカナ"]) and is_spaceless(["安装 pip"])
    assert not is_spaceless(["한국어는 띄어 씁니다", "русский", "ελληνικά"])
    assert not is_spaceless([]) and not is_spaceless(["", "?!"])
    assert character_bigrams("A字") == ["a", "字"]


def test_bm25_leaves_jax_alone(tmp_path: Path) -> None:
    """bm25s calls JAX as it is imported, which takes most of a GPU's memory."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    script = (
        "from llmagentos.evaluation._floors import bm25_words; print(bm25_words(['a red cat']));"
        "import importlib.util; print(importlib.util.find_spec('jax') is not None)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines() == ["[['red', 'cat']]", "True"]
