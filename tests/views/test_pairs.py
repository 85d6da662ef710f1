"""Items of a run: texts and pairs in the share that was asked for, each a pure function of its number."""

import numpy as np
import pytest

from llmagentos.corpus import Document, TextPair
from llmagentos.tokens import (
    PairStore,
    TokenBatch,
    TokensConfig,
    build_pairs,
    build_store,
    concatenated,
    train_tokenizer,
)
from llmagentos.views import PairedViews, Views, ViewsConfig, permuted

TEXTS = [f"Text number {number} says something about water and ice." for number in range(30)]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> PairStore:
    folder = tmp_path_factory.mktemp("pairs")
    documents = [Document(id=text, text=text) for text in TEXTS]
    store = build_store(
        documents, train_tokenizer(documents, TokensConfig(vocabulary_size=300)), folder / "s"
    )
    found = (
        TextPair(kind="title", first=f"number {number}", second=text, text=text)
        for number, text in enumerate(TEXTS[:7])
    )
    built = build_pairs(found, store, folder / "p")
    assert built is not None
    return built


def items(pairs: PairStore, share: float) -> PairedViews:
    return PairedViews(Views(pairs.store, ViewsConfig(preset="crop", pairs=share)), pairs)


def rows(batch: TokenBatch) -> list[list[int]]:
    return [part.tolist() for part in np.split(batch.tokens, batch.offsets[1:-1])]


@pytest.mark.parametrize(("share", "number"), [(0.25, 40), (0.5, 60), (0.001, 31), (1.0, 7)])
def test_an_epoch_has_the_share_of_pairs(pairs: PairStore, share: float, number: int) -> None:
    assert len(items(pairs, share)) == number


def test_texts_are_seen_as_without_pairs(pairs: PairStore) -> None:
    mixed, single = items(pairs, 0.25), Views(pairs.store, ViewsConfig(preset="crop"))
    asked = np.array([3, 29, 0])
    got, want = (one.views(asked, seed=1, epoch=2, max_tokens=20) for one in (mixed, single))
    assert rows(got.a) == rows(want.a) and rows(got.b) == rows(want.b)
    assert got.hashes.tolist() == want.hashes.tolist()


def test_pairs_are_whole_and_carry_the_hash_of_their_text(pairs: PairStore) -> None:
    batch = items(pairs, 1.0).views(np.arange(7), seed=0, epoch=0, max_tokens=100)
    numbers = permuted(np.arange(7), 7, seed=0, epoch=0)
    first, second = pairs.batch(numbers)
    assert rows(batch.b) == rows(second)
    for view, whole in zip(rows(batch.a), rows(first), strict=True):
        rest = iter(whole)
        assert view and all(token in rest for token in view)  # in their order, and some left
    assert batch.hashes.tolist() == pairs.store.hashes[numbers].tolist()


def test_later_epochs_have_the_other_pairs(pairs: PairStore) -> None:
    few = items(pairs, 0.1)  # 3 of 7 an epoch
    seen = [
        few.views(np.array([30, 31, 32]), seed=0, epoch=epoch, max_tokens=50).hashes for epoch in range(3)
    ]
    assert len(set(np.concatenate(seen).tolist())) == 7


def test_an_epoch_has_pairs_from_all_over_the_text(pairs: PairStore) -> None:
    few = items(pairs, 0.1)
    places = pairs.store.hashes[:7].tolist()
    for seed in range(20):
        taken = few.views(np.array([30, 31, 32]), seed=seed, epoch=0, max_tokens=50).hashes
        if {places.index(one) for one in taken} != {0, 1, 2}:
            return
    raise AssertionError("the first three pairs, whatever the seed")


def test_a_pair_and_its_text_in_one_batch_have_the_same_hash(pairs: PairStore) -> None:
    (text,) = permuted(np.array([0]), 7, seed=0, epoch=0)
    batch = items(pairs, 0.25).views(np.array([30, text]), seed=0, epoch=0, max_tokens=50)
    assert batch.hashes[0] == batch.hashes[1]


def test_no_side_is_too_long_and_any_part_of_it_may_be_taken(pairs: PairStore) -> None:
    alone = items(pairs, 1.0)
    batches = [alone.views(np.arange(7), seed=0, epoch=epoch, max_tokens=5) for epoch in range(40)]
    assert all(batch.b.lengths.max() <= 5 and batch.b.lengths.min() > 0 for batch in batches)
    taken = concatenated([batch.b for batch in batches])
    assert len({tuple(row) for row in rows(taken)}) > 20


def test_items_do_not_depend_on_the_batch(pairs: PairStore) -> None:
    mixed = items(pairs, 0.25)
    together = mixed.views(np.array([2, 33, 38]), seed=5, epoch=1, max_tokens=8)
    apart = [mixed.views(np.array([number]), seed=5, epoch=1, max_tokens=8) for number in (2, 33, 38)]
    assert rows(together.a) == rows(concatenated([batch.a for batch in apart]))
    assert rows(together.b) == rows(concatenated([batch.b for batch in apart]))
