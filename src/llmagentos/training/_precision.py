"""In which numbers an encoder multiplies while it trains; weights, loss and reductions stay float32."""

from contextlib import AbstractContextManager, nullcontext

import torch

from llmagentos.training._config import Precision


def autocast_to(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """A context in which products are made in bf16 or fp16; fp32 changes nothing."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)
