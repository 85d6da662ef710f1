"""`train_encoder`: what it learns, when it ends, and what it refuses."""

import copy
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from llmagentos.errors import CollapseError, ConfigError, LLMAgentOSError, NonFiniteLossError, TrainingError
from llmagentos.loss import NTXentLoss
from llmagentos.tokens import TokenStore
from llmagentos.training import (
    Budget,
    Metrics,
    TrainingConfig,
    _optimizer,
    _step,
    latest_checkpoint,
    read_metrics,
    read_state,
    train_encoder,
)
from llmagentos.views import ViewBatch, Views, ViewsConfig
from tests.encoder.tiny import tiny_bert, tiny_modernbert

from .small import CONFIG, VIEWS, Spoil, Spoilt, bert, make_store, make_texts, same_weights, static, train


def test_it_learns(store: TokenStore, folder: Path) -> None:
    encoder = static(store.tokenizer)
    result = train(encoder, store, folder, steps=60)
    rows = read_metrics(folder / "metrics.jsonl")
    assert rows[-1].loss < 0.7 * rows[0].loss
    assert [row.step for row in rows] == list(range(1, 61))
    assert (result.steps, result.epochs) == (60, 60 * 16 / 100)
    assert result.seconds > 0 and rows[-1].seconds <= result.seconds
    assert rows[-1].epoch == 59 // 6
    assert all(row.texts_per_second > 0 and row.tokens_per_second > 0 for row in rows)
    assert result.checkpoint == latest_checkpoint(folder / "checkpoints")
    assert read_state(result.checkpoint).step == 60
    assert not encoder.training


def test_the_same_run_twice_is_the_same(store: TokenStore, tmp_path: Path) -> None:
    encoders = [static(store.tokenizer) for _ in range(3)]
    for number, encoder in enumerate(encoders):
        config = replace(CONFIG, seed=number // 2)
        train(encoder, store, tmp_path / str(number), config=config)
    assert same_weights(encoders[0], encoders[1])
    assert not same_weights(encoders[0], encoders[2])


def test_metrics_are_told_as_they_are_written(store: TokenStore, folder: Path) -> None:
    seen: list[Metrics] = []
    train(static(store.tokenizer), store, folder, steps=8, on_metrics=seen.append)
    assert seen == read_metrics(folder / "metrics.jsonl")


def test_about_200_rows_a_run_and_one_at_every_checkpoint(store: TokenStore, folder: Path) -> None:
    config = replace(CONFIG, checkpoint_steps=151, batch_size=4, max_tokens=4)
    train(static(store.tokenizer, 4), store, folder, config=config, steps=400)
    steps = [row.step for row in read_metrics(folder / "metrics.jsonl")]
    assert steps == sorted({1, *range(2, 401, 2), 151, 302})


@pytest.mark.parametrize(("number", "batch_size"), [(2, 16), (7, 16), (16, 16), (33, 16), (5, 2)])
def test_fewer_texts_than_a_batch_and_left_over_texts(tmp_path: Path, number: int, batch_size: int) -> None:
    store = make_store(tmp_path / "store", make_texts(number))
    seen: list[int] = []

    class Counted(Views):
        def views(self, indices: np.ndarray, **options: Any) -> ViewBatch:
            seen.append(len(np.unique(indices)))
            return super().views(indices, **options)

    config = replace(CONFIG, batch_size=batch_size)
    encoder = static(store.tokenizer)
    result = train(encoder, store, tmp_path / "run", config=config, views=Counted(store, VIEWS), steps=9)
    assert seen == [min(number, batch_size)] * 9
    assert result.epochs == 9 * min(number, batch_size) / number


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("keep", [True, False])
def test_what_a_row_says_of_the_work(
    tmp_path: Path, folder: Path, packed: bool, keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not keep:
        monkeypatch.setattr(_step, "_SHARES_TO_KEEP", (0.0,))
    encoder = bert()
    assert encoder.packs
    encoder.packs = packed
    store = make_store(tmp_path / "store", make_texts(40), encoder.tokenizer)
    config = replace(CONFIG, learning_rate=1e-3, micro_batch_tokens=100)
    train(encoder, store, folder, config=config, steps=3)
    rows = read_metrics(folder / "metrics.jsonl")
    assert [row.recomputed for row in rows] == [0.0 if keep else 1.0] * 3
    assert all(row.padding == 0 if packed else 0 < row.padding < 0.5 for row in rows)
    assert all(0 < row.flop_utilisation < 1 for row in rows)


def test_what_a_row_says_of_the_work_of_a_static_encoder(store: TokenStore, folder: Path) -> None:
    train(static(store.tokenizer), store, folder, steps=3)
    rows = read_metrics(folder / "metrics.jsonl")
    assert all(row.padding == row.recomputed == 0 and 0 < row.flop_utilisation < 1 for row in rows)


def test_tokens_of_a_row_are_those_of_both_views_and_special_ones(tmp_path: Path, folder: Path) -> None:
    seen: list[int] = []

    class Counted(Views):
        def views(self, indices: np.ndarray, **options: Any) -> ViewBatch:
            pairs = super().views(indices, **options)
            seen.append(len(pairs.a.tokens) + len(pairs.b.tokens) + 2 * 2 * len(indices))
            return pairs

    encoder = bert()
    store = make_store(tmp_path / "store", make_texts(40), encoder.tokenizer)
    train(encoder, store, folder, views=Counted(store, VIEWS), steps=3)
    for tokens, row in zip(seen, read_metrics(folder / "metrics.jsonl"), strict=True):
        assert row.tokens_per_second / row.texts_per_second == pytest.approx(tokens / 16)


def test_frozen_layers_stay_as_they_are(tmp_path: Path, folder: Path) -> None:
    encoder = bert()
    before = copy.deepcopy(encoder.state_dict())
    store = make_store(tmp_path / "store", make_texts(40), encoder.tokenizer)
    config = replace(CONFIG, freeze_layers=1, weight_decay=0.1)
    train(encoder, store, folder, config=config, views=Views(store, ViewsConfig(preset="noisy")), steps=3)
    changed = {name for name, weight in encoder.state_dict().items() if not torch.equal(weight, before[name])}
    layer = {name for name in before if "encoder.layer.1." in name}
    assert {name for name in layer if "key.bias" not in name} <= changed <= layer


@pytest.mark.parametrize("rate", [0.0, 0.01])
def test_a_table_may_take_less_of_the_learning_rate(tmp_path: Path, folder: Path, rate: float) -> None:
    encoder = bert()
    before = encoder.table.detach().clone()
    store = make_store(tmp_path / "store", make_texts(40), encoder.tokenizer)
    train(encoder, store, folder, config=replace(CONFIG, table_rate=rate, learning_rate=0.001), steps=3)
    moved = (encoder.table.detach() - before).abs().max().item()
    # One step of Adam is as long as the rate, and three are at most three times as long.
    assert 0 < moved < 3.1 * rate * 0.001 if rate else moved == 0


@pytest.mark.parametrize(("number", "message"), [(2, "below 2, the layers of"), (9, "below 2.*got 9")])
def test_a_transformer_needs_a_layer_to_train(tmp_path: Path, number: int, message: str) -> None:
    encoder = bert()
    store = make_store(tmp_path / "store", make_texts(40), encoder.tokenizer)
    with pytest.raises(ConfigError, match=message):
        train(encoder, store, tmp_path / "run", config=replace(CONFIG, freeze_layers=number))


def test_a_static_encoder_has_no_layers_to_freeze(store: TokenStore, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"freeze_layers must be 0 .*got 1 \(training\.freeze_layers\)"):
        train(static(store.tokenizer), store, folder, config=replace(CONFIG, freeze_layers=1))


@pytest.mark.parametrize("number", [0, 1])
def test_one_text_is_too_few(store: TokenStore, folder: Path, number: int) -> None:
    with pytest.raises(TrainingError, match=f"at least 2 texts, got {number}; give more text"):
        train_encoder(
            static(store.tokenizer),
            Views(store, VIEWS),
            number,
            NTXentLoss(),
            CONFIG,
            Budget(steps=1),
            folder,
        )
    assert not folder.exists()


def test_epochs_end_a_run(store: TokenStore, folder: Path) -> None:
    config = replace(CONFIG, max_epochs=2)
    assert train(static(store.tokenizer), store, folder, config=config, budget=Budget()).steps == 12
    more = train(static(store.tokenizer), store, folder, config=config, steps=14)  # asked for by number
    assert more.steps == read_metrics(folder / "metrics.jsonl")[-1].total_steps == 14


def test_no_step_is_no_change(store: TokenStore, folder: Path) -> None:
    encoder = static(store.tokenizer)
    assert train(encoder, store, folder, steps=0).steps == 0
    assert same_weights(encoder, static(store.tokenizer))


def test_false_negatives_are_told_to_the_loss(tmp_path: Path, folder: Path) -> None:
    store = make_store(tmp_path / "store", make_texts(10) * 2)
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    class Spy(NTXentLoss):
        def forward(self, h_a: Tensor, h_b: Tensor, **keys: Any) -> Tensor:
            seen.append((keys["hashes"], keys["groups"]))
            return super().forward(h_a, h_b, **keys)

    options = (Views(store, VIEWS), len(store), Spy(0.1), CONFIG, Budget(steps=4), folder)
    train_encoder(static(store.tokenizer), *options)
    assert all(len(np.unique(hashes)) < len(hashes) == 16 for hashes, _ in seen)
    assert all((groups == 0).all() for _, groups in seen)


def test_texts_that_are_all_the_same_teach_nothing(tmp_path: Path, folder: Path) -> None:
    store = make_store(tmp_path / "store", make_texts(1) * 8)
    encoder = static(store.tokenizer)
    with pytest.raises(CollapseError):
        train(encoder, store, folder, views=Views(store, ViewsConfig(preset="dropout")))
    assert same_weights(encoder, static(store.tokenizer))  # no negatives, so no gradient


@pytest.mark.parametrize("build", [tiny_bert, tiny_modernbert])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_transformer_learns(tmp_path: Path, folder: Path, build: Callable[[], Any], optimizer: Any) -> None:
    encoder = transformer(build)
    store = make_store(tmp_path / "store", make_texts(40), encoder.tokenizer)
    config = replace(CONFIG, learning_rate=2e-3 if optimizer == "adamw" else 0.1, optimizer=optimizer)
    train(encoder, store, folder, config=config, steps=25)
    rows = read_metrics(folder / "metrics.jsonl")
    assert np.mean([row.loss for row in rows[-5:]]) < 0.9 * np.mean([row.loss for row in rows[:5]])


def transformer(build: Callable[[], Any]) -> Any:
    from llmagentos.encoder import TransformerEncoder

    torch.manual_seed(0)
    return TransformerEncoder(*build())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precisions_stay_near_fp32(tmp_path: Path, precision: Any) -> None:
    losses = []
    first = transformer(tiny_bert)  # copied: two trainings of a tokenizer do not give the same one
    store = make_store(tmp_path / "store", make_texts(40), first.tokenizer)
    runs: list[tuple[Any, Any]] = [("fp32", first), (precision, copy.deepcopy(first))]
    for value, encoder in runs:
        config = replace(CONFIG, learning_rate=1e-3, precision=value)
        train(encoder, store, tmp_path / value, config=config, steps=6)
        assert all(parameter.dtype == torch.float32 for parameter in encoder.parameters())
        losses.append([row.loss for row in read_metrics(tmp_path / value / "metrics.jsonl")])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


class OverflowsOnce(Spoilt):
    """A static encoder with an infinite gradient at one step."""

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        h: Tensor = self.static(tokens, offsets)
        self._left -= 1
        return self._spoil(h) if self._left == 0 else h


def test_fp16_skips_a_step_that_overflows_and_goes_on_exactly(store: TokenStore, folder: Path) -> None:
    def build(at: int) -> OverflowsOnce:
        return OverflowsOnce(store.tokenizer, Spoil("infinite gradient"), from_step=at)

    def stop(row: Metrics) -> None:
        if row.step == 7:
            raise KeyboardInterrupt

    config = replace(CONFIG, precision="fp16", checkpoint_steps=1)
    whole = build(4)
    train(whole, store, folder, config=config)
    rows = read_metrics(folder / "metrics.jsonl")
    assert [row.step for row in rows if not np.isfinite(row.gradient_norm)] == [4]
    assert all(np.isfinite(row.loss) for row in rows) and rows[-1].step == 12
    checkpoint = latest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None and read_state(checkpoint).gradient_scale["scale"] == 2.0**15
    other = folder.with_name("other")
    with pytest.raises(KeyboardInterrupt):
        train(build(4), store, other, config=config, on_metrics=stop)
    resumed = build(100)
    train(resumed, store, other, config=config, resume=True)
    assert same_weights(resumed, whole)


def test_fp16_stops_where_no_scale_helps(store: TokenStore, folder: Path) -> None:
    encoder = Spoilt(store.tokenizer, Spoil("infinite gradient"), from_step=4)
    config = replace(CONFIG, precision="fp16")
    # 2^16 is halved at each of the steps 4, 5, ... and is below 1 after step 20.
    with pytest.raises(NonFiniteLossError, match=r"length became (nan|inf) at step 20; .*precision=fp32"):
        train(encoder, store, folder, config=config, steps=40)


# What stops a run.


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        ("not a number", NonFiniteLossError, r"the loss became nan at step 8.*lower than 0\.01"),
        ("infinite gradient", NonFiniteLossError, r"became (nan|inf) at step 8"),
        ("one point", CollapseError, r"collapsed at step 10: .*lower learning rate than 0\.0"),
    ],
)
def test_a_spoilt_run_stops_and_keeps_the_good_checkpoint(
    store: TokenStore, folder: Path, spoil: str, error: type[LLMAgentOSError], message: str
) -> None:
    encoder = Spoilt(store.tokenizer, Spoil(spoil), from_step=8)
    with pytest.raises(error, match=message):
        train(encoder, store, folder, config=replace(CONFIG, checkpoint_steps=1), steps=40)
    kept = latest_checkpoint(folder / "checkpoints")
    assert kept is not None and read_state(kept).step == 7
    good = Spoilt(store.tokenizer, Spoil(spoil), from_step=100)
    train(good, store, folder, config=replace(CONFIG, checkpoint_steps=1), steps=40, resume=True)
    assert read_metrics(folder / "metrics.jsonl")[-1].step == 40


def test_a_learning_rate_of_ten_stops_a_transformer(tmp_path: Path, folder: Path) -> None:
    encoder = transformer(tiny_bert)
    store = make_store(tmp_path / "store", make_texts(40), encoder.tokenizer)
    config = replace(CONFIG, learning_rate=10.0, max_gradient_norm=1e6)
    with pytest.raises((CollapseError, NonFiniteLossError), match="learning rate"):
        train(encoder, store, folder, config=config, steps=40)


def test_a_narrow_start_is_given_time(store: TokenStore, folder: Path) -> None:
    encoder = Spoilt(store.tokenizer, Spoil("nearly one point"), from_step=0)
    train(encoder, store, folder, config=replace(CONFIG, learning_rate=10.0), steps=40)
    rows = read_metrics(folder / "metrics.jsonl")
    assert rows[0].dimension_deviation < 0.1 < rows[-1].dimension_deviation


def test_an_encoder_that_gives_all_texts_one_vector(store: TokenStore, folder: Path) -> None:
    encoder = Spoilt(store.tokenizer, Spoil("one point"), from_step=0)
    with pytest.raises(CollapseError, match="collapsed at step 3"):
        train(encoder, store, folder)
    assert latest_checkpoint(folder / "checkpoints") is None


# Going on.


def test_another_number_of_steps_is_refused(store: TokenStore, folder: Path) -> None:
    train(static(store.tokenizer), store, folder, steps=12)
    with pytest.raises(TrainingError, match=r"has 12 steps, got 20; .*without --steps, or train anew"):
        train(static(store.tokenizer), store, folder, steps=20, resume=True)
    again = train(static(store.tokenizer), store, folder, budget=Budget(deadline=1.0), resume=True)
    assert again.steps == 12


def test_other_settings_are_refused(store: TokenStore, folder: Path, tmp_path: Path) -> None:
    train(static(store.tokenizer), store, folder, recipe={"encoder": "static"})
    other_views, other_rate = replace(VIEWS, word_swap=0.3), replace(CONFIG, learning_rate=0.02)
    changes: list[tuple[str, dict[str, Any]]] = [
        (r"training\.seed was 0 and is now 1", {"config": replace(CONFIG, seed=1)}),
        (
            r"training\.learning_rate was 0\.01 and is now 0\.02",
            {"config": other_rate},
        ),
        (
            r"views\.word_swap was 0\.2 and is now 0\.3",
            {"views": Views(store, other_views)},
        ),
        (r"encoder was 'static' and is now 'other'", {"recipe": {"encoder": "other"}}),
    ]
    for message, change in changes:
        with pytest.raises(TrainingError, match=f"other settings: {message}; go on with the same settings"):
            arguments = {"recipe": {"encoder": "static"}, **change}
            train(static(store.tokenizer), store, folder, resume=True, **arguments)
    fewer = make_store(tmp_path / "fewer", make_texts(50))
    with pytest.raises(TrainingError, match="texts was 100 and is now 50"):
        train(static(store.tokenizer), fewer, folder, resume=True, recipe={"encoder": "static"})
    with pytest.raises(TrainingError, match=r"loss\.temperature was 0\.1 and is now 0\.2"):
        train_encoder(
            static(store.tokenizer),
            Views(store, VIEWS),
            len(store),
            NTXentLoss(0.2),
            CONFIG,
            Budget(steps=12),
            folder,
            recipe={"encoder": "static"},
            resume=True,
        )


def test_a_finished_run_that_is_resumed_stays_as_it_is(store: TokenStore, folder: Path) -> None:
    encoder, other = static(store.tokenizer), static(store.tokenizer)
    first = train(encoder, store, folder)
    again = train(other, store, folder, resume=True)
    assert same_weights(encoder, other)
    assert (again.steps, again.checkpoint) == (first.steps, first.checkpoint)
    assert [row.step for row in read_metrics(folder / "metrics.jsonl")] == list(range(1, 13))


def test_resume_without_a_checkpoint_begins(store: TokenStore, folder: Path) -> None:
    assert train(static(store.tokenizer), store, folder, resume=True).steps == 12


def test_a_new_run_replaces_what_an_old_one_left(store: TokenStore, folder: Path) -> None:
    train(static(store.tokenizer), store, folder, steps=12)
    encoder, other = static(store.tokenizer), static(store.tokenizer)
    assert train(encoder, store, folder, steps=4).checkpoint.name == "step-00000004"
    train(other, store, folder.with_name("other"), steps=4)
    assert same_weights(encoder, other)
    assert [row.step for row in read_metrics(folder / "metrics.jsonl")] == [1, 2, 3, 4]


def test_a_damaged_checkpoint_is_told(store: TokenStore, folder: Path) -> None:
    result = train(static(store.tokenizer), store, folder)
    weights = result.checkpoint / "state.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="does not fit"):
        train(static(store.tokenizer), store, folder, resume=True)


def test_decay_is_on_matrices_only() -> None:
    encoder = transformer(tiny_bert)
    config = replace(CONFIG, weight_decay=0.1)
    matrices, vectors = _optimizer.make_optimizer(encoder, config).param_groups
    assert matrices["weight_decay"] == 0.1 and all(p.ndim >= 2 for p in matrices["params"])
    assert vectors["weight_decay"] == 0.0 and all(p.ndim < 2 for p in vectors["params"])
    trainable = [p for p in encoder.parameters() if p.requires_grad]
    assert len(matrices["params"]) + len(vectors["params"]) == len(trainable)


def test_settings_that_are_resolved() -> None:
    assert None not in asdict(TrainingConfig().resolved(pretrained=False)).values()
    assert None not in asdict(TrainingConfig().resolved(pretrained=True)).values()
    assert TrainingConfig(batch_size=7, max_tokens=9).resolved(pretrained=True).batch_size == 7
    given = TrainingConfig(micro_batch_tokens=96, freeze_layers=2, shard=True).resolved(pretrained=True)
    assert (given.micro_batch_tokens, given.freeze_layers, given.shard) == (96, 2, True)
    assert TrainingConfig(**asdict(given)).resolved(pretrained=True) == given
    with pytest.raises(ConfigError, match=r"freeze_layers must be 0 for a static encoder.*got 2"):
        TrainingConfig(**asdict(given)).resolved(pretrained=False)
    with pytest.raises(ConfigError, match=r"table_rate must be 1 for a static encoder.*got 0\.5"):
        TrainingConfig(table_rate=0.5).resolved(pretrained=False)
    usual = TrainingConfig().resolved(pretrained=True)
    assert (usual.freeze_layers, usual.shard) == (0, False)
    assert usual.micro_batch_tokens == (65_536 if torch.cuda.is_available() else 2_048)


@pytest.mark.parametrize(("preset", "dropout"), [("crop", False), ("span", False), ("dropout", True)])
def test_dropout_is_on_only_where_crops_make_no_difference(
    store: TokenStore, folder: Path, preset: Any, dropout: bool
) -> None:
    modes: list[bool] = []

    class Watched(Spoilt):
        def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
            modes.append(self.training)
            return super().forward(tokens, offsets)

    encoder = Watched(store.tokenizer, Spoil("one point"), from_step=100)
    train(encoder, store, folder, views=Views(store, ViewsConfig(preset=preset)), steps=3)
    assert modes == [dropout] * 3
