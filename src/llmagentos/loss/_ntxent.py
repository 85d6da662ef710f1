"""NT-Xent, the contrastive cross-entropy of the seed, exact and with memory linear in the batch.

One custom gradient walks the matrix of similarities in square tiles and keeps one number a row, the
softmax's denominator. Three things make it fast: the matrix is symmetric, so that the forward pass computes
each similarity once for both of its views; a bound of all logits is known (1 / tau), so that no row's largest
has to be found first; and a tile stays in the cache from its product to its sums. The backward pass computes
each tile again (those of a small batch are kept instead).

Over several processes each has the rows of its own texts and all columns: views and denominators are
gathered, and no gradient has to be sent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from jaxtyping import Float, Int32
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from llmagentos.errors import ConfigError

# Rows and columns of a tile. The smaller they are, the less of the tiles on the diagonal is computed twice;
# below 512 the matrix products lose speed (4,096 pairs, D = 384, two cores: 647 ms with 512, 678 with 1,024,
# 751 with 2,048). A GPU wants larger ones.
_TILE_ROWS = 512
_TILE_ROWS_GPU = 8192

# The tiles of at most this many similarities (64 MiB in float32) are kept for the backward pass rather than
# computed again.
_KEEP_ELEMENTS = 1 << 24

# exp(-80) is 1.8e-35, near the end of float32. Where logits may lie farther apart, exponentials are float64.
_WIDEST_LOGITS = 80.0

# Vectors shorter than this have no direction: they count as zero and get no gradient.
_SHORTEST = 1e-12

Keys = Tensor | npt.NDArray[np.uint64] | npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LossConfig:
    """Settings of the loss.

    Args:
        temperature: tau.
        hardness: alpha, how much more negatives count that are like the text; 0 = all alike.

    Example:
        >>> LossConfig().temperature
        0.05
    """

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False, description="0.02 to 0.1 is usual")] = 0.05
    hardness: Annotated[float, Field(ge=0, le=100, description="0 or 1 to 9 is usual")] = 0.0


def ntxent(
    h_a: Float[Tensor, "n d"],
    h_b: Float[Tensor, "n d"],
    temperature: float,
    *,
    hashes: Keys | None = None,
    groups: Keys | None = None,
    hardness: float = 0.0,
    queue: Float[Tensor, "k d"] | None = None,
    queue_hashes: Keys | None = None,
    process_group: dist.ProcessGroup | None = None,
) -> Float[Tensor, ""]:
    r"""NT-Xent over the 2N views of N texts.

    With views 2k-1 and 2k of text k, s_ij = cosine(h_i, h_j):

        p_ij = exp(s_ij / tau) / sum over k != i of w_ik exp(s_ik / tau)
        L    = -(1 / 2N) sum over k of [log p_(2k-1,2k) + log p_(2k,2k-1)]

    with w_ik = 1, or exp(alpha s_ik) for negatives where there is a hardness alpha; no gradient goes
    through w. A zero vector (an empty text) has cosine 0 with everything and gets no gradient.

    Args:
        h_a: First views, float (N, D), any length; N >= 1.
        h_b: Second views, float (N, D); row k is the other view of row k of `h_a`.
        temperature: tau >= 0.005; 0.02 to 0.1 is usual.
        hashes: Content hash of each text, (N,); views of different rows with the same hash are left
            out of each other's denominator, for they are the same text and no negatives.
        groups: Group of each text (a session, a source document), (N,), 0 = none; the same group is
            left out likewise. The positive is never left out.
        hardness: alpha >= 0.
        queue: More negatives, float (K, D), without a gradient.
        queue_hashes: Content hashes of their texts, (K,); needs `hashes`.
        process_group: Of processes with N texts each. `hashes` and `groups` are then those of all texts,
            in the order of the ranks, and the queue is the same everywhere.

    Returns:
        Scalar in the dtype of the inputs (float32 for half precision), in nats. At chance, when all
        cosines are equal, log(2N - 1 + K); 0 at best (approached as tau -> 0). With a process group it is
        this rank's share: the shares sum up to the loss of all texts, and so do the gradients.

    Raises:
        ValueError: The two views have different shapes.
        ConfigError: The temperature is out of its range.

    Source: Chen et al. 2020, A Simple Framework for Contrastive Learning (SimCLR), equation 1; for the
    queue He et al. 2020, Momentum Contrast (MoCo), section 3.2; for the hardness Lan et al. 2025, LLaVE,
    equation 4.

    Example:
        Two pairs of which all four views agree: every p is 1/3.

        >>> h = torch.ones(2, 3)
        >>> round(ntxent(h, h, 0.05).item(), 4), round(float(np.log(3)), 4)
        (1.0986, 1.0986)
    """
    if h_a.shape != h_b.shape:
        raise ValueError(f"both views need the same shape, got {tuple(h_a.shape)} and {tuple(h_b.shape)}")
    _check_temperature(temperature)
    h = torch.cat((h_a, h_b))
    if h.dtype in (torch.float16, torch.bfloat16):
        h = h.float()
    num_ranks = 1 if process_group is None else dist.get_world_size(process_group)
    same = [
        _Same.of(hashes, queue_hashes, num_ranks, h.device, zero_is_none=False),
        _Same.of(groups, None, num_ranks, h.device, zero_is_none=True),
    ]
    settings = _Settings(
        temperature=float(temperature),
        hardness=float(hardness),
        same=[keys for keys in same if keys is not None],
        group=process_group,
    )
    apply = cast(Callable[..., Tensor], _NTXent.apply)
    return apply(h, None if queue is None else queue.detach().to(h.dtype), settings)


class NTXentLoss(nn.Module):
    """The loss of the seed as a module: `NTXentLoss(temperature)(h_a, h_b)`; see `ntxent`.

    Args:
        temperature: tau >= 0.005; 0.02 to 0.1 is usual.
        hardness: alpha >= 0, 0 for none.

    Raises:
        ConfigError: The temperature or the hardness is no such number.

    Example:
        >>> loss = NTXentLoss(temperature=0.1)
        >>> h_a, h_b = torch.eye(4), torch.eye(4)  # four texts, far apart, views equal
        >>> round(loss(h_a, h_b).item(), 4)
        0.0003
    """

    def __init__(self, temperature: float = 0.05, *, hardness: float = 0.0) -> None:
        super().__init__()
        _check_temperature(temperature)
        if not 0 <= hardness < float("inf"):
            raise ConfigError(
                f"hardness must be >= 0, got {hardness:g}; 0 or 1 to 9 is usual (loss.hardness)"
            )
        self.temperature, self.hardness = float(temperature), float(hardness)

    def forward(self, h_a: Float[Tensor, "n d"], h_b: Float[Tensor, "n d"], **more: Any) -> Float[Tensor, ""]:
        """The loss of one batch; arguments and result as in `ntxent`."""
        return ntxent(h_a, h_b, self.temperature, hardness=self.hardness, **more)

    def extra_repr(self) -> str:
        """The settings, for `print(loss)`."""
        hardness = f", hardness={self.hardness:g}" if self.hardness else ""
        return f"temperature={self.temperature:g}{hardness}"


def _check_temperature(temperature: float) -> None:
    if not 0.005 <= temperature < float("inf"):
        allowed = ">= 0.005" if 0 < temperature < 1 else "> 0"
        raise ConfigError(
            f"temperature must be {allowed}, got {temperature:g}; 0.02 to 0.1 is usual (loss.temperature)"
        )


@plain_dataclass(frozen=True, slots=True)
class _Same:
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
        keys: Keys | None,
        queue_keys: Keys | None,
        num_ranks: int,
        device: torch.device,
        *,
        zero_is_none: bool,
    ) -> "_Same | None":
        """From keys of texts and of the queue; None if no text shares one."""
        if keys is None:
            return None
        texts, queue = _array(keys), None if queue_keys is None else _array(queue_keys)
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


def _array(keys: Keys) -> npt.NDArray[np.uint64]:
    array = keys.detach().cpu().numpy() if isinstance(keys, Tensor) else np.asarray(keys)
    return array.view(np.uint64)  # signed and unsigned ones together would become floats


@plain_dataclass(frozen=True, slots=True)
class _Settings:
    temperature: float
    hardness: float
    same: list[_Same]
    group: dist.ProcessGroup | None

    @property
    def scale(self) -> float:
        """What a negative's cosine is multiplied with: 1 / tau + alpha."""
        return 1 / self.temperature + self.hardness


def gathered(x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """The rows of all processes of a group, in the order of their ranks; each has as many."""
    if group is None:
        return x
    everyone = x.new_empty(len(x) * dist.get_world_size(group), *x.shape[1:])
    dist.all_gather_single(everyone, x.contiguous(), group=group)
    return everyone


class _NTXent(torch.autograd.Function):
    """Loss and gradient with respect to the unnormalised views; see the module's first lines.

    With all logits lowered by their bound c, so that nothing overflows, e_ik = exp(logit_ik - c) without
    those of i itself, its positive and false negatives, and e_i the positive's:

        L       = mean of log(1 + r_i),   r_i = sum over k of e_ik / e_i
        dL/dz_i = [sum over k of e_ik (u_i + u_k) z_k - (q_i + q_j) z_j] / (M tau)

    with u_i = 1 / (e_i + sum of e_ik), q_i = r_i / (1 + r_i), j the positive of i, M all views.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, queue: Tensor | None, settings: _Settings) -> Tensor:
        norms = torch.linalg.vector_norm(h, dim=1, keepdim=True)
        inverse_norms = torch.where(norms > _SHORTEST, 1 / norms, 0.0)
        z = h * inverse_norms
        tiles = _Tiles(z, queue, settings)
        keep = ctx.needs_input_grad[0] and tiles.num_elements <= _KEEP_ELEMENTS
        sums, kept = tiles.sums(keep=keep)
        positive = (z * tiles.positives).sum(1).to(sums.dtype) / settings.temperature - settings.scale
        r = sums / positive.exp()
        u = 1 / (sums + positive.exp())
        ctx.save_for_backward(z, inverse_norms, u, r / (1 + r))
        ctx.tiles, ctx.kept = tiles, kept
        return (r.log1p().sum() / tiles.num_views).to(h.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        z, inverse_norms, u, q = ctx.saved_tensors
        tiles: _Tiles = ctx.tiles
        dz = tiles.gradient(u, ctx.kept)
        dz -= (q + q.roll(len(z) // 2, 0))[:, None].to(z.dtype) * tiles.positives
        dz -= z * (z * dz).sum(1, keepdim=True)
        dz *= inverse_norms * (gradient / (tiles.num_views * tiles.settings.temperature))
        return dz, None, None


class _Tiles:
    """The matrix of e_ik in tiles: rows are this rank's views, columns all views and then the queue."""

    def __init__(self, z: Tensor, queue: Tensor | None, settings: _Settings) -> None:
        self.z, self.settings = z, settings
        self.everyone = gathered(z, settings.group)
        self.queue = None if queue is None else nn.functional.normalize(queue, dim=1)
        rank = 0 if settings.group is None else dist.get_rank(settings.group)
        self.first_row = rank * len(z)
        # float64 where float32 could not hold the smallest exponential beside the largest.
        wide = 2 * settings.scale > _WIDEST_LOGITS
        self.dtype = torch.float64 if wide else z.dtype
        self.size = _TILE_ROWS if z.device.type == "cpu" else _TILE_ROWS_GPU

    @property
    def num_views(self) -> int:
        """M, of all ranks."""
        return len(self.everyone)

    @property
    def num_elements(self) -> int:
        """Elements of all tiles."""
        return len(self.z) * (len(self.everyone) + (0 if self.queue is None else len(self.queue)))

    @property
    def positives(self) -> Tensor:
        """The other view of each row's text."""
        return self.z.roll(len(self.z) // 2, 0)

    def sums(self, *, keep: bool) -> tuple[Tensor, list[Tensor]]:
        """Sum of e_ik over each row, and the tiles themselves if they are to be kept."""
        sums = self.z.new_zeros(len(self.z), dtype=self.dtype)
        kept = []
        for rows, columns, mirrored in self._places():
            e = self._tile(rows, columns)
            sums[rows] += e.sum(1)
            if mirrored:
                sums[columns] += e.sum(0)
            if keep:
                kept.append(e)
        for rows, columns in self._queue_places():
            e = self._queue_tile(rows, columns)
            sums[rows] += e.sum(1)
            if keep:
                kept.append(e)
        return sums, kept

    def gradient(self, u: Tensor, kept: list[Tensor]) -> Tensor:
        """sum over k of e_ik (u_i + u_k) z_k for each row; of the queue e_ik u_i z_k."""
        everyones_u = gathered(u, self.settings.group)
        dz = torch.zeros_like(self.z)
        tiles = iter(kept)
        for rows, columns, mirrored in self._places():
            e = next(tiles) if kept else self._tile(rows, columns)
            p = (e * (u[rows, None] + everyones_u[columns])).to(self.z.dtype)
            dz[rows].addmm_(p, self.everyone[columns])
            if mirrored:
                dz[columns].addmm_(p.T, self.z[rows])
        for rows, columns in self._queue_places():
            assert self.queue is not None
            e = next(tiles) if kept else self._queue_tile(rows, columns)
            dz[rows].addmm_((e * u[rows, None]).to(self.z.dtype), self.queue[columns])
        return dz

    def _places(self) -> Iterator[tuple[slice, slice, bool]]:
        """Rows and columns of the tiles; of one process those on and above the diagonal, to be mirrored."""
        alone = self.settings.group is None
        for row in range(0, len(self.z), self.size):
            for column in range(row if alone else 0, self.num_views, self.size):
                rows, columns = slice(row, row + self.size), slice(column, column + self.size)
                yield rows, columns, alone and column > row

    def _queue_places(self) -> Iterator[tuple[slice, slice]]:
        for row in range(0, len(self.z), self.size):
            for column in range(0, 0 if self.queue is None else len(self.queue), self.size):
                yield slice(row, row + self.size), slice(column, column + self.size)

    def _own(self, x: Tensor) -> Tensor:
        """This rank's part of what there is for all views."""
        return x[self.first_row : self.first_row + len(self.z)]

    def _exponentials(self, rows: Tensor, columns: Tensor) -> Tensor:
        logits = torch.addmm(rows.new_full((), -self.settings.scale), rows * self.settings.scale, columns.T)
        return logits.to(self.dtype).exp_()

    def _tile(self, rows: slice, columns: slice) -> Tensor:
        e = self._exponentials(self.z[rows], self.everyone[columns])
        for keys in self.settings.same:
            own = self._own(keys.views)[rows]
            e.masked_fill_((own[:, None] == keys.views[columns]) & (own[:, None] != 0), 0)
        half = len(self.z) // 2
        for shift in (0, half, -half):  # from a view to itself, and to its positive
            first = max(rows.start, -shift, columns.start - self.first_row - shift)
            end = min(rows.stop, len(self.z), len(self.z) - shift, columns.stop - self.first_row - shift)
            if first < end:
                column = first + shift + self.first_row - columns.start
                own = e[first - rows.start : end - rows.start, column : column + end - first]
                own.fill_diagonal_(0)
        return e

    def _queue_tile(self, rows: slice, columns: slice) -> Tensor:
        assert self.queue is not None
        e = self._exponentials(self.z[rows], self.queue[columns])
        for keys in self.settings.same:
            if keys.queue is not None:
                own = self._own(keys.views)[rows]
                e.masked_fill_((own[:, None] == keys.queue[columns]) & (own[:, None] != 0), 0)
        return e
