"""MetaTool's halves and the average in which every tool counts the same."""

import importlib.util
from types import ModuleType

import numpy as np
import pytest

from benchmarks._provenance import DATA, JUDGE
from benchmarks._texts import hashed
from benchmarks.learning._metatool import macro_weights, metatool_split
from benchmarks.learning._methods import Bm25, of_words
from benchmarks.learning._score import score
from benchmarks.learning._split import Split, ToolTask
from benchmarks.learning._suite import metatool
from llmagentos.evaluation import RetrievalTask

IDS = [f"r{number}" for number in range(80)]
TASK = RetrievalTask(
    name="tools",
    source="-",
    queries=tuple(f"a{number} b{number} c{number}" for number in range(80)),
    documents=("red", "blue"),
    document_ids=("t0", "t1"),
    relevant=tuple({f"t{number % 2}": 1} for number in range(80)),
)
TOOLS = [{"id": "t0", "title": "red", "text": "red"}, {"id": "t1", "title": "blue", "text": "blue"}]


def asked(split: Split) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for half, part in split.tasks.items():
        task = part["metatool"]
        assert isinstance(task, ToolTask)
        found[half] = set(task.ranking.queries)
    return found


def test_halves_by_the_hash_of_the_id_and_nothing_shared() -> None:
    split = metatool_split(TASK, IDS, TOOLS)
    halves = asked(split)
    parity = {TASK.queries[place]: hashed(one) % 2 for place, one in enumerate(IDS)}
    assert {parity[query] for query in halves["choose"]} == {0}
    assert {query for query, one in parity.items() if one} == halves["report"]
    learned = {row["text"] for row in split.training}
    assert len(learned) == 2 + 80 - len(halves["choose"]) - len(halves["report"])
    assert not learned & (halves["choose"] | halves["report"])
    assert split.training[:2] == tuple(TOOLS)


def test_near_duplicates_of_the_choosing_half_are_not_reported() -> None:
    clean = metatool_split(TASK, IDS, TOOLS)
    copy = min(asked(clean)["choose"])
    place = TASK.queries.index(min(asked(clean)["report"]))
    queries = (*TASK.queries[:place], copy.upper() + "!", *TASK.queries[place + 1 :])
    task = RetrievalTask(
        name="", source="", queries=queries, documents=TASK.documents, document_ids=TASK.document_ids,
        relevant=TASK.relevant,
    )  # fmt: skip
    split = metatool_split(task, IDS, TOOLS)
    assert clean.removed == {"choose": 0, "report": 0} and split.removed == {"choose": 0, "report": 1}
    assert copy in asked(split)["choose"] and queries[place] not in asked(split)["report"]


def test_macro_average_by_hand() -> None:
    relevant = [{"a": 1}, {"a": 1}, {"a": 1, "b": 1}, {"b": 1}]
    values = np.array([1.0, 0.0, 0.5, 0.0])
    mean_a, mean_b = (1.0 + 0.0 + 0.5) / 3, (0.5 + 0.0) / 2
    weights = macro_weights(relevant)
    assert (values * weights).mean() == pytest.approx((mean_a + mean_b) / 2)
    assert sum(weights) == pytest.approx(4)


@pytest.fixture(scope="module")
def judge() -> ModuleType:
    if not JUDGE.exists() or not DATA.exists():
        pytest.skip("the independent judge and its data (../shared) are not on this machine")
    spec = importlib.util.spec_from_file_location("judge", JUDGE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_judge_agrees_on_real_requests(judge: ModuleType) -> None:
    split = metatool()
    assert split.removed == {"choose": 172, "report": 568} and len(split.training) == 5_545
    task = split.tasks["report"]["metatool"]
    assert isinstance(task, ToolTask)
    ranking = task.ranking
    assert len(ranking.queries) == 1_200 and len(ranking.documents) == 199
    for method, theirs in ((Bm25(), judge.Bm25()), (of_words(ranking.documents), judge.Tfidf())):
        scores = theirs.scores(list(ranking.queries), list(ranking.documents))
        expected = judge.rank_metrics(scores, ranking.document_ids, ranking.relevant)["ndcg@10"]
        found = score(method, {"plain": ranking, "macro": task})
        assert found["plain"].value == pytest.approx(expected, abs=0.01)
        assert found["macro"].value > found["plain"].value  # the few tools with most requests are hard
