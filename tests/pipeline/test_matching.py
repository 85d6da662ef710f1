"""Texts kept aside and how they are matched, against the formulas."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from llmagentos.corpus import Document, structural_pairs
from llmagentos.encoder import TransformerEncoder
from llmagentos.model import EmbeddingModel
from llmagentos.pipeline._matching import (
    cross_entropies,
    matchings,
    of_texts,
    reciprocal_ranks,
    texts_aside,
    with_smallest_hashes,
)
from llmagentos.training import TrainingConfig

from ..training.small import make_documents, make_texts

CONFIG = replace(TrainingConfig().resolved(pretrained=True), precision="fp32")


def test_cross_entropies_against_the_formula(encoder: TransformerEncoder) -> None:
    """At the temperature at which their mean is least, of 12 between 0.02 and 0.3."""
    documents = make_documents(make_texts(30))
    model = EmbeddingModel(encoder)

    def cross_entropy(queries: list[str], texts: list[str], temperature: float) -> npt.NDArray[np.float64]:
        similarities = model.encode(queries).astype(np.float64) @ model.encode(texts).T / temperature
        found: npt.NDArray[np.float64] = np.exp(similarities.diagonal()) / np.exp(similarities).sum(1)
        return -np.log(found)

    titles, texts = ([getattr(one, name) for one in documents] for name in ("title", "text"))
    cuts = [len(text) // 5 for text in texts]
    beginnings = [text[:cut] for text, cut in zip(texts, cuts, strict=True)]
    rests = [text[cut:] for text, cut in zip(texts, cuts, strict=True)]
    temperatures = [0.02 * 15 ** (step / 11) for step in range(12)]
    of_each = [
        (cross_entropy(titles, texts, t) + cross_entropy(beginnings, rests, t)) / 2 for t in temperatures
    ]
    expected = min(of_each, key=lambda values: float(values.mean()))
    found = cross_entropies(encoder, matchings(documents, structural_pairs(documents)), CONFIG)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_text_counts_once_however_often_it_is_matched(encoder: TransformerEncoder) -> None:
    documents = make_documents(make_texts(30))
    matched = matchings(documents, structural_pairs(documents[:25]))
    assert [len(one.texts) for one in matched] == [25, 30]
    ranks = reciprocal_ranks(encoder, matched, CONFIG)
    assert [one.shape for one in ranks] == [(25,), (30,)]
    values = of_texts(ranks, matched)
    assert values.shape == (30,)
    assert values.mean() == pytest.approx((ranks[0].mean() + ranks[1].mean()) / 2)
    assert values[25:] == pytest.approx(ranks[1][25:] / 2)


def test_a_kind_is_a_part_where_there_are_twenty_of_it() -> None:
    titled = make_documents(make_texts(30))
    chat = [
        Document(id=f"line {n}", text=text, group=f"talk {n // 2}", speaker="ab"[n % 2])
        for n, text in enumerate(make_texts(90)[30:])
    ]
    few = [replace(one, title="") for one in titled[:11]] + titled[11:]
    pairs, halves = matchings([*few, *chat], structural_pairs([*few, *chat]))
    assert {name: len(places) for name, places in pairs.parts.items()} == {"turn pairs": 30}  # and 19 titles
    assert halves.parts == {"beginnings": list(range(90))}
    pairs, _ = matchings([*titled, *chat], structural_pairs([*titled, *chat]))
    assert {name: len(places) for name, places in pairs.parts.items()} == {
        "title pairs": 30,
        "turn pairs": 30,
    }
    assert [pairs.queries[place] for place in pairs.parts["title pairs"]] == [one.title for one in titled]


def test_few_pairs_are_not_matched() -> None:
    documents = make_documents(make_texts(60))
    assert len(matchings(documents[:19], structural_pairs(documents))) == 1
    pairs, halves = matchings(documents[:20], structural_pairs(documents))
    assert pairs.queries == tuple(one.title for one in documents[:20])
    assert halves.queries == tuple(one.text[: len(one.text) // 5] for one in documents[:20])


def test_the_texts_kept_aside_do_not_depend_on_the_order() -> None:
    documents = make_documents(make_texts(300))
    kept = with_smallest_hashes(documents, 200)
    assert len(kept) == 200 and kept == with_smallest_hashes(reversed(documents), 200)


@pytest.mark.parametrize(
    ("number", "characters", "transforms", "aside"),
    [
        (1_999, 10, False, 0),
        (2_000, 1_000, False, 200),
        (30_000, 10, False, 600),
        (90_000, 1_000, False, 1_000),
        (90_000, 10, True, 1_000),
        (90_000, 500, True, 500),
        (90_000, 2_000, True, 200),
    ],
)
def test_a_share_of_the_texts_is_kept_aside(
    number: int, characters: int, *, transforms: bool, aside: int
) -> None:
    texts = [Document(id=str(place), text=f"{place:0{characters}d}") for place in range(number)]
    corpus: Any = SimpleNamespace(num_training=number, training=lambda: iter(texts))
    assert len(texts_aside(corpus, transforms=transforms)) == aside
