"""Agreement to 0.1 with ../shared/score.py, which scores a folder without this project's code."""

import importlib.util
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import zstandard

from llmagentos.evaluation import evaluate, load_task
from llmagentos.evaluation._bootstrap import score
from llmagentos.evaluation._floors import floors

FORMS = {
    "retrieval": "eval/ir_cisi",
    "titles": "titles",
    "English pairs": "eval/sts_en/STSB-test.tsv",
    "Chinese pairs": "eval/sts_zh/stsb-zh-dev.tsv",
    "labels": "eval/cls_banking77/test.tsv",
}


def _shared(judge: ModuleType) -> Path:
    assert judge.__file__ is not None
    return Path(judge.__file__).parent


class Judged:
    """A sentence-transformers folder with one call per task, as the judge loads it."""

    def __init__(self, path: Path) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(path), device="cpu")

    def encode(self, texts: list[str], /) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Vectors, (n, D)."""
        return np.asarray(self.model.encode(texts, batch_size=512, show_progress_bar=False), dtype=np.float32)


@pytest.fixture(scope="module")
def judge() -> ModuleType:
    path = Path(__file__).resolve().parents[2].parent / "shared" / "score.py"
    if not path.exists():
        pytest.skip("the independent judge (../shared/score.py) is not on this machine")
    spec = importlib.util.spec_from_file_location("judge", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(judge: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model folder: random vectors for the words and characters of the evaluation texts."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=3000, initial_alphabet=alphabet, show_progress=False)
    paths = [_shared(judge) / "data" / FORMS[one] for one in ("English pairs", "Chinese pairs")]
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").split("\n")]
    tokenizer.train_from_iterator(lines, trainer)
    weights = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 48)).astype(np.float32)
    path = tmp_path_factory.mktemp("model")
    SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=weights), Normalize()], device="cpu"
    ).save(str(path))
    return path


@pytest.fixture(scope="module")
def locate(judge: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The path of a form's task; the titles are of 600 papers, and some rows have none."""
    data = _shared(judge) / "data"

    def find(form: str) -> str:
        if form != "titles":
            return str(data / FORMS[form])
        path = tmp_path_factory.mktemp("titles") / "papers.jsonl"
        with zstandard.open(
            data / "corpus" / "arxiv" / "train-fin.jsonl.zst", "rt", encoding="utf-8"
        ) as rows:
            path.write_text("".join(islice(rows, 600)) + '{"text": "untitled"}\n', encoding="utf-8")
        return f"{path}:title"

    return find


@pytest.mark.parametrize("form", FORMS)
def test_a_model_scores_the_same(
    judge: ModuleType, folder: Path, locate: Callable[[str], str], form: str
) -> None:
    task = locate(form)
    expected = judge.run(judge.Encoder(folder, "cpu"), task, 0)
    found = evaluate(Judged(folder), [load_task(task)]).results[0]
    compared = [metric for metric in found.metrics if metric in expected]
    assert compared
    for metric in compared:
        assert found.score(metric).value == pytest.approx(expected[metric], abs=0.1)


@pytest.mark.parametrize("name", ["BM25", "TF-IDF"])
@pytest.mark.parametrize("form", ["retrieval", "titles"])
def test_the_floors_score_the_same(
    judge: ModuleType, locate: Callable[[str], str], form: str, name: str
) -> None:
    task = locate(form)
    expected = judge.run({"BM25": judge.Bm25, "TF-IDF": judge.Tfidf}[name](), task, 0)
    found = next(one for one in floors(load_task(task)) if one.label == name)
    for metric in ("ndcg@10", "mrr@10", "recall@10"):
        assert 100 * score(found.samples[metric]) == pytest.approx(expected[metric], abs=0.01)


def test_awkward_files_score_the_same(
    judge: ModuleType, write_lines: Callable[[str, Sequence[object]], Path]
) -> None:
    """Ties, graded and lost judgments, a query without words, ids that are numbers, a missing title."""
    documents: list[object] = [{"_id": str(i), "text": "same words here"} for i in range(15)]
    documents += [{"id": 99, "title": "A title", "text": "other words"}, {"_id": "x", "text": "?"}]
    queries = [{"_id": "a", "text": "words"}, {"_id": "b", "text": "??"}, {"_id": "c", "text": "title"}]
    lines = ["a\t3\t1", "a\t12\t3", "a\tlost\t2", "b\t0\t1", "b\tx\t2", "c\t99\t1", "d\t1\t1"]
    write_lines("ir/corpus.jsonl", documents)
    write_lines("ir/queries.jsonl", queries)
    folder = write_lines("ir/qrels.tsv", ["query-id\tcorpus-id\tscore", *lines]).parent
    queries_file = folder / "queries.jsonl"
    queries_file.with_suffix(".jsonl.zst").write_bytes(zstandard.compress(queries_file.read_bytes()))
    queries_file.unlink()

    bm25, tfidf = floors(load_task(folder))
    for floor, method in ((bm25, judge.Bm25()), (tfidf, judge.Tfidf())):
        expected = judge.run(method, str(folder), 0)
        for metric in ("ndcg@10", "mrr@10", "recall@10"):
            assert 100 * score(floor.samples[metric]) == pytest.approx(expected[metric])
