"""The gradient of one loss batch, a micro-batch at a time.

    1. each micro-batch goes through the encoder; its graph is kept while there is room
    2. the loss of the embeddings of the whole batch, and its gradient with respect to them
    3. this gradient goes back through the graph of each micro-batch; one that was not kept is made
       again, with the same dropout

What is kept decides how long a step takes, and changes no bit of its result.

Source: Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt64
from torch import Tensor

from llmagentos.encoder import Encoder, is_out_of_memory
from llmagentos.errors import TrainingError
from llmagentos.loss import NTXentLoss
from llmagentos.tokens import TokenBatch
from llmagentos.training._config import Precision
from llmagentos.training._functions import CheaperFunctions
from llmagentos.training._memory import free_bytes, saved_bytes
from llmagentos.training._precision import autocast_to
from llmagentos.training._queue import NegativeQueue
from llmagentos.training._ranks import ALONE, Ranks
from llmagentos.training._sharding import is_sharded
from llmagentos.views import ViewBatch

# Of the memory that is free when a step begins; the rest is for what is not counted: gradients on their
# way, the loss, what allocators keep. The next ones are tried after memory has run out.
_SHARES_TO_KEEP = (0.6, 0.15, 0.0)


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came out of a batch.

    Attributes:
        h_a: float32 (N, D), embeddings of this rank's first views.
        h_b: float32 (N, D), of its second views.
        loss: of the whole batch.
        recomputed: share of this rank's micro-batches that went through the encoder twice.
    """

    h_a: Float32[Tensor, "n d"]
    h_b: Float32[Tensor, "n d"]
    loss: float
    recomputed: float


@dataclass(frozen=True, slots=True)
class _MicroBatch:
    """Some texts of a batch: numbers, tokens and offsets. Without numbers it only keeps ranks in step."""

    rows: Int64[Tensor, " m"]
    tokens: Int64[Tensor, " u"]
    offsets: Int64[Tensor, " m+1"]


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
        self._shares = list(_SHARES_TO_KEEP)
        self._bytes_per_token = 0.0  # not known before the first micro-batch

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
            TrainingError: memory runs out with one text at a time.
        """
        keys = {
            "hashes": pairs.hashes if hashes is None else hashes,
            "groups": pairs.groups if groups is None else groups,
        }
        while True:
            # Kept and filled with zeros: 62 MB of new memory for a static table take 17 ms, zeros 3 ms.
            self.encoder.zero_grad(set_to_none=False)
            result, num_failed = self._attempt(pairs, seed, keys)
            if not num_failed:
                return result
            self._lower(pairs)

    def _attempt(
        self, pairs: ViewBatch, seed: int, keys: dict[str, UInt64[np.ndarray, " n"]]
    ) -> tuple[StepResult, int]:
        """One batch, and how many ranks ran out of memory; the gradient is worth nothing if any did."""
        device = self.encoder.device
        tokens, offsets = (x.to(device) for x in joined(pairs.a, pairs.b))
        batches = self._micro_batches(tokens, offsets)
        # A rank without memory goes on with zeros up to where the others hear of it.
        h = torch.zeros(len(offsets) - 1, self.encoder.dimension, device=device)
        graphs: list[Tensor] = []
        failed = not self._in_memory(pairs, lambda: self._embed_all(batches, seed, h, graphs))
        num_kept = len(graphs)

        h_a, h_b = (views.requires_grad_() for views in torch.split(h, len(pairs.a)))
        queue = {}
        if self.queue is not None and len(self.queue.vectors):
            queue = {"queue": self.queue.vectors, "queue_hashes": self.queue.hashes}
        loss = self.loss(h_a, h_b, **keys, **queue, process_group=self.ranks.group)
        torch.autograd.backward(self.scaler.scale(loss))
        assert h_a.grad is not None and h_b.grad is not None
        gradient = torch.cat((h_a.grad, h_b.grad))
        if not failed:
            failed = not self._in_memory(pairs, lambda: self._backward_all(batches, seed, gradient, graphs))
        graphs.clear()
        # The backward pass of a sharded encoder has added the gradients up already.
        parameters = [] if is_sharded(self.encoder) else list(self.encoder.parameters())
        total, num_failed = self.ranks.add_up(parameters, loss.item(), float(failed))
        recomputed = 1 - num_kept / len(batches)
        return StepResult(h_a.detach(), h_b.detach(), total, recomputed), round(num_failed)

    def _micro_batches(self, tokens: Tensor, offsets: Tensor) -> list[_MicroBatch]:
        """What goes through the encoder at once; of a sharded one as many on each rank."""
        rows = self.encoder.micro_batches(offsets.diff())
        if len(rows) == 1:
            everything = torch.arange(len(offsets) - 1, device=tokens.device)
            batches = [_MicroBatch(everything, tokens, offsets)]
        else:
            batches = [_MicroBatch(one, *take(tokens, offsets, one)) for one in rows]
        if is_sharded(self.encoder):
            none = _MicroBatch(rows[-1][:0], *take(tokens, offsets, rows[-1][:1]))
            batches += [none] * (self.ranks.most(len(batches)) - len(batches))
        return batches

    def _embed_all(self, batches: list[_MicroBatch], seed: int, h: Tensor, graphs: list[Tensor]) -> None:
        """Fill h, and keep the graphs of as many micro-batches, from the first, as there is room for."""
        with autocast_to(self.precision, self.encoder.device):
            num_kept = self._num_that_fit(batches) if self._bytes_per_token else 1
            for number, batch in enumerate(batches):
                with nullcontext() if self._bytes_per_token else saved_bytes() as saved:
                    embedded = self._embed(number, batch, seed, keep=number < num_kept)
                if saved is not None:  # of the first of the run, with the longest texts, which take most
                    self._bytes_per_token = max(saved.bytes / max(len(batch.tokens), 1), 1.0)
                    num_kept = self._num_that_fit(batches)
                h[batch.rows] = embedded.detach()[: len(batch.rows)]
                if number < num_kept:
                    graphs.append(embedded)

    def _backward_all(
        self, batches: list[_MicroBatch], seed: int, gradient: Tensor, graphs: list[Tensor]
    ) -> None:
        """Take the gradient of h back through each micro-batch, in order."""
        graphs.reverse()  # so that each is let go as soon as it is done
        with autocast_to(self.precision, self.encoder.device):
            for number, batch in enumerate(batches):
                embedded = graphs.pop() if graphs else self._embed(number, batch, seed, keep=True)
                of_batch = torch.zeros_like(embedded)  # also where a rank has no text for this one
                of_batch[: len(batch.rows)] = gradient[batch.rows]
                torch.autograd.backward(embedded, of_batch)
                del embedded

    def _num_that_fit(self, batches: list[_MicroBatch]) -> int:
        """How many graphs may be kept; of a sharded encoder as many on each rank."""
        room = self._shares[0] * free_bytes(self.encoder.device) / self.ranks.sharing_memory
        sizes = np.cumsum([self._bytes_per_token * len(batch.tokens) for batch in batches])
        fitting = int((sizes <= room).sum())
        return -self.ranks.most(-fitting) if is_sharded(self.encoder) else fitting

    def _embed(self, number: int, batch: _MicroBatch, seed: int, *, keep: bool) -> Tensor:
        """Embeddings of a micro-batch, with a graph if it is to be kept."""
        torch.manual_seed(seed + number)  # for dropout
        on_cpu = self.encoder.device.type == "cpu"
        cheaper = CheaperFunctions(embedding=not is_sharded(self.encoder)) if on_cpu else nullcontext()
        with cheaper, nullcontext() if keep else torch.no_grad():
            h: Tensor = self.encoder(batch.tokens, batch.offsets)
        return h.float()

    def _in_memory(self, pairs: ViewBatch, work: Callable[[], None]) -> bool:
        """Whether some work went through; false where memory ran out."""
        try:
            work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if is_sharded(self.encoder):  # the others wait in the middle of a layer
                self._halve_micro_batches(pairs)
                raise TrainingError(
                    "memory ran out in a sharded run, which cannot do the step again at once; go on with "
                    f"--resume, with micro-batches of {self.encoder.micro_batch_tokens:,} token slots"
                ) from error
            return False
        return True

    def _lower(self, pairs: ViewBatch) -> None:
        """Keep less, and if nothing was kept, take less at a time."""
        if self.encoder.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(self._shares) > 1:
            self._shares.pop(0)
        else:
            self._halve_micro_batches(pairs)

    def _halve_micro_batches(self, pairs: ViewBatch) -> None:
        """Take half as many slots at a time from now on."""
        slots = self.encoder.micro_batch_tokens
        if slots is None:
            raise TrainingError(
                f"memory ran out with {len(pairs.a):,} pairs of texts; lower training.batch_size or "
                "encoder.dimension, or end what else takes memory"
            )
        longest = int(max(pairs.a.lengths.max(initial=0), pairs.b.lengths.max(initial=0)))
        if slots <= longest:
            raise TrainingError(
                f"memory ran out with one text of {longest:,} tokens at a time; lower training.max_tokens, "
                "choose a smaller encoder, or end what else takes memory"
            )
        self.encoder.micro_batch_tokens = max(1, slots // 2)
        if self.on_lowered is not None:
            self.on_lowered(self.encoder.micro_batch_tokens)


def take(
    tokens: Int64[Tensor, " t"], offsets: Int64[Tensor, " n+1"], rows: Int64[Tensor, " m"]
) -> tuple[Int64[Tensor, " u"], Int64[Tensor, " m+1"]]:
    """The tokens and offsets of some texts of a batch, in the order asked for."""
    lengths = offsets.diff()[rows]
    taken = torch.zeros(len(rows) + 1, dtype=torch.int64, device=tokens.device)
    torch.cumsum(lengths, 0, out=taken[1:])
    index = torch.repeat_interleave(offsets[:-1][rows] - taken[:-1], lengths)
    return tokens[index + torch.arange(len(index), device=tokens.device)], taken


def joined(a: TokenBatch, b: TokenBatch) -> tuple[Int64[Tensor, " t"], Int64[Tensor, " n+1"]]:
    """Two batches as one: int64 tokens (T,) and offsets (2N + 1,)."""
    tokens = torch.cat([torch.from_numpy(a.tokens), torch.from_numpy(b.tokens)]).long()
    offsets = torch.cat([torch.from_numpy(a.offsets), torch.from_numpy(b.offsets[1:]) + len(a.tokens)])
    return tokens, offsets
