"""In which numbers an encoder multiplies while it trains; weights, loss and reductions stay float32."""

from contextlib import AbstractContextManager, nullcontext

import torch

from llmagentos.training._config import Precision


def autocast_to(
    precision: Precision, device: torch.device, *, remember: bool = True
) -> AbstractContextManager[None]:
    """A context in which products are made in bf16 or fp16; fp32 changes nothing.

    Args:
        precision: of the products.
        device: on which they are made.
        remember: keep what weights become until the context ends; without, they are converted each time.
    """
    if precision == "fp32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype, cache_enabled=remember)
