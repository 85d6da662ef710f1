"""The trial of recipes: fair, without a trace in the encoder, and right about what matches better."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from llmagentos.config import Config
from llmagentos.corpus import Document, structural_pairs
from llmagentos.encoder import Encoder, StaticEncoder, TransformerEncoder
from llmagentos.loss import LossConfig, NTXentLoss
from llmagentos.pipeline import Trial, _matching, _preparing, _probe, _train, train
from llmagentos.pipeline._matching import cross_entropies, matchings
from llmagentos.pipeline._probe import Candidate, candidates, choose_recipe, told
from llmagentos.pipeline._summary import print_summary
from llmagentos.training import ResolvedTrainingConfig, TrainingConfig, TrainingResult, train_encoder
from llmagentos.views import PairedViews, Preset, Views, ViewsConfig

from ..encoder.tiny import save_models
from ..training.small import make_documents, make_store, make_texts

TEXTS = make_texts(80)
CONFIG = TrainingConfig(batch_size=32, learning_rate=1e-3, max_tokens=30).resolved(pretrained=True)
CONFIG = replace(CONFIG, precision="fp32")


def _choose(
    encoder: TransformerEncoder,
    folder: Path,
    texts: list[Document],
    *,
    max_tokens: int = 30,
    seconds: float | None = None,
) -> list[Trial]:
    store = make_store(folder / "store", TEXTS, encoder.tokenizer)
    return choose_recipe(
        encoder,
        candidates(ViewsConfig(), None, 0.0, transforms=True, mean_tokens=100),
        lambda recipe: Views(store, ViewsConfig(preset=recipe.preset)),
        LossConfig(),
        matchings(texts, structural_pairs(texts)),
        replace(CONFIG, max_tokens=max_tokens),
        folder / "probe",
        seconds=seconds,
        on_trial=lambda trial: None,
    )


def test_the_encoder_is_as_it_was_and_the_best_is_first(encoder: TransformerEncoder, tmp_path: Path) -> None:
    start = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    trials = _choose(encoder, tmp_path, make_documents(make_texts(100)[80:]))
    assert {trial.recipe.preset for trial in trials} == {"span", "dropout"}
    usual, best = (next(t for t in trials if t.recipe.preset == "span")), min(trials, key=lambda t: t.after)
    assert usual.over_usual == (0, 0, 0)
    assert trials[0] == (best if best.over_usual[2] < 0 else usual)
    for trial in trials:
        assert trial.over_usual[0] == pytest.approx(trial.after - usual.after, abs=1e-9)
        assert trial.over_usual[1] <= trial.over_usual[0] <= trial.over_usual[2]
    assert len({trial.before for trial in trials}) == 1
    assert all(torch.equal(start[name], tensor) for name, tensor in encoder.state_dict().items())
    assert not (tmp_path / "probe").exists()


def test_recipes_are_tried_on_as_many_tokens(
    encoder: TransformerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: dict[Preset, int] = {}

    def count(encoder: Any, views: Views, *arguments: Any) -> TrainingResult:
        budget, folder = arguments[3:5]
        steps[views.recipe.preset] = budget.steps
        folder.mkdir()
        return TrainingResult(
            steps=budget.steps, batch_size=32, epochs=1, read_enough=False, seconds=1, checkpoint=folder
        )

    monkeypatch.setattr(_probe, "train_encoder", count)
    _choose(encoder, tmp_path, make_documents(make_texts(90)[80:]), max_tokens=500)
    assert steps["dropout"] == 10  # whole texts; crops of 30 to 80% are about half as long
    assert 14 <= steps["span"] <= 26


@pytest.mark.parametrize(("seconds", "tried"), [(3.0, ["span", "dropout"]), (2.9, ["span"]), (1.9, [])])
def test_what_there_is_no_time_for_is_not_tried(
    encoder: TransformerEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    tried: list[Preset],
) -> None:
    """Matching takes half a second here, and a trial of it and more takes a second and a quarter."""
    now = [0.0]

    def match(*arguments: Any) -> Any:
        now[0] += 0.5
        return cross_entropies(*arguments)

    def learn(*arguments: Any) -> TrainingResult:
        now[0] += 0.75
        return train_encoder(*arguments)

    monkeypatch.setattr(_probe, "cross_entropies", match)
    monkeypatch.setattr(_probe, "train_encoder", learn)
    monkeypatch.setattr(_probe, "time", SimpleNamespace(monotonic=lambda: now[0]))
    trials = _choose(encoder, tmp_path, make_documents(make_texts(100)[80:]), seconds=seconds)
    assert {trial.recipe.preset for trial in trials} == set(tried)


def test_views_that_take_all_the_time_leave_no_trial(
    encoder: TransformerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    tokens_of_a_step = _probe._tokens_of_a_step

    def slowly(*arguments: Any) -> int:
        now[0] += 60
        return tokens_of_a_step(*arguments)

    monkeypatch.setattr(_probe, "_tokens_of_a_step", slowly)
    monkeypatch.setattr(_probe, "time", SimpleNamespace(monotonic=lambda: now[0]))
    assert _choose(encoder, tmp_path, make_documents(make_texts(100)[80:]), seconds=60) == []


@pytest.mark.parametrize(
    ("settled", "share", "number"),
    [({}, 0.3, 4), ({}, 0.0, 2), ({"preset": "seed"}, 0.3, 3), ({"pairs": 0.2}, 0.3, 2),
     ({"preset": "crop", "pairs": 0.0}, 0.3, 1)],
)  # fmt: skip
def test_what_the_user_settled_is_in_every_candidate(
    settled: dict[str, Any], share: float, number: int
) -> None:
    found = candidates(ViewsConfig(**settled), None, share, transforms=True, mean_tokens=20)
    assert len(found) == number == len(set(found))
    assert all(getattr(one, name) == value for one in found for name, value in settled.items())


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
    found = candidates(ViewsConfig(pairs=pairs), temperature, 0.3, transforms=False, mean_tokens=20)
    assert [(one.pairs, one.temperature) for one in found] == expected


@pytest.mark.parametrize(
    ("temperature", "mean_tokens", "expected"), [(None, 20, 0.1), (None, 200, 0.05), (0.07, 20, 0.07)]
)
def test_a_transformer_takes_it_for_short_texts(
    temperature: float | None, mean_tokens: float, expected: float
) -> None:
    found = candidates(ViewsConfig(), temperature, 0.3, transforms=True, mean_tokens=mean_tokens)
    assert {one.temperature for one in found} == {expected}
    assert [one.preset for one in found[:2]] == ["span", "dropout"]


@pytest.mark.parametrize(
    ("once", "expected"),
    [
        (0.45, [0.6, 0.6, 0.3, 0.0]),
        (0.44, [0.3, 0.3, 0.6, 0.0]),
        (0.1, [0.1, 0.1, 0.6, 0.0]),
        (0.04, [0.0, 0.0]),
    ],
)
def test_a_transformer_takes_more_pairs_of_short_texts_where_there_are_many(
    once: float, expected: list[float]
) -> None:
    found = candidates(ViewsConfig(), None, once, transforms=True, mean_tokens=20)
    assert [one.pairs for one in found] == expected


@pytest.mark.parametrize(("pairs", "found"), [(0.3, 1), (0.25, 0)])
def test_trials_of_other_recipes_are_not_gone_on_from(
    encoder: TransformerEncoder, tmp_path: Path, pairs: float, found: int
) -> None:
    """As a version of the package that chose among others has left them."""
    left = Trial(recipe=Candidate("span", pairs, 0.05), before=2.0, after=1.0)
    (tmp_path / "probe.json").write_text(json.dumps([asdict(left)]), encoding="utf-8")
    recipes = [Candidate("span", 0.3, 0.05), Candidate("dropout", 0.3, 0.05)]
    arguments: Any = (encoder, recipes, None, LossConfig(), [], CONFIG, tmp_path, None, None)
    assert len(_preparing.made_trials(*arguments)) == found


def test_on_long_texts_a_static_encoder_has_no_choice() -> None:
    found = candidates(ViewsConfig(), None, 0.3, transforms=False, mean_tokens=200)
    assert found == [Candidate("crop", 0.3, 0.05)]


def test_where_nothing_was_tried_what_is_taken_is_told() -> None:
    recipes = candidates(ViewsConfig(), None, 0.3, transforms=False, mean_tokens=20)
    taken = "crop, 30% structural pairs, temperature 0.05, as is usual: there was no time for a trial"
    assert told([], recipes) == [taken] and told([], []) == []


def test_what_is_chosen_is_what_the_run_trains_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Trial(recipe=Candidate("span", 0.6, 0.1), before=2.0, after=1.0, over_usual=(-1, -2, -0.5))
    monkeypatch.setattr(_preparing, "choose_recipe", lambda *arguments, **options: [chosen])
    monkeypatch.setattr(_matching, "_FEWEST_TEXTS", 100)
    trained_with: list[tuple[Preset, float, float]] = []

    def spy(
        encoder: Encoder, items: Views | PairedViews, size: int, loss: NTXentLoss, *rest: Any, **options: Any
    ) -> TrainingResult:
        trained_with.append((items.recipe.preset, items.recipe.pairs, loss.temperature))
        return train_encoder(encoder, items, size, loss, *rest, **options)

    monkeypatch.setattr(_train, "train_encoder", spy)
    trained = train(make_documents(make_texts(300)), tmp_path / "model", steps=2)
    config = Config.from_file(trained.path / "config.toml")
    assert (config.views.preset, config.views.pairs, config.loss.temperature) == ("span", 0.6, 0.1)
    assert trained_with == [("span", 0.6, 0.1)]
    # Of all others it is said that nothing is known of them.
    console = Console(file=StringIO(), width=200)
    print_summary(console, trained, timed=False)
    assert isinstance(console.file, StringIO)
    line = "crop, temperature 0.05: not tried, for want of time"
    assert f"  {line}\n" in console.file.getvalue() and line in trained.html.read_text(encoding="utf-8")
    assert Candidate("crop", 0.0, 0.05) in trained.untried


def test_small_is_tried_as_the_table_that_it_begins_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[type[Encoder], int, bool]] = []

    def spy(encoder: Encoder, recipes: Sequence[Candidate], *rest: Any, **options: Any) -> list[Trial]:
        config = rest[3]
        assert isinstance(config, ResolvedTrainingConfig)
        tried.append((type(encoder), config.batch_size, {one.preset for one in recipes} == {"crop"}))
        return choose_recipe(encoder, recipes, *rest, **options)

    monkeypatch.setattr(_preparing, "choose_recipe", spy)
    monkeypatch.setattr(_matching, "_FEWEST_TEXTS", 100)
    settings = Config().override(["encoder.dimension=32", "encoder.heads=2", "training.batch_size=8"])
    trained = train(
        make_documents(make_texts(300)), tmp_path / "model", encoder="small", config=settings, steps=2
    )
    usual = TrainingConfig().resolved(pretrained=False).batch_size
    assert tried == [(StaticEncoder, usual, True)]
    assert len(trained.trials) == 4


@pytest.mark.parametrize(("minutes", "tried"), [(4.9, False), (5.0, True), (None, True)])
def test_little_time_is_not_spent_on_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float | None, tried: bool
) -> None:
    class TriedError(Exception):
        pass

    def stop(*arguments: Any, **options: Any) -> None:
        raise TriedError

    monkeypatch.setattr(_preparing, "choose_recipe", stop)
    monkeypatch.setattr(_matching, "_FEWEST_TEXTS", 100)
    monkeypatch.setattr(_train, "train_encoder", stop if not tried else None)
    bert = save_models(tmp_path / "models")["bert"]
    documents = make_documents(make_texts(300))
    with pytest.raises(TriedError) as caught:
        train(documents, tmp_path / "model", encoder=str(bert), minutes=minutes)
    assert any(frame.name == "made_trials" for frame in caught.traceback) == tried
