"""NT-Xent, the contrastive cross-entropy of the seed, exact and with memory linear in the batch.

One custom gradient walks the matrix of similarities in square tiles and keeps one number a row, the
softmax's denominator. Three things make it fast: the matrix is symmetric, so that the forward pass computes
each similarity once for both of its views; a bound of all logits is known (1 / tau), so that no row's largest
has to be found first; and a tile stays in the cache from its product to its sums. The backward pass computes
each tile again (those of a small batch are kept instead).

Over several processes each has the rows of its own texts and all columns: views and denominators are
gathered, and no gradient has to be sent.

All of it is in the precision of the embeddings, at least float32, also where autocast is on.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from llmagentos.loss._config import check_settings
from llmagentos.loss._keys import Keys, Same, checked_keys

# Rows and columns of a tile. The smaller they are, the less of the tiles on the diagonal is computed twice;
# below 512 the matrix products lose speed (4,096 pairs, D = 384, two cores: 647 ms with 512, 678 with 1,024,
# 751 with 2,048). A GPU wants larger ones, to be busy; how large was not measured.
_TILE_ROWS = 512
_TILE_ROWS_GPU = 8192

# The tiles of at most this many similarities (64 MiB in float32) are kept for the backward pass rather than
# computed again.
_KEEP_ELEMENTS = 1 << 24

# exp(-80) is 1.8e-35, near the end of float32. Where logits may lie farther apart, exponentials are float64.
_WIDEST_LOGITS = 80.0

# Vectors shorter than this have no direction: they count as zero and get no gradient.
_SHORTEST = 1e-12


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
    queue_groups: Keys | None = None,
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
        temperature: tau, from 0.005; 0.02 to 0.1 is usual.
        hashes: Content hash of each text, integers (N,); views of different rows with the same hash are
            left out of each other's denominator, for they are the same text and no negatives.
        groups: Group of each text (a session, a source document), integers (N,), 0 = none; the same group
            is left out likewise. The positive is never left out.
        hardness: alpha, 0 to 100.
        queue: More negatives, float (K, D), without a gradient.
        queue_hashes: Content hashes of their texts, integers (K,); needs `hashes`.
        queue_groups: Their groups, likewise; needs `groups`.
        process_group: Of processes with N texts each. `hashes` and `groups` are then those of all texts,
            in the order of the ranks, and the queue is the same everywhere. The forward and the backward
            pass wait for each other's, so that all processes have to run both.

    Returns:
        Scalar in the dtype of the inputs (float32 for half precision), in nats. At chance, when all
        cosines are equal, log(2N - 1 + K), and with a hardness log(1 + (2N - 2 + K) exp(alpha s)) at
        cosine s; 0 at best (approached as tau -> 0). NaN where a vector has one, or is longer than its
        dtype can say. With a process group it is this rank's share: the shares sum up to the loss of all
        texts, and so do the gradients.

    Raises:
        ValueError: The two views have different shapes; keys are no whole numbers or not as many as texts;
            there are `queue_hashes` without `hashes`, or `queue_groups` without `groups`.
        ConfigError: The temperature or the hardness is out of its range.

    Source: Chen et al. 2020, A Simple Framework for Contrastive Learning (SimCLR), equation 1; for the
    queue He et al. 2020, Momentum Contrast (MoCo), section 3.2; for the hardness Lan et al. 2025, LLaVE,
    equation 4.

    Example:
        Two pairs of which all four views agree: every p is 1/3.

        >>> h = torch.ones(2, 3)
        >>> ntxent(h, h, 0.05).item(), torch.tensor(3).log().item()
        (1.0986..., 1.0986...)
    """
    if h_a.shape != h_b.shape:
        raise ValueError(f"both views need the same shape, got {tuple(h_a.shape)} and {tuple(h_b.shape)}")
    check_settings(temperature, hardness)
    h = torch.cat((h_a, h_b))
    if h.dtype in (torch.float16, torch.bfloat16):
        h = h.float()
    num_ranks = 1 if process_group is None else dist.get_world_size(process_group)
    num_texts, of_texts = len(h_a) * num_ranks, f"text ({len(h_a)} x {num_ranks} ranks)"
    same = []
    for name, of_views, of_queue in (("hashes", hashes, queue_hashes), ("groups", groups, queue_groups)):
        if of_queue is not None and of_views is None:
            raise ValueError(f"queue_{name} need {name}, got None; give those of the texts as well")
        if of_views is not None:
            keys, queued = checked_keys(of_views, num_texts, name, of_texts), None
            if of_queue is not None:
                num_queued = 0 if queue is None else len(queue)
                queued = checked_keys(of_queue, num_queued, f"queue_{name}", "text of the queue")
            same.append(Same.of(keys, queued, num_ranks, h.device, zero_is_none=name == "groups"))
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

    With dimensions it is the mean of the losses of whole vectors and of their first d numbers, for each d of
    them, so that vectors may be cut there afterwards.

    Args:
        temperature: tau, from 0.005; 0.02 to 0.1 is usual.
        hardness: alpha, 0 to 100; 0 for none, 1 to 9 is usual.
        dimensions: lengths of beginnings of a vector; those that are not shorter than it are left out.

    Raises:
        ConfigError: The temperature, the hardness or a dimension is no such number.

    Source: Kusupati et al. 2022, Matryoshka Representation Learning, equation 1 with equal weights.

    Example:
        >>> loss = NTXentLoss(temperature=0.1)
        >>> h_a, h_b = torch.eye(4), torch.eye(4)  # four texts, far apart, views equal
        >>> round(loss(h_a, h_b).item(), 4)
        0.0003
    """

    def __init__(
        self, temperature: float = 0.05, *, hardness: float = 0.0, dimensions: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        check_settings(temperature, hardness, dimensions)
        self.temperature, self.hardness = float(temperature), float(hardness)
        self.dimensions = tuple(sorted(set(dimensions)))

    def forward(
        self,
        h_a: Float[Tensor, "n d"],
        h_b: Float[Tensor, "n d"],
        *,
        hashes: Keys | None = None,
        groups: Keys | None = None,
        queue: Float[Tensor, "k d"] | None = None,
        queue_hashes: Keys | None = None,
        queue_groups: Keys | None = None,
        process_group: dist.ProcessGroup | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of one batch; arguments and result as in `ntxent`."""
        longest = h_a.shape[1]
        lengths = [*(length for length in self.dimensions if length < longest), longest]
        losses = [
            ntxent(
                h_a[:, :length],
                h_b[:, :length],
                self.temperature,
                hashes=hashes,
                groups=groups,
                hardness=self.hardness,
                queue=None if queue is None else queue[:, :length],
                queue_hashes=queue_hashes,
                queue_groups=queue_groups,
                process_group=process_group,
            )
            for length in lengths
        ]
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def extra_repr(self) -> str:
        """The settings, for `print(loss)`."""
        hardness = f", hardness={self.hardness:g}" if self.hardness else ""
        dimensions = f", dimensions={self.dimensions}" if self.dimensions else ""
        return f"temperature={self.temperature:g}{hardness}{dimensions}"


@dataclass(frozen=True, slots=True)
class _Settings:
    temperature: float
    hardness: float
    same: list[Same]
    group: dist.ProcessGroup | None

    @property
    def scale(self) -> float:
        """What a negative's cosine is multiplied with: 1 / tau + alpha."""
        return 1 / self.temperature + self.hardness


def gathered(x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """The rows of all processes of a group, in the order of their ranks. Each of them has to call it.

    Args:
        x: (N, ...), of the same shape and dtype in each process; no gradient goes through.
        group: None for a process alone.

    Returns:
        (N x ranks, ...), the same in each process; `x` itself where there is no group.

    Raises:
        RuntimeError: Of PyTorch, where a process of the group is gone.
    """
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

    with u_i = 1 / (e_i + sum of e_ik), q_i = u_i sum of e_ik, j the positive of i, M all views.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, queue: Tensor | None, settings: _Settings) -> Tensor:
        # Autocast would round logits, 0 to -40 at tau = 0.05, to the 8 bits of bf16: by up to 0.125.
        with torch.autocast(h.device.type, enabled=False):
            z, inverse_norms = _unit(h)
            tiles = _Tiles(z, queue, settings)
            keep = ctx.needs_input_grad[0] and tiles.num_elements <= _KEEP_ELEMENTS
            sums, kept = tiles.sums(keep=keep)
            positive = (z * tiles.positives).sum(1).to(sums.dtype) / settings.temperature - settings.scale
            e = positive.exp()
            r, u = sums / e, 1 / (sums + e)
            # 6,200 negatives that agree, and a positive that is opposite at tau = 0.025, are beyond float32.
            losses = torch.where(r.isinf(), sums.log() - positive, r.log1p())
        ctx.save_for_backward(z, inverse_norms, u, sums * u)
        ctx.tiles, ctx.kept = tiles, kept
        return (losses.sum() / tiles.num_views).to(h.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        z, inverse_norms, u, q = ctx.saved_tensors
        tiles: _Tiles = ctx.tiles
        with torch.autocast(z.device.type, enabled=False):
            dz = tiles.gradient(u, ctx.kept)
            dz -= (q + q.roll(len(z) // 2, 0))[:, None].to(z.dtype) * tiles.positives
            dz -= z * (z * dz).sum(1, keepdim=True)
            dz *= inverse_norms * (gradient / (tiles.num_views * tiles.settings.temperature))
        return dz, None, None


def _unit(h: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors of length 1, and what they were multiplied with: NaN where the length is beyond the dtype."""
    norms = torch.linalg.vector_norm(h, dim=1, keepdim=True)
    inverse_norms = torch.where(norms > _SHORTEST, 1 / norms, 0.0).masked_fill(norms.isinf(), torch.nan)
    return h * inverse_norms, inverse_norms


class _Tiles:
    """The matrix of e_ik in tiles: rows are this rank's views, columns all views and then the queue."""

    def __init__(self, z: Tensor, queue: Tensor | None, settings: _Settings) -> None:
        self.z, self.settings = z, settings
        self.everyone = gathered(z, settings.group)
        self.queue = None if queue is None else _unit(queue)[0]
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
        """Elements of the whole matrix; of one process alone the tiles below the diagonal are not made."""
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
