"""A transform's views are a pure function of (seed, epoch, place), through a real datasets.Dataset too."""

import copy
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from llmagentos.errors import InputError
from llmagentos.views import Views, ViewsConfig, ViewTransform

from ..cli import CHINESE, ENGLISH

TEXTS = [*ENGLISH, *CHINESE]
NOISY = ViewsConfig(preset="noisy", crop_min=0.5, crop_max=0.9, sentence_reordering=0.5)
VIEWS = Views(TEXTS, NOISY)

Row = tuple[str, str]


def rows(transform: ViewTransform, places: Sequence[int]) -> list[Row]:
    """The pairs of some places in one call."""
    return paired(transform({"index": places}))


def transform(epoch: int = 0, seed: int = 0, views: Views = VIEWS) -> ViewTransform:
    made = ViewTransform(views, seed=seed)
    made.epoch = epoch
    return made


def dataset(of: ViewTransform) -> Dataset:
    return Dataset.from_dict({"index": range(len(TEXTS))}).with_transform(of)


def paired(made: dict[str, list[str]]) -> list[Row]:
    return list(zip(made["anchor"], made["positive"], strict=True))


def collated(made: list[dict[str, str]]) -> list[Row]:
    return [(row["anchor"], row["positive"]) for row in made]


@settings(deadline=None)
@given(
    places=st.lists(st.integers(0, len(TEXTS) - 1), max_size=40),
    size=st.integers(1, 7),
    seed=st.integers(-(2**40), 2**40),
    epoch=st.integers(0, 1000),
)
def test_batches_order_and_neighbours_change_nothing(
    places: list[int], size: int, seed: int, epoch: int
) -> None:
    expected = VIEWS.strings(seed=seed, epoch=epoch)
    made = transform(epoch, seed)
    batched = [row for at in range(0, len(places), size) for row in rows(made, places[at : at + size])]
    assert batched == [expected[place] for place in places]


def test_another_epoch_and_another_seed_make_other_views() -> None:
    everything = list(range(len(TEXTS)))
    made = {
        (epoch, seed): rows(transform(epoch, seed), everything) for epoch in range(3) for seed in range(2)
    }
    for place in everything:
        assert len({pairs[place] for pairs in made.values()}) > 4  # of 6; a short text can repeat itself
    again = transform(epoch=2)
    again.epoch = 0
    assert rows(again, everything) == made[0, 0]


def test_the_views_are_those_of_a_fresh_object_in_another_process() -> None:
    places = list(range(0, len(TEXTS), 3))
    used = transform(epoch=4)
    expected = rows(used, places)
    for other in (
        pickle.loads(pickle.dumps(used)),
        copy.deepcopy(used),
        transform(4, 0, Views(TEXTS, NOISY)),
    ):
        assert other.epoch == 4
        assert rows(other, places) == expected


@pytest.mark.parametrize("places", [[3, 1], (3, 1), np.array([3, 1]), np.array([3, 1], dtype=np.int32)])
def test_places_may_be_a_list_or_an_array(places: Sequence[int]) -> None:
    assert rows(transform(), places) == [VIEWS.strings()[3], VIEWS.strings()[1]]


def test_no_rows_are_no_views() -> None:
    assert transform()({"index": []}) == {"anchor": [], "positive": []}


def test_columns_have_the_names_that_were_given_and_others_are_left_out() -> None:
    made = ViewTransform(VIEWS, index="row", columns=("query", "answer"))
    assert made({"row": [5], "label": [1]}) == {
        "query": [VIEWS.strings([5])[0][0]],
        "answer": [VIEWS.strings([5])[0][1]],
    }


@pytest.mark.parametrize(("columns", "told"), [({"text": [0], "id": [1]}, "text, id"), ({}, "none")])
def test_a_missing_column_says_which_there_are(columns: dict[str, list[int]], told: str) -> None:
    with pytest.raises(InputError, match=f"no column 'index', only {told}; add one"):
        transform()(columns)


@pytest.mark.parametrize("place", [-1, len(TEXTS)])
def test_a_place_of_no_text_is_refused(place: int) -> None:
    with pytest.raises(InputError, match=f"no text {place}; .* 0 to {len(TEXTS) - 1}"):
        transform()({"index": [0, place]})


def test_a_dataset_gives_fresh_views_every_epoch() -> None:
    made = transform()
    data = dataset(made)
    for epoch in range(3):
        made.epoch = epoch
        expected = VIEWS.strings(epoch=epoch)
        assert paired(data[:]) == expected
        assert data[4] == dict(zip(("anchor", "positive"), expected[4], strict=True))
        assert data[2:5]["anchor"] == [first for first, _ in expected[2:5]]
        assert data[[9, 9, 0]]["positive"] == [expected[place][1] for place in (9, 9, 0)]


def test_a_shuffled_or_split_dataset_has_the_same_views_and_follows_the_epoch() -> None:
    made = transform()
    data = dataset(made)
    parts = data.train_test_split(test_size=10, seed=0)
    for part in (data.shuffle(seed=3), data.select([7, 2]), parts["train"], parts["test"]):
        places = list(part.with_format(None)["index"])
        for epoch in (0, 5):
            made.epoch = epoch
            expected = VIEWS.strings(epoch=epoch)
            assert paired(part[:]) == [expected[place] for place in places]


def test_a_dataset_without_the_column_is_refused_when_it_is_read() -> None:
    data = Dataset.from_dict({"text": TEXTS}).with_transform(transform())
    with pytest.raises(InputError, match="no column 'index', only text"):
        data[0]


def test_texts_may_be_a_column_of_a_dataset() -> None:
    column = Dataset.from_dict({"text": TEXTS})["text"]
    assert rows(transform(views=Views(column, NOISY)), [6, 40]) == rows(transform(), [6, 40])


def test_written_down_by_map_they_are_the_same() -> None:
    made = transform(epoch=2)
    data = Dataset.from_dict({"text": TEXTS}).map(
        lambda _, places: made({"index": places}), with_indices=True, batched=True, batch_size=7
    )
    assert data.column_names == ["text", "anchor", "positive"]
    assert paired(data[:]) == VIEWS.strings(epoch=2)


def test_workers_make_the_same_views_and_fresh_ones_every_epoch() -> None:
    made = transform()
    loader = DataLoader(dataset(made), batch_size=5, num_workers=2, collate_fn=collated)
    for epoch in range(2):
        made.epoch = epoch
        assert [row for batch in loader for row in batch] == VIEWS.strings(epoch=epoch)
