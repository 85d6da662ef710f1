"""What an update does, and what is no number before one."""

from dataclasses import replace

import pytest
import torch

from llmagentos.errors import NonFiniteLossError
from llmagentos.training._optimizer import check_finite, clipped_norm, make_optimizer, update

from .small import CONFIG, bert, static, word_tokenizer


def no_scaler() -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", enabled=False)


def test_what_is_frozen_has_no_state() -> None:
    encoder = static(word_tokenizer())
    encoder.extra = torch.nn.Parameter(torch.ones(3))
    encoder.embedding.requires_grad_(False)
    groups = make_optimizer(encoder, CONFIG).param_groups
    assert [len(group["params"]) for group in groups] == [0, 1]


def test_sgd_has_momentum_and_takes_the_rate_of_the_step() -> None:
    encoder = static(word_tokenizer())
    before = encoder.embedding.detach().clone()
    optimizer = make_optimizer(encoder, replace(CONFIG, optimizer="sgd"))
    for rate in (0.5, 0.25):
        encoder.embedding.grad = torch.ones_like(encoder.embedding)
        update(optimizer, no_scaler(), rate)
    torch.testing.assert_close(encoder.embedding.detach(), before - 0.5 * 1 - 0.25 * 1.9)


def test_the_table_takes_its_share_of_the_rate() -> None:
    encoder = bert()
    assert encoder.table is encoder.backbone.get_parameter("embeddings.word_embeddings.weight")
    sgd = replace(CONFIG, optimizer="sgd", table_rate=0.1)
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    optimizer = make_optimizer(encoder, sgd)
    for parameter in encoder.parameters():
        parameter.grad = torch.ones_like(parameter)
    update(optimizer, no_scaler(), 0.5)
    for name, parameter in encoder.named_parameters():
        share = 0.0 if not parameter.requires_grad else 0.1 if parameter is encoder.table else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] - 0.5 * share)


def test_a_table_with_the_whole_rate_is_in_no_group_of_its_own() -> None:
    assert len(make_optimizer(bert(), CONFIG).param_groups) == 2
    assert len(make_optimizer(static(word_tokenizer()), replace(CONFIG, table_rate=0.1)).param_groups) == 2


@pytest.mark.parametrize(("length", "clipped"), [(10.0, 2.0), (1.0, 1.0)])
def test_long_gradients_are_shortened(length: float, clipped: float) -> None:
    encoder = static(word_tokenizer())
    optimizer = make_optimizer(encoder, CONFIG)
    gradient = torch.randn_like(encoder.embedding)
    encoder.embedding.grad = gradient * length / gradient.norm()
    assert clipped_norm(optimizer, no_scaler(), 2.0) == pytest.approx(length, rel=1e-5)
    assert encoder.embedding.grad.norm().item() == pytest.approx(clipped, rel=1e-5)


def test_the_length_is_that_of_the_gradient_before_it_was_scaled() -> None:
    encoder = static(word_tokenizer())
    optimizer = make_optimizer(encoder, CONFIG)
    scaler = torch.amp.GradScaler("cpu")
    torch.autograd.backward(scaler.scale(encoder.embedding.sum()))
    length = encoder.embedding.numel() ** 0.5
    assert clipped_norm(optimizer, scaler, 1e6) == pytest.approx(length, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "norm", "message"),
    [
        (float("nan"), 1.0, r"the loss became nan at step 7; .*lower than 0\.01"),
        (1.0, float("inf"), r"the gradient's length became inf at step 7"),
    ],
)
def test_what_is_no_number_stops_the_run(loss: float, norm: float, message: str) -> None:
    with pytest.raises(NonFiniteLossError, match=message):
        check_finite(loss, norm, no_scaler(), 7, CONFIG)
    check_finite(1.0, 1.0, no_scaler(), 7, CONFIG)


def test_fp16_may_overflow_while_it_has_a_scale() -> None:
    config = replace(CONFIG, precision="fp16")
    for scale in (1.0, 2.0**16):
        check_finite(1.0, float("inf"), torch.amp.GradScaler("cpu", init_scale=scale), 7, config)
    with pytest.raises(NonFiniteLossError, match="loss became inf"):
        check_finite(float("inf"), 1.0, torch.amp.GradScaler("cpu"), 7, config)
    with pytest.raises(NonFiniteLossError, match=r"or training\.precision=fp32"):
        check_finite(1.0, float("inf"), torch.amp.GradScaler("cpu", init_scale=0.5), 7, config)
