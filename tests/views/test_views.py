"""Views of a store: a pure function of (seed, epoch, index), never empty, never too long."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmagentos.errors import ConfigError, InputError
from llmagentos.tokens import PROTECTED
from llmagentos.views import ViewBatch, Views, ViewsConfig
from llmagentos.views import _views as module

from .conftest import CHINESE, ENGLISH, MemoryStore, quick, rows, same, seeds, train

RELATED = {"fox": ["dog"], "text": ["features", "data"], "the": ["a"], "学习": ["模型"]}
EVERYTHING = ViewsConfig(
    crop_min=0.3,
    crop_max=0.9,
    sentence_reordering=0.5,
    word_replacement=0.3,
    word_swap=0.3,
    word_deletion=0.3,
    repetition=0.3,
    character_noise=0.3,
)
OFF = ViewsConfig(preset="dropout")
CONFIGS = {
    "everything": EVERYTHING,
    "no crop": replace(EVERYTHING, crop_min=1.0, crop_max=1.0),
    "paragraph": ViewsConfig(preset="paragraph"),
    "sentence": ViewsConfig(preset="sentence"),
    "seed": ViewsConfig(preset="seed"),
    "dropout": OFF,
}


@pytest.fixture(scope="module")
def mixed() -> MemoryStore:
    return MemoryStore(ENGLISH + CHINESE, train("metaspace", ENGLISH + CHINESE))


@pytest.fixture(scope="module", params=list(CONFIGS))
def views(request: pytest.FixtureRequest, mixed: MemoryStore) -> Views:
    return Views(mixed, CONFIGS[request.param], related=RELATED)


def both(batch: ViewBatch) -> list[tuple[list[int], list[int]]]:
    return list(zip(rows(batch.a), rows(batch.b), strict=True))


@quick
@given(seed=seeds, epoch=st.integers(0, 1000), order=st.permutations(range(6)), max_tokens=st.integers(1, 80))
def test_a_view_does_not_depend_on_its_batch(
    views: Views, seed: int, epoch: int, order: list[int], max_tokens: int
) -> None:
    def make(indices: list[int]) -> ViewBatch:
        return views.views(np.array(indices), seed=seed, epoch=epoch, max_tokens=max_tokens)

    together = both(make(order))
    assert both(make(order)) == together
    assert [both(make([index]))[0] for index in order] == together
    assert both(make([*order, *order])) == together * 2


@quick
@given(seed=seeds, max_tokens=st.integers(1, 80))
def test_no_view_is_empty_or_too_long(views: Views, seed: int, max_tokens: int) -> None:
    batch = views.views(np.arange(6), seed=seed, epoch=0, max_tokens=max_tokens)
    for view in (batch.a, batch.b):
        assert view.lengths.min() >= 1 and view.lengths.max() <= max_tokens
        assert (view.flags[view.offsets[:-1]] & 3 == 3).all()


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "metaspace", "bytes"])
def test_everything_off_is_the_identity(kind: str) -> None:
    texts = ENGLISH + CHINESE
    store = MemoryStore(texts, train(kind, texts))
    batch = Views(store, OFF).views(np.arange(6), seed=1, epoch=2, max_tokens=1000)
    assert same(batch.a, store.batch(np.arange(6)))
    assert same(batch.b, batch.a)
    assert rows(batch.a) == [encoding.ids for encoding in store.tokenizer.encode_batch(texts)]


def test_the_two_views_differ_and_so_do_epochs_and_seeds(mixed: MemoryStore) -> None:
    views = Views(mixed, EVERYTHING, related=RELATED)
    found = [views.views(np.arange(2), seed=s, epoch=e, max_tokens=99) for s in (0, 1) for e in (0, 1)]
    texts = [tuple(row) for batch in found for row in rows(batch.a) + rows(batch.b)]
    assert len(set(texts)) == len(texts)


def test_protected_units_survive_all_operations_but_the_crop(mixed: MemoryStore) -> None:
    config = replace(CONFIGS["no crop"], word_deletion=0.9, character_noise=0.9)
    texts = mixed.batch(np.arange(6))
    batch = Views(mixed, config, related=RELATED).views(np.arange(6), seed=0, epoch=0, max_tokens=500)
    for view in (batch.a, batch.b):
        for row in range(6):
            kept, found = (
                sorted(mixed.tokenizer.decode(part.tokens[span][protected].tolist()))
                for part in (texts, view)
                for span in [slice(part.offsets[row], part.offsets[row + 1])]
                for protected in [part.flags[span] & PROTECTED != 0]
            )
            # But for the space of a word that had none in its old place.
            kept, found = ([char for char in one if char not in " \u2581"] for one in (kept, found))
            assert kept == found


def test_hashes_and_groups_go_along(english: MemoryStore) -> None:
    batch = Views(english, ViewsConfig()).views(np.array([2, 0]), seed=0, epoch=0, max_tokens=64)
    assert batch.hashes.tolist() == [102, 100] and batch.groups.tolist() == [0, 0]


def test_large_batches_are_cut_without_a_seam(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    indices = np.arange(6).repeat(3)
    whole = views.views(indices, seed=3, epoch=0, max_tokens=50)
    monkeypatch.setattr(module, "_CHUNK_TEXTS", 4)
    cut = views.views(indices, seed=3, epoch=0, max_tokens=50)
    assert same(cut.a, whole.a) and same(cut.b, whole.b)


def test_the_steps_end_in_the_views(views: Views) -> None:
    batch = views.views(np.arange(6), seed=3, epoch=1, max_tokens=20)
    first, second = views.steps(np.arange(6), seed=3, epoch=1, max_tokens=20)
    assert same(first[-1].units.to_tokens(), batch.a)
    assert same(second[-1].units.to_tokens(), batch.b)


def test_no_texts_make_no_views(english: MemoryStore) -> None:
    batch = Views(english, ViewsConfig()).views(np.arange(0), seed=0, epoch=0, max_tokens=64)
    assert (len(batch.a), len(batch.b), batch.hashes.size) == (0, 0, 0)


def test_impossible_settings_are_refused(english: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_tokens must be at least 1, got 0"):
        Views(english, OFF).views(np.arange(2), seed=0, epoch=0, max_tokens=0)
    with pytest.raises(InputError, match=r"set views\.word_replacement=0 or give views\.dictionary"):
        Views(english, ViewsConfig(preset="seed"))
    dictionary = tmp_path / "words.tsv"
    dictionary.write_text("fox\tdog\n", encoding="utf-8")
    views = Views(english, ViewsConfig(preset="seed", dictionary=str(dictionary)))
    assert views.related == {"fox": ["dog"]}
    dictionary.write_text("北京\t首都\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"of the 1 words of the dictionary .* none can be replaced"):
        Views(english, ViewsConfig(preset="seed", dictionary=str(dictionary)))
