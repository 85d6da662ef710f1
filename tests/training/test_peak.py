"""The most that the hardware does."""

import time
from typing import Any

import pytest
import torch

from llmagentos.training._peak import peak_flops

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_is_measured_once_and_soon(precision: Any) -> None:
    started = time.perf_counter()
    first = peak_flops(CPU, precision, 1)
    assert time.perf_counter() - started < 10
    assert 1e6 < first < 1e15
    assert peak_flops(CPU, precision, 1) == first


def test_a_product_of_matrices_is_not_faster_than_that() -> None:
    left, right = torch.ones(512, 512), torch.ones(512, 512)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - started)
    # Of a busy machine: within four times of each other.
    assert 2 * 512**3 / min(seconds) < 4 * peak_flops(CPU, "fp32", torch.get_num_threads())
