"""Training on a GPU: the same gradient however much of it is kept, compiled or not."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from llmagentos.loss import NTXentLoss, ntxent
from llmagentos.model import EmbeddingModel
from llmagentos.tokens import TokenStore
from llmagentos.training import _step, read_metrics
from llmagentos.training._compile import compiled_layers
from llmagentos.training._memory import free_bytes
from llmagentos.training._step import StepGradient
from llmagentos.views import ViewBatch
from tests.loss.reference import plain

from .small import CONFIG, bert, make_pairs, make_store, make_texts, static, train

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU on this machine"),
    # What PyTorch 2.11 and its compiler say of themselves, and that fp32 might be rounded to TF32.
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning", "ignore:TensorFloat32"
    ),
]

# The backward pass of FlashAttention adds up in any order.
CLOSE = 1e-2


@pytest.fixture(scope="module")
def encoder() -> Any:
    """With dropout."""
    encoder = bert()
    encoder.micro_batch_tokens = 64
    return encoder.train().cuda()


@pytest.fixture(scope="module")
def texts(encoder: Any, tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return make_store(tmp_path_factory.mktemp("texts") / "store", make_texts(40), encoder.tokenizer)


@pytest.fixture(scope="module")
def pairs(texts: TokenStore) -> ViewBatch:
    return make_pairs(texts)


def gradient(encoder: Any, pairs: ViewBatch, precision: Any, shares: Any = (0.6,)) -> tuple[Tensor, float]:
    scaler = torch.amp.GradScaler("cuda", enabled=precision == "fp16")
    step = StepGradient(encoder, NTXentLoss(0.1), precision, scaler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_step, "_SHARES_TO_KEEP_ON_A_GPU", shares)
        result = step(pairs, 5)
    both = [p.grad.flatten() / scaler.get_scale() for p in encoder.parameters() if p.grad is not None]
    return torch.cat(both), result.recomputed


def apart(left: Tensor, right: Tensor) -> float:
    """Length of the difference, of that of the right one."""
    return float((left - right).norm() / right.norm())


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_what_is_kept_changes_nothing(encoder: Any, pairs: ViewBatch, precision: Any, compiled: bool) -> None:
    encoder = copy.deepcopy(encoder)
    if compiled:
        with compiled_layers(encoder):
            kept, none = gradient(encoder, pairs, precision)
            again, everything = gradient(encoder, pairs, precision, (0.0,))
    else:
        kept, none = gradient(encoder, pairs, precision)
        again, everything = gradient(encoder, pairs, precision, (0.0,))
    assert (none, everything) == (0.0, 1.0)
    assert apart(again, kept) < (1e-4 if precision == "fp32" else CLOSE)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_layers_give_the_same(encoder: Any, pairs: ViewBatch, precision: Any) -> None:
    still = copy.deepcopy(encoder).eval()  # without dropout, whose numbers are others there
    usual, _ = gradient(still, pairs, precision)
    names = list(still.state_dict())
    with compiled_layers(still):
        compiled, _ = gradient(still, pairs, precision)
        assert list(still.state_dict()) == names
    assert apart(compiled, usual) < (1e-4 if precision == "fp32" else 2e-2)
    assert all(layer._compiled_call_impl is None for layer in still.layers)


def test_the_loss_is_that_of_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(1500, 64, generator=generator) for _ in range(2))
    wide = a.double().requires_grad_(), b.double().requires_grad_()
    expected = plain(wide[0], wide[1], 0.05)
    on_gpu = a.cuda().requires_grad_(), b.cuda().requires_grad_()
    loss = ntxent(on_gpu[0], on_gpu[1], 0.05)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    found, right = torch.autograd.grad(loss, on_gpu), torch.autograd.grad(expected, wide)
    for one, other in zip(found, right, strict=True):
        assert apart(one.cpu().double(), other) < 1e-5


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_run_learns_and_goes_on(encoder: Any, texts: TokenStore, tmp_path: Path, precision: Any) -> None:
    config = replace(CONFIG, precision=precision, queue_size=32, compile=precision == "bf16")
    trained = copy.deepcopy(encoder)
    train(trained, texts, tmp_path / "whole", config=config, steps=12)
    rows = read_metrics(tmp_path / "whole" / "metrics.jsonl")
    assert rows[-1].loss < rows[0].loss
    assert 0 < rows[-1].flop_utilisation < 1
    broken = copy.deepcopy(encoder)
    with pytest.raises(KeyboardInterrupt):
        train(broken, texts, tmp_path / "part", config=config, steps=12, on_metrics=Interrupt(8))
    resumed = copy.deepcopy(encoder)
    train(resumed, texts, tmp_path / "part", config=config, steps=12, resume=True)
    assert read_metrics(tmp_path / "part" / "metrics.jsonl")[-1].loss == pytest.approx(
        rows[-1].loss, rel=0.05
    )
    assert EmbeddingModel(resumed).encode(["a", "b"]).shape == (2, 32)


class Interrupt:
    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, row: Any) -> None:
        if row.step == self.step:
            raise KeyboardInterrupt


def test_static_learns(encoder: Any, texts: TokenStore, tmp_path: Path) -> None:
    small = static(encoder.tokenizer).cuda()
    train(small, texts, tmp_path / "run", steps=40)
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert rows[-1].loss < rows[0].loss


def test_memory_that_runs_out_lowers_what_goes_at_once(
    encoder: Any, texts: TokenStore, tmp_path: Path
) -> None:
    large = copy.deepcopy(encoder)
    config = replace(CONFIG, batch_size=40, micro_batch_tokens=100_000, max_tokens=60)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    # 4 MB more than what is there already: the graph of all texts at once does not fit.
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 4 * 2**20) / total)
    try:
        train(large, texts, tmp_path / "run", config=config, steps=3)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (tmp_path / "run" / "micro_batches.json").read_text() != "[[0, 100000]]"


def test_free_memory_is_that_of_the_gpu() -> None:
    device = torch.device("cuda", 0)
    before = free_bytes(device)
    block = torch.zeros(2**30, dtype=torch.uint8, device=device)
    assert before - free_bytes(device) == pytest.approx(2**30, rel=0.1)
    del block
    assert free_bytes(device) == pytest.approx(before, rel=0.01)
