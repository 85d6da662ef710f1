"""What the hardware does at most, measured: the measure of model FLOP utilisation."""

import time
from functools import cache

import torch

from llmagentos.training._config import Precision

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# Half precision without hardware for it takes half a second a product.
_LONG_ENOUGH = 0.2


@cache
def peak_flops(device: torch.device, precision: Precision, num_threads: int) -> float:
    """Operations a second of a large product of matrices, the best of five; measured once a process.

    Args:
        device: where.
        precision: of the matrices.
        num_threads: of PyTorch on the CPU, as set.

    Returns:
        Multiplications and additions a second; two cores with AVX-512 BF16 do 4.3e11 in bf16.
    """
    rows, side = (1024, 512) if device.type == "cpu" else (8192, 8192)
    # Random numbers: of equal ones a GPU takes less power, and so makes 13% more products (H200, bf16).
    generator = torch.Generator(device).manual_seed(0)
    left, right = (
        torch.randn(n, side, dtype=_DTYPES[precision], device=device, generator=generator)
        for n in (rows, side)
    )

    def seconds() -> float:
        started = time.perf_counter()
        torch.mm(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    times = [seconds()]
    if times[0] < _LONG_ENOUGH or device.type == "cuda":  # the first on a GPU loads libraries
        times = [seconds() for _ in range(5)]
    return 2.0 * rows * side * side / min(times)
