"""Weights, gradients and optimiser split among the processes, for models that fit in none (FSDP2)."""

from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from llmagentos.encoder import Encoder
from llmagentos.errors import ConfigError
from llmagentos.training._config import ResolvedTrainingConfig
from llmagentos.training._ranks import Ranks


def check_can_shard(config: ResolvedTrainingConfig) -> None:
    """Refuse what a sharded run cannot do.

    Raises:
        ConfigError: a queue, or fp16.
    """
    if config.queue_size:
        raise ConfigError(
            f"a sharded run has no queue: its second encoder would have to be sharded as well; set "
            f"training.queue_size=0, got {config.queue_size}, or training.shard=false"
        )
    if config.precision == "fp16":
        raise ConfigError("a sharded run has no fp16; set training.precision=bf16, or training.shard=false")


def shard(encoder: Encoder, ranks: Ranks) -> None:
    """Give each process its part of every parameter; layers are put together while they compute.

    Args:
        encoder: changed in place. Gradients are added up by its backward pass from now on.
        ranks: of the run.

    Source: Zhao et al. 2023, PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel.
    """
    mesh = init_device_mesh(ranks.device.type, (ranks.size,))
    for module in (*encoder.layers, encoder):
        fully_shard(module, mesh=mesh)
    for module in encoder.modules():
        if isinstance(module, FSDPModule):
            # The loss is a share of each rank's, so that gradients are summed and not averaged.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def is_sharded(encoder: Encoder) -> bool:
    """Whether `shard` has been there."""
    return isinstance(encoder, FSDPModule)


def whole(tensor: Tensor) -> Tensor:
    """The tensor with the parts of all processes, which all have to ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """What this process has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def split_like(tensor: Tensor, other: Tensor) -> Tensor:
    """This process's part of a whole tensor, which all processes have, split as `other` is."""
    if not isinstance(other, DTensor):
        return tensor
    # Without a source nothing is sent, so that no process waits for one that cannot read its checkpoint.
    return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements, src_data_rank=None)
