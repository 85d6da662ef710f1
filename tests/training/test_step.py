"""The gradient of one loss batch: the same however much of it is kept, and when memory runs out."""

import copy
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from llmagentos.encoder import Encoder
from llmagentos.errors import TrainingError
from llmagentos.loss import NTXentLoss
from llmagentos.tokens import TokenStore
from llmagentos.training import _step, batch_at, read_metrics
from llmagentos.training._memory import GraphSize
from llmagentos.training._step import StepGradient, StepResult, joined
from llmagentos.views import ViewBatch, Views, ViewsConfig

from .small import (
    CONFIG,
    VIEWS,
    Hungry,
    bert_of,
    make_pairs,
    make_store,
    make_texts,
    same_weights,
    static,
    train,
)

TEMPERATURE = 0.1


@pytest.fixture(scope="module")
def first() -> Hungry:
    encoder = bert_of(Hungry)
    encoder.micro_batch_tokens = 64
    return encoder


@pytest.fixture
def encoder(first: Hungry) -> Hungry:
    """With dropout."""
    return copy.deepcopy(first).train()


@pytest.fixture(scope="module")
def texts(first: Hungry, tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return make_store(tmp_path_factory.mktemp("texts") / "store", make_texts(40), first.tokenizer)


@pytest.fixture(scope="module")
def pairs(texts: TokenStore) -> ViewBatch:
    return make_pairs(texts)


def make(encoder: Encoder, precision: Any = "fp32", **options: Any) -> StepGradient:
    scaler = torch.amp.GradScaler("cpu", enabled=precision == "fp16")
    return StepGradient(encoder, NTXentLoss(TEMPERATURE), precision, scaler, **options)


def gradients(encoder: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}


def plain_gradients(encoder: Hungry, pairs: ViewBatch) -> tuple[float, dict[str, Tensor]]:
    """Of the whole batch in one pass, by autograd of the formula."""
    encoder = copy.deepcopy(encoder)
    encoder.most, encoder.micro_batch_tokens = 2**62, None
    h = encoder(*joined(pairs.a, pairs.b))
    z = functional.normalize(h.double(), dim=1)
    s = (z @ z.T / TEMPERATURE).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    other = torch.arange(len(z)).roll(len(z) // 2)
    loss = functional.cross_entropy(s, other)
    torch.autograd.backward(loss)
    return loss.item(), gradients(encoder)


def assert_near(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Within 1e-5 of the largest; some, as those of a key's bias, are nothing but rounding."""
    assert found.keys() == expected.keys()
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max().item() <= 1e-5 * largest, name


def kept(share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep all graphs, some, or none."""
    room = {"all": 2**40, "some": 1_500_000, "none": 0}[share]
    monkeypatch.setattr(_step, "free_bytes", lambda device: room)


def test_the_fixed_part_of_the_graphs_counts_once(
    encoder: Hungry, pairs: ViewBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = make(encoder)
    step._graph = GraphSize(fixed=1e6, per_slot=1.0)
    batches = step._micro_batches(*joined(pairs.a, pairs.b))
    assert len(batches) > 2
    for number, slots in enumerate(np.cumsum([batch.work.slots for batch in batches]), start=1):
        for spare, fitting in ((0.5, number), (-0.5, number - 1)):
            free = (1e6 + slots + spare) / step._shares[step._share]
            monkeypatch.setattr(_step, "free_bytes", lambda device, free=free: free)
            assert step._num_that_fit(batches) == fitting


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_what_is_kept_changes_no_bit(
    first: Hungry, pairs: ViewBatch, precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: dict[str, StepResult] = {}
    found: dict[str, dict[str, Tensor]] = {}
    for share in ("all", "some", "none"):
        kept(share, monkeypatch)
        encoder = copy.deepcopy(first).train()
        step = make(encoder, precision)
        for seed in (5, 9):  # the first step measures, and the others know
            results[share] = step(pairs, seed)
        found[share] = gradients(encoder)
    assert results["all"].recomputed == 0 and results["none"].recomputed == 1
    assert 0 < results["some"].recomputed < 1
    for share in ("some", "none"):
        assert results[share].loss == results["all"].loss
        assert torch.equal(results[share].h_a, results["all"].h_a)
        assert torch.equal(results[share].h_b, results["all"].h_b)
        assert found[share].keys() == found["all"].keys()
        for name, gradient in found["all"].items():
            assert torch.equal(found[share][name], gradient), name
    assert any(gradient.abs().max() > 0 for gradient in found["all"].values())


def test_the_first_step_keeps_only_what_there_is_room_for(
    encoder: Hungry, pairs: ViewBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept("some", monkeypatch)
    step = make(encoder)
    assert step(pairs, 5).recomputed == step(pairs, 5).recomputed
    kept("none", monkeypatch)
    assert make(encoder)(pairs, 5).recomputed == 1


def test_dropout_is_that_of_the_seed(encoder: Hungry, pairs: ViewBatch) -> None:
    step = make(encoder)
    first = step(pairs, 5)
    assert not torch.equal(first.h_a, step(pairs, 6).h_a)
    assert torch.equal(first.h_a, step(pairs, 5).h_a)


@pytest.mark.parametrize("share", ["all", "some", "none"])
@pytest.mark.parametrize("slots", [1, 64, 200, None])
def test_it_is_the_gradient_of_the_whole_batch(
    encoder: Hungry, pairs: ViewBatch, slots: int | None, share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(share, monkeypatch)
    encoder.eval()
    encoder.micro_batch_tokens = slots
    loss, expected = plain_gradients(encoder, pairs)
    result = make(encoder)(pairs, 5)
    assert result.loss == pytest.approx(loss, rel=1e-5)
    assert_near(gradients(encoder), expected)


def test_a_static_encoder_has_one_micro_batch(store: TokenStore) -> None:
    encoder = static(store.tokenizer)
    pairs = Views(store, VIEWS).views(np.arange(12), seed=0, epoch=0, max_tokens=20)
    h = functional.normalize(encoder(*joined(pairs.a, pairs.b)).double(), dim=1)
    s = (h @ h.T / TEMPERATURE).masked_fill(torch.eye(24, dtype=torch.bool), -torch.inf)
    loss = functional.cross_entropy(s, torch.arange(24).roll(12))
    (expected,) = torch.autograd.grad(loss, encoder.embedding)
    result = make(encoder)(pairs, 5)
    assert result.loss == pytest.approx(loss.item(), rel=1e-5) and result.recomputed == 0
    assert_near(gradients(encoder), {"embedding": expected})


def test_gradients_of_the_step_before_are_gone(encoder: Hungry, pairs: ViewBatch) -> None:
    step = make(encoder)
    step(pairs, 5)
    once = gradients(encoder)
    step(pairs, 5)
    assert all(torch.equal(gradient, once[name]) for name, gradient in gradients(encoder).items())


# When memory runs out.


def halved(encoder: Hungry, pairs: ViewBatch, slots: int, times: int) -> list[int]:
    """Half of what the largest micro-batch took, so many times."""
    encoder, found = copy.deepcopy(encoder), []
    lengths = torch.from_numpy(np.concatenate([pairs.a.lengths, pairs.b.lengths]))
    for _ in range(times):
        encoder.micro_batch_tokens = slots
        slots = max(encoder.work(lengths[rows]).slots for rows in encoder.micro_batches(lengths)) // 2
        found.append(slots)
    return found


@pytest.mark.parametrize("on_the_way_back", [False, True])
def test_a_step_for_which_memory_runs_out_is_done_again_with_less(
    encoder: Hungry, pairs: ViewBatch, on_the_way_back: bool
) -> None:
    lowered: list[int] = []
    encoder.eval()
    encoder.micro_batch_tokens, encoder.most, encoder.on_the_way_back = 256, 60, on_the_way_back
    loss, expected = plain_gradients(encoder, pairs)
    result = make(encoder, on_lowered=lowered.append)(pairs, 5)
    assert lowered == halved(encoder, pairs, 256, len(lowered))
    assert lowered[-1] == encoder.micro_batch_tokens
    assert encoder.micro_batch_tokens >= 32
    assert result.loss == pytest.approx(loss, rel=1e-5)
    assert_near(gradients(encoder), expected)


def test_the_step_done_again_is_the_one_that_would_have_been(encoder: Hungry, pairs: ViewBatch) -> None:
    other = copy.deepcopy(encoder)
    encoder.micro_batch_tokens, encoder.most = 256, 60
    make(encoder)(pairs, 5)
    other.micro_batch_tokens = encoder.micro_batch_tokens
    make(other)(pairs, 5)
    theirs = gradients(other)
    assert all(torch.equal(gradient, theirs[name]) for name, gradient in gradients(encoder).items())


class Crowded(Hungry):
    """Memory runs out while there is more than one graph."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.graphs: weakref.WeakSet[Tensor] = weakref.WeakSet()
        self.calls = 0

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        self.calls += 1
        h = super().forward(tokens, offsets)
        if torch.is_grad_enabled():
            self.graphs.add(h)
        return h + torch.empty(2**48) if len(self.graphs) > 1 else h


def test_less_is_kept_before_less_goes_at_once(encoder: Hungry, pairs: ViewBatch) -> None:
    lowered: list[int] = []
    _, expected = plain_gradients(encoder.eval(), pairs)
    crowded = Crowded(encoder.backbone, encoder._pretrained_tokenizer)
    crowded.micro_batch_tokens = 64
    number = len(crowded.micro_batches(joined(pairs.a, pairs.b)[1].diff()))
    step = make(crowded.eval(), on_lowered=lowered.append)
    assert step(pairs, 5).recomputed == 1
    assert_near(gradients(crowded), expected)
    # Two measure, then the first two attempts fail at their second micro-batch.
    assert lowered == [] and crowded.calls == 2 + 2 + 2 + 2 * number
    assert step(pairs, 5).recomputed == 1
    assert crowded.calls == 6 + 4 * number  # it remembers


def test_training_goes_on_with_less(first: Hungry, texts: TokenStore, folder: Path) -> None:
    encoder = copy.deepcopy(first)
    encoder.most = 60
    config = replace(CONFIG, micro_batch_tokens=256, learning_rate=1e-3, batch_size=4)
    views = Views(texts, ViewsConfig(preset="noisy"))  # with dropout
    assert train(encoder, texts, folder, config=config, views=views, steps=6).steps == 6
    ((step, slots),) = json.loads((folder / "micro_batches.json").read_text())
    _, rows = batch_at(0, batch_size=4, size=len(texts), seed=config.seed)
    begin = views.views(rows, seed=config.seed, epoch=0, max_tokens=config.max_tokens)
    assert step == 0 and slots in halved(encoder, begin, 256, 4)
    assert read_metrics(folder / "metrics.jsonl")[-1].step == 6
    other = copy.deepcopy(first)
    config = replace(config, micro_batch_tokens=encoder.micro_batch_tokens or 0)
    train(other, texts, folder.with_name("other"), config=config, views=views, steps=6)
    assert same_weights(encoder, other)


def test_memory_for_not_even_one_text(first: Hungry, texts: TokenStore, folder: Path) -> None:
    encoder = copy.deepcopy(first)
    encoder.most = 0
    message = r"with one text of \d+ tokens at a time; lower training\.max_tokens, choose a smaller encoder"
    with pytest.raises(TrainingError, match=message):
        train(encoder, texts, folder, config=replace(CONFIG, batch_size=4), steps=6)


class Broken(Hungry):
    """An encoder with a fault that has nothing to do with memory."""

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_other_errors_come_through(first: Hungry, texts: TokenStore, folder: Path) -> None:
    encoder = Broken(first.backbone, first._pretrained_tokenizer)
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2 shapes cannot be multiplied$") as told:
        train(encoder, texts, folder)
    assert type(told.value) is RuntimeError
