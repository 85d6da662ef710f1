"""The gradient of one loss batch, a micro-batch at a time.

    1. each micro-batch goes through the encoder; its graph is kept while there is room
    2. the loss of the embeddings of the whole batch, and its gradient with respect to them
    3. this gradient goes back through the graph of each micro-batch; one that was not kept is made
       again, with the same dropout

What is kept decides how long a step takes, and on a CPU changes no bit of its result.

Source: Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple, dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt64
from torch import Tensor

from llmagentos.encoder import Encoder, Work, can_go_on_after, is_out_of_memory, moved
from llmagentos.errors import OutOfMemoryError
from llmagentos.loss import NTXentLoss
from llmagentos.tokens import TokenBatch, ragged_index
from llmagentos.training._config import Precision
from llmagentos.training._functions import CheaperFunctions
from llmagentos.training._memory import UNKNOWN, GraphSize, free_bytes, saved_bytes
from llmagentos.training._precision import autocast_to
from llmagentos.training._queue import NegativeQueue
from llmagentos.training._ranks import ALONE, Ranks
from llmagentos.training._sharding import is_sharded
from llmagentos.views import ViewBatch

# Of the memory that is free when a step begins; the rest is for what is not counted: gradients on their
# way, the loss, what allocators keep, and on a CPU other programs. The next ones are tried after memory has
# run out, the one before again after so many steps in which it has not: what took it may have ended.
_SHARES_TO_KEEP = (0.6, 0.15, 0.0)
_SHARES_TO_KEEP_ON_A_GPU = (0.8, 0.4, 0.0)
_STEPS_TO_KEEP_MORE = 100
# A run begins with micro-batches of which one takes no more than that.
_SHARE_FOR_ONE = 0.6


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came out of a batch.

    Attributes:
        h_a: float32 (N, D), embeddings of this rank's first views.
        h_b: float32 (N, D), of its second views.
        loss: of the whole batch.
        work: what it took the encoders of all ranks.
        recomputed: share of this rank's micro-batches that went through the encoder twice.
    """

    h_a: Float32[Tensor, "n d"]
    h_b: Float32[Tensor, "n d"]
    loss: float
    work: Work
    recomputed: float


@dataclass(frozen=True, slots=True)
class _MicroBatch:
    """Some texts of a batch: numbers, tokens and offsets. Without numbers it only keeps ranks in step."""

    rows: Int64[Tensor, " m"]
    tokens: Int64[Tensor, " u"]
    offsets: Int64[Tensor, " m+1"]
    work: Work


class StepGradient:
    """Puts the gradient of one loss batch into the `.grad` of an encoder's parameters.

    Args:
        encoder: its `micro_batches` say what goes together.
        loss: of the whole batch.
        precision: of the products inside the encoder.
        scaler: makes the loss larger in fp16.
        ranks: among which the batch is shared.
        queue: of more negatives.
        on_lowered: told the new slots of a micro-batch when memory has run out.
    """

    def __init__(
        self,
        encoder: Encoder,
        loss: NTXentLoss,
        precision: Precision,
        scaler: torch.amp.GradScaler,
        *,
        ranks: Ranks = ALONE,
        queue: NegativeQueue | None = None,
        on_lowered: Callable[[int], None] | None = None,
    ) -> None:
        self.encoder, self.loss, self.precision, self.scaler = encoder, loss, precision, scaler
        self.ranks, self.queue, self.on_lowered = ranks, queue, on_lowered
        self._share = self._steps_in_memory = 0
        self._graph = UNKNOWN

    def __call__(
        self,
        pairs: ViewBatch,
        seed: int,
        *,
        hashes: UInt64[np.ndarray, " n"] | None = None,
        groups: UInt64[np.ndarray, " n"] | None = None,
    ) -> StepResult:
        """Run one batch; if memory runs out, again with less at a time.

        Args:
            pairs: this rank's N pairs.
            seed: of the dropout of this batch.
            hashes: of the texts of all ranks; those of `pairs` where it is alone.
            groups: likewise.

        Returns:
            Embeddings and loss; the gradient is in the parameters.

        Raises:
            OutOfMemoryError: memory runs out with one text at a time, or where the step cannot be done again.
        """
        keys = {
            "hashes": pairs.hashes if hashes is None else hashes,
            "groups": pairs.groups if groups is None else groups,
        }
        if not self._graph.is_known and self.encoder.micro_batch_tokens is not None:
            self._graph = self._measured(pairs)
        while True:
            # Kept and filled with zeros: 62 MB of new memory for a static table take 17 ms, zeros 3 ms.
            self.encoder.zero_grad(set_to_none=False)
            result = self._attempt(pairs, seed, keys)
            if result is not None:
                self._steps_in_memory += 1
                if self._share and self._steps_in_memory % _STEPS_TO_KEEP_MORE == 0:
                    self._share -= 1
                return result
            self._lower(pairs)

    def fit(self, pairs: ViewBatch, *, reserved: int = 0) -> None:
        """Take less at a time, on all ranks, if the graph of one micro-batch would not fit.

        Args:
            pairs: of a run that begins; one that goes on has the micro-batches that it had.
            reserved: bytes of the free memory that will be taken before the next step.
        """
        if (slots := self.encoder.micro_batch_tokens) is None:
            return
        self._graph = self._measured(pairs)
        room = self._room(_SHARE_FOR_ONE, reserved=reserved)
        # Where memory ran out already, the step finds out what it has to do.
        fitting = min(slots, self._graph.slots_in(room)) if self._graph.is_known else slots
        fitting = self.ranks.least(fitting)
        if fitting < slots:
            self.encoder.micro_batch_tokens = fitting
            if self.on_lowered is not None:
                self.on_lowered(fitting)

    def _measured(self, pairs: ViewBatch) -> GraphSize:
        """What a graph keeps, from those of the longest text and of its first third; or unknown."""
        side = max((pairs.a, pairs.b), key=lambda views: views.lengths.max(initial=0))
        row = int(side.lengths.argmax())
        start, end = int(side.offsets[row]), int(side.offsets[row + 1])
        text, sizes = torch.from_numpy(side.tokens[start:end]).long(), []
        for length in (-(-len(text) // 3), len(text)):
            offsets = torch.tensor([0, length])
            part = _MicroBatch(offsets[:1], text[:length], offsets, self.encoder.work(offsets.diff()))
            with saved_bytes(self.encoder) as saved, self._autocast():
                if not self._in_memory(pairs, partial(self._embed, 0, part, 0, keep=True)):
                    return UNKNOWN
            sizes.append((part.work.slots, saved.bytes))
        return GraphSize.through(*sizes)

    @property
    def _shares(self) -> tuple[float, ...]:
        return _SHARES_TO_KEEP_ON_A_GPU if self.encoder.device.type == "cuda" else _SHARES_TO_KEEP

    def _room(self, share: float, *, reserved: int = 0) -> float:
        """Bytes in that share of the free memory, without those that something else will take."""
        return share * max(0.0, free_bytes(self.encoder.device) / self.ranks.sharing_memory - reserved)

    def _attempt(
        self, pairs: ViewBatch, seed: int, keys: dict[str, UInt64[np.ndarray, " n"]]
    ) -> StepResult | None:
        """One batch; None if any rank ran out of memory, and the gradient is worth nothing."""
        device = self.encoder.device
        tokens, offsets = joined(pairs.a, pairs.b)
        batches = self._micro_batches(tokens, offsets)
        # A rank without memory goes on with zeros up to where the others hear of it.
        h = torch.zeros(len(offsets) - 1, self.encoder.dimension, device=device)
        graphs: list[Tensor] = []
        failed = not self._in_memory(pairs, lambda: self._embed_all(batches, seed, h, graphs))
        num_kept = len(graphs)
        if failed:
            graphs.clear()
            if self.ranks.size == 1:
                return None
        h_a, h_b = (views.requires_grad_() for views in torch.split(h, len(pairs.a)))
        losses: list[Tensor] = []
        in_memory = self._in_memory(pairs, lambda: losses.append(self._loss(h_a, h_b, keys)))
        if not in_memory and self.ranks.size > 1:
            raise OutOfMemoryError(
                "memory ran out in the loss, where the other processes wait; end what else takes memory, or "
                "train anew with a lower training.batch_size"
            )
        if not in_memory:
            graphs.clear()
            return None
        assert h_a.grad is not None and h_b.grad is not None
        gradient = torch.cat((h_a.grad, h_b.grad))
        if not failed:
            failed = not self._in_memory(pairs, lambda: self._backward_all(batches, seed, gradient, graphs))
        graphs.clear()
        # The backward pass of a sharded encoder has added the gradients up already.
        parameters = [] if is_sharded(self.encoder) else list(self.encoder.parameters())
        parts = zip(*(astuple(batch.work) for batch in batches), strict=True)
        work = [float(sum(values)) for values in parts]
        loss, num_failed, num_tokens, num_slots, flops = self.ranks.add_up(
            parameters, losses[0].item(), float(failed), *work
        )
        if num_failed:
            return None
        return StepResult(
            h_a=h_a.detach(),
            h_b=h_b.detach(),
            loss=loss,
            work=Work(tokens=round(num_tokens), slots=round(num_slots), flops=flops),
            recomputed=1 - num_kept / len(batches),
        )

    def _loss(self, h_a: Tensor, h_b: Tensor, keys: dict[str, UInt64[np.ndarray, " n"]]) -> Tensor:
        """This rank's share of the loss, not waited for; the gradients are in the two views."""
        queue = {}
        if self.queue is not None and len(self.queue.vectors):
            queue = {
                "queue": self.queue.vectors,
                "queue_hashes": self.queue.hashes,
                "queue_groups": self.queue.groups,
            }
        loss: Tensor = self.loss(h_a, h_b, **keys, **queue, process_group=self.ranks.group)
        torch.autograd.backward(self.scaler.scale(loss))
        return loss.detach()

    def _micro_batches(self, tokens: Tensor, offsets: Tensor) -> list[_MicroBatch]:
        """What goes through the encoder at once; of a sharded one as many on each rank."""
        lengths = offsets.diff()
        rows = self.encoder.micro_batches(lengths)
        if len(rows) == 1:
            everything = moved(torch.arange(len(offsets) - 1), self.encoder.device)
            batches = [_MicroBatch(everything, tokens, offsets, self.encoder.work(lengths))]
        else:
            batches = [
                _MicroBatch(
                    moved(one, self.encoder.device),
                    *take(tokens, offsets, one),
                    self.encoder.work(lengths[one]),
                )
                for one in rows
            ]
        if is_sharded(self.encoder):
            nothing = Work(tokens=0, slots=0, flops=0.0)
            none = _MicroBatch(batches[-1].rows[:0], *take(tokens, offsets, rows[-1][:1]), nothing)
            batches += [none] * (self.ranks.most(len(batches)) - len(batches))
        return batches

    def _embed_all(self, batches: list[_MicroBatch], seed: int, h: Tensor, graphs: list[Tensor]) -> None:
        """Fill h, and keep the graphs of as many micro-batches, from the first, as there is room for."""
        with self._autocast():
            num_kept = self._num_that_fit(batches)
            for number, batch in enumerate(batches):
                embedded = self._embed(number, batch, seed, keep=number < num_kept)
                h[batch.rows] = embedded.detach()[: len(batch.rows)]
                if number < num_kept:
                    graphs.append(embedded)

    def _backward_all(
        self, batches: list[_MicroBatch], seed: int, gradient: Tensor, graphs: list[Tensor]
    ) -> None:
        """Take the gradient of h back through each micro-batch, in order."""
        graphs.reverse()  # so that each is let go as soon as it is done
        with self._autocast():
            for number, batch in enumerate(batches):
                embedded = graphs.pop() if graphs else self._embed(number, batch, seed, keep=True)
                of_batch = torch.zeros_like(embedded)  # also where a rank has no text for this one
                of_batch[: len(batch.rows)] = gradient[batch.rows]
                torch.autograd.backward(embedded, of_batch)
                del embedded

    def _num_that_fit(self, batches: list[_MicroBatch]) -> int:
        """How many graphs may be kept; of a sharded encoder as many on each rank."""
        if self.encoder.micro_batch_tokens is None:
            return len(batches)
        room = self._room(self._shares[self._share])
        # Weights in half precision are there once for all graphs, but for a sharded encoder.
        fixed = np.arange(1, len(batches) + 1) if is_sharded(self.encoder) else 1
        sizes = self._graph.fixed * fixed + self._graph.per_slot * np.cumsum([b.work.slots for b in batches])
        fitting = int((sizes <= room).sum())
        return self.ranks.least(fitting) if is_sharded(self.encoder) else fitting

    def _autocast(self) -> AbstractContextManager[None]:
        # What autocast remembers are whole weights, of which a sharded encoder has none for long.
        return autocast_to(self.precision, self.encoder.device, remember=not is_sharded(self.encoder))

    def _embed(self, number: int, batch: _MicroBatch, seed: int, *, keep: bool) -> Tensor:
        """Embeddings of a micro-batch, with a graph if it is to be kept."""
        torch.manual_seed(seed + number)  # for dropout
        on_cpu = self.encoder.device.type == "cpu"
        cheaper = CheaperFunctions(embedding=not is_sharded(self.encoder)) if on_cpu else nullcontext()
        with cheaper, nullcontext() if keep else torch.no_grad():
            h: Tensor = self.encoder(batch.tokens, batch.offsets)
        return h.float()

    def _in_memory(self, pairs: ViewBatch, work: Callable[[], object]) -> bool:
        """Whether some work went through; false where memory ran out."""
        try:
            work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # The others of a sharded run wait in the middle of a layer.
            if is_sharded(self.encoder) or not can_go_on_after(error):
                self._halve_micro_batches(pairs, ALONE)
                raise OutOfMemoryError(
                    "memory ran out, and this process cannot do the step again; a run that goes on takes "
                    f"{self.encoder.micro_batch_tokens} token slots at a time "
                    "(training.micro_batch_tokens)"
                ) from error
            return False
        return True

    def _lower(self, pairs: ViewBatch) -> None:
        """Keep less, and if nothing was kept, take less at a time."""
        self._steps_in_memory = 0
        if self.encoder.device.type == "cuda":
            torch.cuda.empty_cache()
        if self._share < len(self._shares) - 1:
            self._share += 1
        else:
            self._halve_micro_batches(pairs, self.ranks)

    def _halve_micro_batches(self, pairs: ViewBatch, ranks: Ranks) -> None:
        """Take half as many slots at a time from now on as these ranks did in this batch."""
        if self.encoder.micro_batch_tokens is None:
            raise OutOfMemoryError(
                f"memory ran out with {len(pairs.a):,} pairs of texts; lower training.batch_size or "
                "encoder.dimension, or end what else takes memory"
            )
        lengths = torch.from_numpy(np.concatenate([pairs.a.lengths, pairs.b.lengths]))
        batches = self.encoder.micro_batches(lengths)
        if ranks.most(max(map(len, batches))) == 1:
            raise OutOfMemoryError(
                f"memory ran out with one text of {ranks.most(int(lengths.max())):,} tokens at a time; lower "
                "training.max_tokens, choose a smaller encoder, or end what else takes memory"
            )
        largest = ranks.most(max(self.encoder.work(lengths[rows]).slots for rows in batches))
        self.encoder.micro_batch_tokens = max(1, min(largest, self.encoder.micro_batch_tokens) // 2)
        if self.on_lowered is not None:
            self.on_lowered(self.encoder.micro_batch_tokens)


def take(
    tokens: Int64[Tensor, " t"], offsets: Int64[Tensor, " n+1"], rows: Int64[Tensor, " m"]
) -> tuple[Int64[Tensor, " u"], Int64[Tensor, " m+1"]]:
    """The tokens and offsets of some texts of a batch, in the order asked for; on the CPU."""
    starts, lengths = offsets[:-1][rows].numpy(), offsets.diff()[rows].numpy()
    taken = torch.from_numpy(np.concatenate([[0], lengths.cumsum()]))
    return torch.from_numpy(tokens.numpy()[ragged_index(starts, lengths)]), taken


def joined(a: TokenBatch, b: TokenBatch) -> tuple[Int64[Tensor, " t"], Int64[Tensor, " n+1"]]:
    """Two batches as one: int64 tokens (T,) and offsets (2N + 1,), on the CPU."""
    tokens = np.concatenate([a.tokens, b.tokens], dtype=np.int64)
    offsets = np.concatenate([a.offsets, b.offsets[1:] + len(a.tokens)])
    return torch.from_numpy(tokens), torch.from_numpy(offsets)
