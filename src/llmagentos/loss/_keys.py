"""Which texts of a batch are the same: keys of texts become small numbers of their views."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int32
from torch import Tensor

Keys = Tensor | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Same:
    """Which views are of texts that are the same: equal numbers, but not 0.

    Attributes:
        views: int32 (M,), of the views of all ranks.
        queue: int32 (K,), of the queue.
    """

    views: Int32[Tensor, " m"]
    queue: Int32[Tensor, " k"] | None

    @classmethod
    def of(
        cls,
        texts: npt.NDArray[np.uint64],
        queue: npt.NDArray[np.uint64] | None,
        num_ranks: int,
        device: torch.device,
        *,
        zero_is_none: bool,
    ) -> "Same | None":
        """From keys of texts and of the queue; None if no text shares one.

        Args:
            texts: uint64 (N x ranks,), in the order of the ranks.
            queue: uint64 (K,).
            num_ranks: from 1.
            device: where to put the numbers.
            zero_is_none: texts with the key 0 are not the same.
        """
        values = texts if queue is None else np.concatenate([texts, queue])
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        shared = counts[inverse] > 1
        if zero_is_none:
            shared &= values != 0
        if not shared.any():
            return None
        ids = torch.from_numpy(np.where(shared, inverse + 1, 0).astype(np.int32)).to(device)
        # The views of a rank are its first ones, then its second ones.
        views = ids[: len(texts)].view(num_ranks, 1, -1).expand(-1, 2, -1).reshape(-1)
        return cls(views, None if queue is None else ids[len(texts) :])


def checked_keys(keys: Keys, number: int, name: str, of_what: str) -> npt.NDArray[np.uint64]:
    """Keys as 64 bits, so that equal numbers are equal whatever their type.

    Args:
        keys: integers of any width, (number,).
        number: how many there must be.
        name: of the argument, for messages.
        of_what: what there is a key for, likewise.

    Returns:
        uint64 (number,); negative numbers are 2^64 more than they were.

    Raises:
        ValueError: They are no whole numbers, or of another number.

    Example:
        >>> checked_keys(np.array([7, -1], np.int32), 2, "groups", "text")
        array([                   7, 18446744073709551615], dtype=uint64)
    """
    if isinstance(keys, Tensor):
        whole = not (keys.is_floating_point() or keys.is_complex() or keys.dtype == torch.bool)
    else:
        keys = np.asarray(keys)
        whole = keys.dtype.kind in "iu"
    if not whole:
        raise ValueError(
            f"{name} must be whole numbers, got {keys.dtype}; hash what they stand for to 64 bits"
        )
    array = keys.detach().cpu().numpy() if isinstance(keys, Tensor) else keys
    if array.shape != (number,):
        raise ValueError(
            f"{name} must be {number} numbers, one for each {of_what}, got an array of shape {array.shape}"
        )
    # Signed and unsigned ones together would become floats.
    return (array if array.dtype.itemsize == 8 else array.astype(np.int64)).view(np.uint64)
