"""Adam or SGD over what can be trained: its updates, and what must be a number before one."""

import math
from typing import Any

import torch

from llmagentos.encoder import Encoder, memory_for
from llmagentos.errors import NonFiniteLossError
from llmagentos.training._config import ResolvedTrainingConfig
from llmagentos.training._sharding import own_part, whole


def make_optimizer(encoder: Encoder, config: ResolvedTrainingConfig) -> torch.optim.Optimizer:
    """The optimiser over everything that can be trained; decay on matrices only.

    A group's "share" is what it takes of the learning rate.
    """
    parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    # A parameter that a step does not reach has a gradient of zeros and moves on by its momentum, whether it
    # had one before or not: a run that goes on from a checkpoint does not know.
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    apart = None if config.table_rate == 1 else encoder.table
    rest = [p for p in parameters if p is not apart]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": config.weight_decay, "share": 1.0},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0, "share": 1.0},
    ]
    if apart is not None and apart.requires_grad:
        table = {"params": [apart], "weight_decay": config.weight_decay, "share": config.table_rate}
        groups.append(table)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=0.9)
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def check_finite(
    loss: float,
    gradient_norm: float,
    scaler: torch.amp.GradScaler,
    step: int,
    config: ResolvedTrainingConfig,
) -> None:
    """Stop before a loss or a gradient that is no number can reach a checkpoint.

    In fp16 a gradient may be too large for once: that step was skipped and the scale lowered. Where it
    still is without any scale, the run is broken.
    """
    overflowed = scaler.is_enabled() and scaler.get_scale() >= 1
    for name, value in (("loss", loss), ("gradient's length", gradient_norm)):
        if not (math.isfinite(value) or (name != "loss" and overflowed)):
            precision = "" if config.precision == "fp32" else " or training.precision=fp32"
            raise NonFiniteLossError(
                f"the {name} became {value} at step {step}; try a learning rate lower than "
                f"{config.learning_rate:g} (training.learning_rate){precision}; the checkpoint before, if "
                "there was one, is kept"
            )


def clipped_norm(
    optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, max_gradient_norm: float
) -> float:
    """Shorten the gradient to `max_gradient_norm`, and tell how long it was."""
    scaler.unscale_(optimizer)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    total = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters])
    norm = whole(total).item()
    if norm > max_gradient_norm:  # most gradients are shorter, and multiplying them with 1 takes time as well
        torch.nn.utils.clip_grads_with_norm_(parameters, max_gradient_norm, total)
    return norm


def update(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, learning_rate: float) -> None:
    """One step of Adam or SGD.

    Raises:
        TrainingError: memory runs out, as it may in the first step of Adam, which makes its means.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["share"]
    advice = (
        "end what else takes memory, or train with training.optimizer=sgd, which needs less, or with a "
        "smaller encoder"
    )
    with memory_for("the optimiser", advice=advice):
        scaler.step(optimizer)
    scaler.update()


def bytes_to_come(optimizer: torch.optim.Optimizer) -> int:
    """What a new optimiser will take in its first update: the two means of Adam, the one of SGD.

    Args:
        optimizer: from `make_optimizer`.

    Returns:
        Bytes on this rank, which has only its parts of a sharded encoder.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    means = 1 if isinstance(optimizer, torch.optim.SGD) else 2
    return means * sum(own_part(parameter).nbytes for parameter in parameters)
