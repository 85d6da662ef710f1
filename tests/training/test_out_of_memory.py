"""What a run does where memory runs out: in the encoder (see also test_step.py), the loss, or for good."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from llmagentos.encoder import Encoder, can_go_on_after, is_out_of_memory
from llmagentos.errors import TrainingError
from llmagentos.loss import NTXentLoss
from llmagentos.tokens import TokenStore
from llmagentos.training import Budget, _step, batch_at, train_encoder
from llmagentos.training._optimizer import bytes_to_come, make_optimizer, update
from llmagentos.training._step import StepGradient
from llmagentos.views import ViewBatch, Views

from .small import CONFIG, VIEWS, Hungry, bert, bert_of, make_pairs, make_store, make_texts, static, train

OUT_OF_MEMORY = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 5 bytes"


class HungryLoss(NTXentLoss):
    """Memory runs out in its first calls."""

    def __init__(self, times: int) -> None:
        super().__init__(0.1)
        self.times = times

    def forward(self, *arguments: Any, **options: Any) -> Tensor:
        self.times -= 1
        if self.times >= 0:
            raise RuntimeError(OUT_OF_MEMORY)
        loss: Tensor = super().forward(*arguments, **options)
        return loss


@pytest.fixture
def encoder() -> Hungry:
    encoder = bert_of(Hungry)
    encoder.micro_batch_tokens = 64
    return encoder.eval()


@pytest.fixture
def pairs(encoder: Hungry, tmp_path: Path) -> ViewBatch:
    texts = make_store(tmp_path / "texts", make_texts(40), encoder.tokenizer)
    return make_pairs(texts)


def make(encoder: Encoder, loss: NTXentLoss | None = None, **options: Any) -> StepGradient:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return StepGradient(encoder, loss or NTXentLoss(0.1), "fp32", scaler, **options)


def gradients(encoder: Encoder) -> list[Tensor]:
    return [p.grad.clone() for p in encoder.parameters() if p.grad is not None]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) > 0 and all(map(torch.equal, left, right))


@pytest.mark.parametrize("times", [1, 2])
def test_in_the_loss_the_step_is_done_again_with_less_kept(
    encoder: Hungry, pairs: ViewBatch, times: int
) -> None:
    other = copy.deepcopy(encoder)
    assert make(encoder)(pairs, 5).recomputed == 0
    make(other, HungryLoss(times))(pairs, 5)
    assert same(gradients(encoder), gradients(other))


def test_a_pass_that_failed_keeps_no_graph_until_the_loss(encoder: Hungry, pairs: ViewBatch) -> None:
    calls: list[str] = []

    class Watched(NTXentLoss):
        def forward(self, *arguments: Any, **options: Any) -> Tensor:
            calls.append("loss")
            loss: Tensor = super().forward(*arguments, **options)
            return loss

    encoder.micro_batch_tokens, encoder.most = 256, 60
    make(encoder, Watched(0.1))(pairs, 5)
    assert calls == ["loss"]  # of the attempt that went through


def test_more_is_kept_again_after_a_while(
    encoder: Hungry, pairs: ViewBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_step, "_STEPS_TO_KEEP_MORE", 3)
    step = make(encoder, HungryLoss(2))
    shares = []
    for _ in range(9):
        step(pairs, 5)
        shares.append(step._share)
    assert shares == [2, 2, 1, 1, 1, 0, 0, 0, 0]


def test_a_static_encoder_is_told_to_take_smaller_batches(store: TokenStore, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"with 16 pairs of texts; lower training\.batch_size"):
        train_encoder(
            static(store.tokenizer),
            Views(store, VIEWS),
            len(store),
            HungryLoss(9),
            CONFIG,
            Budget(steps=2),
            tmp_path / "run",
        )
    assert (tmp_path / "run" / "micro_batches.json").read_text() == f"[[0, {CONFIG.micro_batch_tokens}]]"


def test_micro_batches_are_halved_while_any_has_two_texts(encoder: Hungry, pairs: ViewBatch) -> None:
    lowered: list[int] = []
    encoder.micro_batch_tokens, encoder.most = 1024, 0
    with pytest.raises(TrainingError, match=r"with one text of .* at a time; lower training\.max_tokens"):
        make(encoder, on_lowered=lowered.append)(pairs, 5)
    lengths = torch.from_numpy(np.concatenate([pairs.a.lengths, pairs.b.lengths]))
    assert {len(rows) for rows in encoder.micro_batches(lengths)} == {1}
    encoder.micro_batch_tokens = lowered[-2]
    assert max(len(rows) for rows in encoder.micro_batches(lengths)) > 1


def test_in_the_optimiser_it_says_what_to_do(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = static(store.tokenizer)
    optimizer = make_optimizer(encoder, CONFIG)

    def step(*_: Any) -> None:
        raise RuntimeError(OUT_OF_MEMORY)

    monkeypatch.setattr(optimizer, "step", step)
    with pytest.raises(TrainingError, match=r"for the optimiser; .* training\.optimizer=sgd"):
        update(optimizer, torch.amp.GradScaler("cpu", enabled=False), 0.1)


def test_what_a_new_optimiser_will_take(store: TokenStore) -> None:
    encoder = static(store.tokenizer)
    weights = sum(parameter.nbytes for parameter in encoder.parameters())
    assert bytes_to_come(make_optimizer(encoder, CONFIG)) == 2 * weights
    assert bytes_to_come(make_optimizer(encoder, replace(CONFIG, optimizer="sgd"))) == weights


def test_anywhere_else_it_says_so_too(
    store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "zeros_like", no_room)  # of the first gradients
    with pytest.raises(TrainingError, match=r"ran out for training; end what else takes memory, or choose"):
        train(static(store.tokenizer), store, tmp_path / "run")


def test_what_could_not_be_measured_is_measured_later(encoder: Hungry, pairs: ViewBatch) -> None:
    step = make(encoder)
    encoder.most = 0
    step.fit(pairs)
    assert encoder.micro_batch_tokens == 64 and not step._graph.is_known
    encoder.most = 10_000
    assert step(pairs, 5).recomputed == 0 and step._graph.is_known


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("unable to mmap 5 bytes: Cannot allocate memory (12)"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (OSError(13, "Permission denied"), False),
        (FileNotFoundError(2, "No such file or directory", "out of memory.txt"), False),
    ],
)
def test_what_says_that_memory_ran_out(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_other_errors_are_left_alone(encoder: Hungry, pairs: ViewBatch) -> None:
    class Broken(NTXentLoss):
        def forward(self, *arguments: Any, **options: Any) -> Tensor:
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        make(encoder, Broken(0.1))(pairs, 5)


def test_where_no_product_is_possible_any_more_resuming_takes_less(tmp_path: Path) -> None:
    encoder = bert()
    store = make_store(tmp_path / "store", make_texts(64), encoder.tokenizer)
    config = replace(CONFIG, micro_batch_tokens=512)

    def refused(*_: Any) -> Any:  # test_memory.py has it for real
        raise RuntimeError("could not create a primitive descriptor for the matmul primitive")

    with mock.patch.object(type(encoder), "forward", refused), pytest.raises(TrainingError) as caught:
        train(encoder, store, tmp_path / "run", config=config)
    # Half of what the first batch has, and not of what it might have.
    views = Views(store, VIEWS).views(
        batch_at(0, batch_size=16, size=64, seed=0)[1], seed=0, epoch=0, max_tokens=20
    )
    lengths = torch.from_numpy(np.concatenate([views.a.lengths, views.b.lengths]))
    encoder.micro_batch_tokens = 512
    half = max(encoder.work(lengths[rows]).slots for rows in encoder.micro_batches(lengths)) // 2
    assert str(caught.value) == (
        "memory ran out, and this process cannot do the step again; a run that goes on takes "
        f"{half} token slots at a time (training.micro_batch_tokens)"
    )
    slots = tmp_path / "run" / "micro_batches.json"
    assert slots.read_text() == f"[[0, {half}]]"
    train(encoder, store, tmp_path / "run", config=config, steps=2, resume=True)  # no checkpoint was there
    assert slots.read_text() == f"[[0, {half}]]" and encoder.micro_batch_tokens == half
    assert not can_go_on_after(RuntimeError("could not create a primitive"))
    assert can_go_on_after(RuntimeError(OUT_OF_MEMORY))


@pytest.mark.parametrize(("fits", "slots"), [(10_000, 512), (300, 300), (80, 80), (0, 1)])
def test_a_run_begins_with_micro_batches_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: int, slots: int
) -> None:
    encoder = bert()
    store = make_store(tmp_path / "store", make_texts(64), encoder.tokenizer)
    measured = make(encoder.eval())  # as these views have it, which are crops
    _, first = batch_at(0, batch_size=16, size=64, seed=0)
    measured.fit(Views(store, VIEWS).views(first, seed=0, epoch=0, max_tokens=20))
    graph = measured._graph
    adam = 2 * sum(
        parameter.nbytes for parameter in encoder.parameters() if parameter.requires_grad
    )  # its means, yet to come
    free = (graph.fixed + graph.per_slot * fits + 1) / 0.6 + adam
    monkeypatch.setattr(_step, "free_bytes", lambda _: free)
    train(encoder, store, tmp_path / "run", config=replace(CONFIG, micro_batch_tokens=512), steps=2)
    assert (tmp_path / "run" / "micro_batches.json").read_text() == f"[[0, {slots}]]"
