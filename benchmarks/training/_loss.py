"""The loss alone: its memory at 65,536 pairs, and its speed beside the plain form."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks._figures import Configuration
from benchmarks._limited import run_limited
from benchmarks.training._pairs import settings
from llmagentos.loss import ntxent

TEMPERATURE = 0.05
_LIMIT_SECONDS = 3000.0


def memory(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Peak memory of forward and backward above the inputs and their gradients, in a fresh process."""
    told = {**configuration, "seed": seed, "result": str(folder / "loss.json")}
    run_limited("loss", [__file__, json.dumps(told)], _LIMIT_SECONDS)
    found: dict[str, float] = json.loads((folder / "loss.json").read_text())
    return {
        "loss-memory-gb": found["peak"] - found["inputs"],
        "seconds, forward": found["forward"],
        "seconds, backward": found["backward"],
    }


def main(told: dict[str, Any]) -> None:
    """Measure once."""
    torch.set_num_threads(2)
    h_a, h_b = _views(told["pairs"], told["dimension"], told["seed"])
    torch.autograd.backward(ntxent(*_views(8, 8, 0), TEMPERATURE))  # code and threads are loaded before
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is that of the loss
    before = _memory("VmRSS")
    began = time.perf_counter()
    loss = ntxent(h_a, h_b, TEMPERATURE)
    middle = time.perf_counter()
    torch.autograd.backward(loss)
    end = time.perf_counter()
    peak = _memory("VmHWM") - before
    gradients = 2 * told["pairs"] * told["dimension"] * 4
    found = {
        "peak": peak / 1e9,
        "inputs": gradients / 1e9,  # the inputs themselves were there before
        "forward": middle - began,
        "backward": end - middle,
    }
    Path(told["result"]).write_text(json.dumps(found), encoding="utf-8")


def speed(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Time of the plain form over ours, forward and backward, by turns; the best round of each."""
    torch.set_num_threads(2)
    h_a, h_b = _views(configuration["pairs"], configuration["dimension"], seed)
    best: dict[str, float] = {}
    gradients: dict[str, Tensor] = {}
    for _ in range(configuration["rounds"]):
        for name, loss in (("ours", ntxent), ("plain", plain)):
            h_a.grad = h_b.grad = None
            began = time.perf_counter()
            torch.autograd.backward(loss(h_a, h_b, TEMPERATURE))
            best[name] = min(best.get(name, float("inf")), time.perf_counter() - began)
            assert h_a.grad is not None and h_b.grad is not None
            gradients[name] = torch.cat((h_a.grad, h_b.grad))
    exact_a, exact_b = (h.detach().double().requires_grad_() for h in (h_a, h_b))
    torch.autograd.backward(plain(exact_a, exact_b, TEMPERATURE))
    assert exact_a.grad is not None and exact_b.grad is not None
    exact = torch.cat((exact_a.grad, exact_b.grad))
    errors = {name: ((one - exact).norm() / exact.norm()).item() for name, one in gradients.items()}
    return {
        "loss-speed-over-plain": best["plain"] / best["ours"],
        "loss-gradient-difference": errors["ours"],
        "plain: gradient difference": errors["plain"],
        "seconds": best["ours"],
        "plain: seconds": best["plain"],
    }


def plain(h_a: Tensor, h_b: Tensor, temperature: float) -> Tensor:
    """NT-Xent with the whole matrix, as it is usually written."""
    z = functional.normalize(torch.cat((h_a, h_b)), dim=1)
    logits = z @ z.T / temperature
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    return functional.cross_entropy(logits, torch.arange(len(z)).roll(len(h_a)))


def _memory(field: str) -> float:
    """Bytes in use now (VmRSS) or at most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def _views(number: int, dimension: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    h_a = torch.randn(number, dimension, generator=generator)
    h_b = h_a + torch.randn(number, dimension, generator=generator)
    return h_a.requires_grad_(), h_b.requires_grad_()


if __name__ == "__main__":
    main(settings(sys.argv))
