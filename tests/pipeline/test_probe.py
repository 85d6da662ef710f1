"""The trial that chooses views: fair, without a trace in the encoder, and right about what matches better."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from llmagentos.config import Config
from llmagentos.corpus import Document, structural_pairs
from llmagentos.encoder import TransformerEncoder
from llmagentos.loss import LossConfig
from llmagentos.model import EmbeddingModel
from llmagentos.pipeline import Trial, _preparing, _probe, _train, train
from llmagentos.pipeline._preparing import texts_aside
from llmagentos.pipeline._probe import candidates, choose_views, matchings, probe_texts, reciprocal_ranks
from llmagentos.training import TrainingConfig, TrainingResult
from llmagentos.views import Preset, Views, ViewsConfig

from ..encoder.tiny import save_models, tiny_bert
from ..training.small import make_store, make_texts

TEXTS = make_texts(80)
CONFIG = TrainingConfig(batch_size=32, learning_rate=1e-3, max_tokens=30).resolved(pretrained=True)
CONFIG = replace(CONFIG, precision="fp32")


def _documents(texts: list[str], *, titled: bool = True) -> list[Document]:
    return [
        Document(id=str(number), text=text, title=text.split(".")[0] if titled else "")
        for number, text in enumerate(texts)
    ]


@pytest.fixture
def encoder() -> TransformerEncoder:
    torch.manual_seed(0)
    return TransformerEncoder(*tiny_bert()).eval()


def _choose(
    encoder: TransformerEncoder, folder: Path, texts: list[Document], *, max_tokens: int = 30
) -> list[Trial]:
    store = make_store(folder / "store", TEXTS, encoder.tokenizer)
    return choose_views(
        encoder,
        candidates(ViewsConfig(), LossConfig(), 0.0, transforms=True, mean_tokens=100),
        lambda views: Views(store, views),
        matchings(texts, structural_pairs(texts)),
        replace(CONFIG, max_tokens=max_tokens),
        folder / "probe",
        on_trial=lambda trial: None,
    )


def test_the_encoder_is_as_it_was_and_the_best_is_first(encoder: TransformerEncoder, tmp_path: Path) -> None:
    start = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    trials = _choose(encoder, tmp_path, _documents(make_texts(100)[80:]))
    assert {trial.preset for trial in trials} == {"span", "dropout"}
    usual, best = (next(t for t in trials if t.preset == "span")), min(trials, key=lambda t: t.after)
    assert usual.over_usual == (0, 0, 0)
    assert trials[0] == (best if best.over_usual[2] < 0 else usual)
    for trial in trials:
        assert trial.over_usual[0] == pytest.approx(trial.after - usual.after, abs=1e-9)
        assert trial.over_usual[1] <= trial.over_usual[0] <= trial.over_usual[2]
    assert len({trial.before for trial in trials}) == 1
    assert all(torch.equal(start[name], tensor) for name, tensor in encoder.state_dict().items())
    assert not (tmp_path / "probe").exists()


def test_before_is_the_cross_entropy_of_finding_the_own_text(
    encoder: TransformerEncoder, tmp_path: Path
) -> None:
    """At the temperature at which it is least, of 12 between 0.02 and 0.3."""
    documents = _documents(make_texts(110)[80:])
    model = EmbeddingModel(encoder)

    def cross_entropy(queries: list[str], texts: list[str], temperature: float) -> float:
        similarities = model.encode(queries).astype(np.float64) @ model.encode(texts).T / temperature
        return float(-np.log(np.exp(similarities.diagonal()) / np.exp(similarities).sum(1)).mean())

    titles, texts = ([getattr(one, name) for one in documents] for name in ("title", "text"))
    cuts = [len(text) // 5 for text in texts]
    beginnings = [text[:cut] for text, cut in zip(texts, cuts, strict=True)]
    rests = [text[cut:] for text, cut in zip(texts, cuts, strict=True)]
    temperatures = [0.02 * 15 ** (step / 11) for step in range(12)]
    expected = min(
        (cross_entropy(titles, texts, t) + cross_entropy(beginnings, rests, t)) / 2 for t in temperatures
    )
    assert _choose(encoder, tmp_path, documents)[0].before == pytest.approx(expected, rel=1e-4)


def test_recipes_are_tried_on_as_many_tokens(
    encoder: TransformerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: dict[Preset, int] = {}

    def count(encoder: Any, views: Views, *arguments: Any) -> TrainingResult:
        budget, folder = arguments[3:5]
        steps[views.recipe.preset] = budget.steps
        folder.mkdir()
        return TrainingResult(steps=budget.steps, batch_size=32, epochs=1, seconds=1, checkpoint=folder)

    monkeypatch.setattr(_probe, "train_encoder", count)
    _choose(encoder, tmp_path, _documents(make_texts(90)[80:]), max_tokens=500)
    assert steps["dropout"] == 10  # whole texts; crops of 30 to 80% are about half as long
    assert 14 <= steps["span"] <= 26


def test_a_text_counts_once_however_often_it_is_matched(encoder: TransformerEncoder) -> None:
    documents = _documents(make_texts(30))
    matched = matchings(documents, structural_pairs(documents[:25]))
    assert [len(one.texts) for one in matched] == [25, 30]
    values = reciprocal_ranks(encoder, matched, CONFIG)
    each = [reciprocal_ranks(encoder, [one], CONFIG) for one in matched]
    assert values.shape == (30,)
    assert values.mean() == pytest.approx((each[0].mean() + each[1].mean()) / 2)
    assert values[25:] == pytest.approx(each[1][25:] / 2)


def test_few_pairs_are_not_matched() -> None:
    documents = _documents(make_texts(60))
    assert len(matchings(documents[:19], structural_pairs(documents))) == 1
    pairs, halves = matchings(documents[:20], structural_pairs(documents))
    assert pairs.queries == tuple(one.title for one in documents[:20])
    assert halves.queries == tuple(one.text[: len(one.text) // 5] for one in documents[:20])


@pytest.mark.parametrize(
    ("settled", "share", "number"),
    [({}, 0.3, 6), ({}, 0.0, 2), ({"preset": "seed"}, 0.3, 3), ({"pairs": 0.2}, 0.3, 2),
     ({"preset": "crop", "pairs": 0.0}, 0.3, 1)],
)  # fmt: skip
def test_what_the_user_settled_is_in_every_candidate(
    settled: dict[str, Any], share: float, number: int
) -> None:
    found = candidates(ViewsConfig(**settled), LossConfig(), share, transforms=True, mean_tokens=20)
    assert len(found) == number == len({(one.views.preset, one.views.pairs) for one in found})
    assert all(getattr(one.views, name) == value for one in found for name, value in settled.items())
    assert {one.loss.temperature for one in found} == {0.05}


@pytest.mark.parametrize(
    ("temperature", "pairs", "expected"),
    [
        (None, None, [(0.3, 0.05), (0.6, 0.05), (0.0, 0.05), (0.6, 0.1)]),
        (0.05, None, [(0.3, 0.05), (0.6, 0.05), (0.0, 0.05)]),
        (0.07, 0.2, [(0.2, 0.07)]),
        (None, 0.2, [(0.2, 0.05), (0.2, 0.1)]),
        (None, 0.0, [(0.0, 0.05)]),
    ],
)
def test_pairs_of_short_texts_may_have_a_higher_temperature(
    temperature: float | None, pairs: float | None, expected: list[tuple[float, float]]
) -> None:
    settings = ViewsConfig(pairs=pairs), LossConfig(temperature=temperature)
    found = candidates(*settings, 0.3, transforms=False, mean_tokens=20)
    assert [(one.views.pairs, one.loss.temperature) for one in found] == expected


def test_on_long_texts_a_static_encoder_has_no_choice() -> None:
    found = candidates(ViewsConfig(), LossConfig(), 0.3, transforms=False, mean_tokens=200)
    assert [(one.views.pairs, one.loss.temperature) for one in found] == [(0.3, 0.05)]


def test_the_texts_kept_aside_do_not_depend_on_the_order() -> None:
    documents = _documents(make_texts(300))
    kept = probe_texts(documents, 200)
    assert len(kept) == 200 and kept == probe_texts(reversed(documents), 200)


@pytest.mark.parametrize(
    ("number", "pretrained", "aside"),
    [
        (1_999, False, 0),
        (2_000, False, 200),
        (30_000, False, 600),
        (90_000, False, 1_000),
        (90_000, True, 200),
    ],
)
def test_a_share_of_the_texts_is_kept_aside(number: int, *, pretrained: bool, aside: int) -> None:
    texts = [Document(id=str(place), text=f"text {place}") for place in range(number)]
    corpus: Any = SimpleNamespace(num_training=number, training=lambda: iter(texts))
    assert len(texts_aside(corpus, pretrained=pretrained)) == aside


def test_what_is_chosen_is_what_the_run_trains_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Trial(
        preset="crop", pairs=0.6, temperature=0.1, before=2.0, after=1.0, over_usual=(-1, -2, -0.5)
    )
    monkeypatch.setattr(_preparing, "choose_views", lambda *arguments, **options: [chosen])
    monkeypatch.setattr(_preparing, "_FEWEST_TEXTS", 100)
    trained = train(_documents(make_texts(300)), tmp_path / "model", steps=2)
    config = Config.from_file(trained.path / "config.toml")
    assert (config.views.pairs, config.loss.temperature) == (0.6, 0.1)
    assert trained.report is not None and "temperature 0.1" in str(trained.trials[0])


@pytest.mark.parametrize(("minutes", "tried"), [(4.9, False), (5.0, True), (None, True)])
def test_little_time_is_not_spent_on_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float | None, tried: bool
) -> None:
    class TriedError(Exception):
        pass

    def stop(*arguments: Any, **options: Any) -> None:
        raise TriedError

    monkeypatch.setattr(_preparing, "choose_views", stop)
    monkeypatch.setattr(_preparing, "_FEWEST_TEXTS", 100)
    monkeypatch.setattr(_train, "train_encoder", stop if not tried else None)
    bert = save_models(tmp_path / "models")["bert"]
    documents = _documents(make_texts(300))
    with pytest.raises(TriedError) as caught:
        train(documents, tmp_path / "model", encoder=str(bert), minutes=minutes)
    assert any(frame.name == "made_trials" for frame in caught.traceback) == tried
