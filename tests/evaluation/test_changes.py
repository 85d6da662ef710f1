"""What training did to single queries, beside ranks counted by hand."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from llmagentos.evaluation import RetrievalTask, rank_changes


class Table:
    """An encoder that looks texts up."""

    def __init__(self, vectors: dict[str, npt.NDArray[np.float32]]) -> None:
        self._vectors = vectors

    def encode(self, texts: Sequence[str], /) -> npt.NDArray[np.float32]:
        return np.stack([self._vectors[text] for text in texts])


def task(relevant: list[dict[str, int]], num_documents: int) -> RetrievalTask:
    return RetrievalTask(
        name="toy",
        source="-",
        queries=tuple(f"q{row}" for row in range(len(relevant))),
        documents=tuple(f"d{place}" for place in range(num_documents)),
        document_ids=tuple(map(str, range(num_documents))),
        relevant=tuple(relevant),
        primary="mrr@10",
    )


def test_ranks_and_changes_are_those_of_a_full_sort() -> None:
    generator = np.random.default_rng(0)
    wanted = generator.integers(0, 40, 700)  # more than one block of queries
    asked = task([{str(place): 1} for place in wanted], 40)
    encoders = []
    ranks = []
    for _ in range(2):
        names = [*asked.queries, *asked.documents]
        table = {name: generator.normal(size=8).astype(np.float32) for name in names}
        unit = {name: vector / np.linalg.norm(vector) for name, vector in table.items()}
        scores = np.stack([unit[q] for q in asked.queries]) @ np.stack([unit[d] for d in asked.documents]).T
        order = np.argsort(-scores, axis=1)
        ranks.append(1 + np.argmax(order == wanted[:, None], axis=1))
        encoders.append(Table(table))
    found = rank_changes(encoders[0], encoders[1], asked, number=5)
    old, new = ranks
    assert (found.num_better, found.num_worse) == (int((new < old).sum()), int((new > old).sum()))
    gain = 1 / new - 1 / old
    for examples, order in ((found.better, np.argsort(-gain)), (found.worse, np.argsort(gain))):
        assert len(examples) == 5
        assert [1 / one.after - 1 / one.before for one in examples] == [gain[row] for row in order[:5]]
    for one in (*found.better, *found.worse):
        row = int(one.query[1:])
        assert (one.before, one.after) == (old[row], new[row])
        assert one.wanted == f"d{wanted[row]}" and (one.first == one.wanted) == (one.after == 1)


def test_the_same_encoder_changes_nothing() -> None:
    asked = task([{"0": 1}, {"1": 1}], 2)
    same = Table({name: np.ones(3, np.float32) for name in (*asked.queries, *asked.documents)})
    found = rank_changes(same, same, asked)
    assert (found.better, found.worse, found.num_better, found.num_worse) == ((), (), 0, 0)


def test_of_several_texts_the_best_counts_and_a_lost_one_does_not() -> None:
    asked = task([{"0": 1, "2": 1}, {"lost": 1}], 3)
    axes = np.eye(3, dtype=np.float32)
    before = Table({"q0": axes[1], "q1": axes[0], **{f"d{place}": axes[place] for place in range(3)}})
    after = Table({"q0": axes[2], "q1": axes[0], **{f"d{place}": axes[place] for place in range(3)}})
    found = rank_changes(before, after, asked)
    assert [(one.before, one.after, one.first) for one in found.better] == [(2, 1, "d2")]
    assert found.worse == ()
