"""The gradient of one loss batch, a micro-batch at a time.

    1. each micro-batch goes through the encoder; its graph is kept while there is room
    2. the loss of the embeddings of the whole batch, and its gradient with respect to them
    3. this gradient goes back through the graph of each micro-batch; one that was not kept is made
       again, with the same dropout

What is kept decides how long a step takes, and changes no bit of its result.

Source: Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from llmagentos.encoder import Encoder
from llmagentos.loss import NTXentLoss
from llmagentos.tokens import TokenBatch
from llmagentos.training._config import Precision
from llmagentos.training._functions import CheaperFunctions
from llmagentos.training._memory import free_bytes, saved_bytes
from llmagentos.views import ViewBatch

# Of the memory that is free when a step begins; the rest is for what is not counted: gradients on their
# way, the loss, what allocators keep.
_SHARE_TO_KEEP = 0.6


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came out of a batch.

    Attributes:
        h_a: float32 (N, D), embeddings of the first views.
        h_b: float32 (N, D), of the second views.
        loss: of the batch.
        num_kept: micro-batches whose graph was kept.
        num_micro_batches: all of them.
    """

    h_a: Float32[Tensor, "n d"]
    h_b: Float32[Tensor, "n d"]
    loss: Float32[Tensor, ""]
    num_kept: int
    num_micro_batches: int


class StepGradient:
    """Adds the gradient of one loss batch to the `.grad` of an encoder's parameters.

    Args:
        encoder: its `micro_batches` say what goes together.
        loss: of the whole batch.
        precision: of the products inside the encoder.
        scaler: makes the loss larger in fp16.

    Attributes:
        share_to_keep: of the free memory, for graphs.
    """

    def __init__(
        self,
        encoder: Encoder,
        loss: NTXentLoss,
        precision: Precision,
        scaler: torch.amp.GradScaler,
        *,
        share_to_keep: float = _SHARE_TO_KEEP,
    ) -> None:
        self.encoder, self.loss, self.precision, self.scaler = encoder, loss, precision, scaler
        self.share_to_keep = share_to_keep
        self._bytes_per_token = 0.0  # not known before the first micro-batch

    def __call__(self, pairs: ViewBatch, seed: int) -> StepResult:
        """Run one batch.

        Args:
            pairs: N pairs.
            seed: of the dropout of this batch.

        Returns:
            Embeddings and loss; the gradient is in the parameters.
        """
        device = self.encoder.device
        tokens, offsets = (x.to(device) for x in joined(pairs.a, pairs.b))
        rows = self.encoder.micro_batches(offsets.diff())
        batches = [take(tokens, offsets, of_batch) for of_batch in rows]
        h = torch.empty(len(offsets) - 1, self.encoder.dimension, device=device)
        graphs: list[Tensor] = []
        room = self.share_to_keep * free_bytes(device)
        with autocast_to(self.precision, device):
            for number, batch in enumerate(batches):
                fits = number == len(graphs) and self._bytes_per_token * len(batch[0]) <= room
                embedded = self._embed(number, batch, seed, keep=fits)
                h[rows[number]] = embedded.detach()
                size = self._bytes_per_token * len(batch[0])
                if fits and size <= room:
                    graphs.append(embedded)
                    room -= size

        h_a, h_b = (views.requires_grad_() for views in h.split(len(pairs.a)))
        loss = self.loss(h_a, h_b, hashes=pairs.hashes, groups=pairs.groups)
        torch.autograd.backward(self.scaler.scale(loss))
        assert h_a.grad is not None and h_b.grad is not None
        gradient = torch.cat((h_a.grad, h_b.grad))

        num_kept = len(graphs)
        graphs.reverse()  # each is let go when it is done
        with autocast_to(self.precision, device):
            for number, batch in enumerate(batches):
                embedded = graphs.pop() if graphs else self._embed(number, batch, seed, keep=True)
                embedded.backward(gradient[rows[number]])
                del embedded
        return StepResult(h_a.detach(), h_b.detach(), loss.detach(), num_kept, len(batches))

    def _embed(self, number: int, batch: tuple[Tensor, Tensor], seed: int, *, keep: bool) -> Tensor:
        """Embeddings of a micro-batch, with a graph if it is to be kept."""
        torch.manual_seed(seed + number)  # for dropout
        on_cpu = self.encoder.device.type == "cpu"
        with CheaperFunctions() if on_cpu else nullcontext(), nullcontext() if keep else torch.no_grad():
            if self._bytes_per_token:
                return self.encoder(*batch).float()
            with saved_bytes() as saved:
                h: Tensor = self.encoder(*batch).float()
            # The first has the longest texts, which take most; a static encoder keeps next to nothing.
            self._bytes_per_token = max(saved.bytes / max(len(batch[0]), 1), 1.0)
            return h


def take(
    tokens: Int64[Tensor, " t"], offsets: Int64[Tensor, " n+1"], rows: Int64[Tensor, " m"]
) -> tuple[Int64[Tensor, " u"], Int64[Tensor, " m+1"]]:
    """The tokens and offsets of some texts of a batch, in the order asked for."""
    lengths = offsets.diff()[rows]
    taken = torch.zeros(len(rows) + 1, dtype=torch.int64, device=tokens.device)
    torch.cumsum(lengths, 0, out=taken[1:])
    index = torch.repeat_interleave(offsets[:-1][rows] - taken[:-1], lengths)
    return tokens[index + torch.arange(len(index), device=tokens.device)], taken


def autocast_to(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """A context in which products are made in bf16 or fp16; fp32 changes nothing."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)


def joined(a: TokenBatch, b: TokenBatch) -> tuple[Int64[Tensor, " t"], Int64[Tensor, " n+1"]]:
    """Two batches as one: int64 tokens (T,) and offsets (2N + 1,)."""
    tokens = torch.cat([torch.from_numpy(a.tokens), torch.from_numpy(b.tokens)]).long()
    offsets = torch.cat([torch.from_numpy(a.offsets), torch.from_numpy(b.offsets[1:]) + len(a.tokens)])
    return tokens, offsets
