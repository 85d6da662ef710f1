"""Texts one after the other without padding, and where attention finds the tokens of each.

Everything in a Transformer but attention works on single tokens and needs no padding at all. Attention
multiplies matrices, and many small ones of many shapes are slow: two texts of 17 tokens take as long as one
of 128. So for attention alone texts share rows, several short ones in the row of a long one:

    tokens   aaaaaaaa bbbbb ccc d
    rows     aaaaaaaa             row 0
             bbbbbccc             row 1, b and c do not see each other
             d.......             row 2
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from llmagentos.encoder._encoder import moved
from llmagentos.tokens import ragged_index

_CPU = torch.device("cpu")

# Products of bf16 matrices are made in blocks of this many columns.
_ROW_UNIT = 8

# Longer rows go to PyTorch's attention, which takes any length. A text that fills its row needs no bias, and
# that of one row of 8,192 slots has 256 MiB in float32.
_LONGEST_ROUNDED = 1024


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the tokens of a packed batch stand in the rows of attention.

    Attributes:
        texts: int64 (R, C), which text is in each slot, -1 for none.
        positions: int64 (R, C), which token of that text.
        index: int64 (R * C,), which token of the batch, 0 where there is none; None where the rows are the
            batch as it is.
        places: int64 (T,), in which slot each token of the batch is; None likewise.
    """

    texts: Int64[Tensor, "r c"]
    positions: Int64[Tensor, "r c"]
    index: Int64[Tensor, " rc"] | None
    places: Int64[Tensor, " t"] | None

    def allowed(self, *, causal: bool, window: int | None) -> Bool[Tensor, "r c c"] | None:
        """Which slot may look at which; None where each may look at all of its row.

        Args:
            causal: at none that comes later.
            window: at none that is `window` or more tokens away.

        Returns:
            bool (R, C, C), True where row i of the last two may look at column j. Slots without a token
            see one another, so that no row is without any.
        """
        if self.index is None and not causal and window is None:
            return None
        allowed = self.texts[:, :, None] == self.texts[:, None, :]
        if causal or window is not None:
            positions = self.positions.int()  # half the memory of int64, of which there are C numbers a slot
            distance = positions[:, :, None] - positions[:, None, :]
            if causal:
                allowed &= distance >= 0
            if window is not None:
                allowed &= distance.abs_() < window
        return allowed


class Packing:
    """N texts, one after the other.

    Args:
        offsets: int64 (N + 1,) on the CPU, text i is tokens offsets[i] to offsets[i + 1]; no text is empty.
        longest: tokens of the longest.
        device: on which attention computes.

    Attributes:
        starts: int32 (N + 1,), the offsets there, for FlashAttention; None where that does not run: on a
            CPU, and on a GPU before Ampere.
        widest_head: columns of a head that FlashAttention takes there.
    """

    def __init__(self, offsets: Int64[Tensor, " n+1"], longest: int, device: torch.device = _CPU) -> None:
        self.offsets, self.longest, self.device = offsets, longest, device
        self.widest_head = widest_flash_head(device)
        self.starts = moved(offsets.int(), self.device) if self.widest_head else None
        self._biases: dict[tuple[torch.dtype, bool, int | None], Tensor | None] = {}

    @property
    def positions(self) -> Int64[Tensor, " t"]:
        """int64 (T,), the place of each token in its text, from 0."""
        lengths = self.offsets.diff().numpy()
        return torch.from_numpy(ragged_index(np.zeros_like(lengths), lengths))

    @cached_property
    def rows(self) -> Rows:
        """The rows of attention; made once."""
        return pack_rows(self.offsets, self.device)

    def bias(self, dtype: torch.dtype, *, causal: bool, window: int | None) -> Tensor | None:
        """`Rows.allowed` as what is added to the scores, (R, 1, C, C): 0 or minus infinity; made once."""
        key = (dtype, causal, window)
        if key not in self._biases:
            self._biases[key] = None
            if (allowed := self.rows.allowed(causal=causal, window=window)) is not None:
                zero = torch.zeros((), dtype=dtype, device=allowed.device)
                self._biases[key] = torch.where(allowed, zero, -torch.inf)[:, None]
        return self._biases[key]


def widest_flash_head(device: torch.device) -> int:
    """Columns of the widest head that PyTorch 2.13's FlashAttention takes on a device, backwards as well.

    Args:
        device: a GPU or the CPU.

    Returns:
        256 on an A100, H100 or B200; 192 on other GPUs from Ampere on, whose cores have less memory; else 0.

    Example:
        >>> widest_flash_head(torch.device("cpu"))
        0
    """
    if device.type != "cuda":
        return 0
    major, minor = torch.cuda.get_device_capability(device)
    if major < 8:
        return 0
    return 256 if major in (9, 10) or (major, minor) == (8, 0) else 192


def pack_rows(offsets: Int64[Tensor, " n+1"], device: torch.device = _CPU) -> Rows:
    """Put texts into as few rows as a simple rule finds: a long one, then short ones while they fit.

    Args:
        offsets: int64 (N + 1,) on the CPU, N >= 1 texts, none empty.
        device: for the rows.

    Returns:
        Rows as long as the longest text, rounded up to 8 where that has at most 1,024 tokens.

    Example:
        >>> rows = pack_rows(torch.tensor([0, 8, 13, 16, 17]))
        >>> rows.texts.tolist()
        [[0, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 3, -1, -1], [2, 2, 2, -1, -1, -1, -1, -1]]
    """
    lengths = offsets.diff()
    order = lengths.argsort(descending=True, stable=True).tolist()
    sizes = lengths.tolist()
    capacity = sizes[order[0]]
    if capacity <= _LONGEST_ROUNDED:
        capacity = -(-capacity // _ROW_UNIT) * _ROW_UNIT
    row_of, start_of = [0] * len(sizes), [0] * len(sizes)
    first, last, row = 0, len(order) - 1, 0
    while first <= last:
        text, filled = order[first], sizes[order[first]]
        row_of[text] = row
        first += 1
        while first <= last and filled + sizes[order[last]] <= capacity:
            text = order[last]
            row_of[text], start_of[text] = row, filled
            filled += sizes[text]
            last -= 1
        row += 1
    begins = torch.tensor(row_of) * capacity + torch.tensor(start_of)
    number = torch.repeat_interleave(torch.arange(len(sizes)), lengths)
    within = torch.arange(len(number)) - offsets[:-1][number]
    places = begins[number] + within
    texts = torch.full((row * capacity,), -1)
    texts[places] = number
    positions = torch.zeros(row * capacity, dtype=torch.int64)
    positions[places] = within
    index = torch.zeros(row * capacity, dtype=torch.int64)
    index[places] = torch.arange(len(places))
    as_it_is = len(index) == len(places) and bool((index == torch.arange(len(index))).all())
    as_it_is &= row == len(sizes)
    return Rows(
        texts=texts.view(row, capacity).to(device),
        positions=positions.view(row, capacity).to(device),
        index=None if as_it_is else index.to(device),
        places=None if as_it_is else places.to(device),
    )
