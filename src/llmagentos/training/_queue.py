"""A queue of negatives: embeddings of earlier texts by a slowly moving copy of the encoder (MoCo)."""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float32, UInt64
from torch import Tensor
from torch.nn import functional

from llmagentos.encoder import Encoder, memory_for
from llmagentos.loss import gathered
from llmagentos.tokens import TokenBatch
from llmagentos.training._config import Precision
from llmagentos.training._precision import autocast_to
from llmagentos.training._ranks import Ranks


class NegativeQueue:
    """The last K texts as the momentum encoder saw them.

        weights of the copy <- m * weights of the copy + (1 - m) * weights of the encoder

    Args:
        encoder: copied.
        size: K, >= 1; the oldest texts beyond it are dropped.
        momentum: m, in [0, 1).
        precision: of the products inside the copy.
        ranks: all see the same queue.

    Source: He et al. 2020, Momentum Contrast for Unsupervised Visual Representation Learning, equation 2.
    """

    def __init__(
        self, encoder: Encoder, size: int, momentum: float, precision: Precision, ranks: Ranks
    ) -> None:
        self._momentum, self._precision, self._ranks = momentum, precision, ranks
        what = f"a queue of {size:,} vectors, {4e-9 * size * encoder.dimension:.1f} GB, and a second encoder"
        with memory_for(what, advice="lower training.queue_size, or set it to 0"):
            # The tokenizer is not trained, and one is enough.
            self._copy = copy.deepcopy(encoder, {id(encoder.tokenizer): encoder.tokenizer})
            # A ring: new texts take the places of the oldest.
            self._vectors = torch.zeros(size, encoder.dimension, device=encoder.device)
        self._copy.requires_grad_(False).eval()
        self._hashes, self._groups = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
        self._seen = self._next = 0

    @property
    def vectors(self) -> Float32[Tensor, "k d"]:
        """Unit vectors, float32; fewer than K at the beginning."""
        return self._vectors[: self._seen]

    @property
    def hashes(self) -> UInt64[np.ndarray, " k"]:
        """Content hashes of their texts."""
        return self._hashes[: self._seen]

    @property
    def groups(self) -> UInt64[np.ndarray, " k"]:
        """Groups of their texts, 0 for none."""
        return self._groups[: self._seen]

    @torch.no_grad()
    def follow(
        self,
        encoder: Encoder,
        batch: TokenBatch,
        hashes: UInt64[np.ndarray, " n"],
        groups: UInt64[np.ndarray, " n"],
    ) -> None:
        """Move the copy after an update, and put this rank's first views and those of the others in.

        Args:
            encoder: after its update.
            batch: N texts.
            hashes: of the texts of all ranks.
            groups: likewise.
        """
        for own, theirs in zip(self._copy.parameters(), encoder.parameters(), strict=True):
            own.lerp_(theirs, 1 - self._momentum)
        self._copy.micro_batch_tokens = encoder.micro_batch_tokens
        new = gathered(self._embed(batch), self._ranks.group)[: len(self._vectors)]
        places = (self._next + np.arange(len(new))) % len(self._vectors)
        self._vectors[torch.from_numpy(places).to(new.device)] = new
        self._hashes[places], self._groups[places] = hashes[: len(new)], groups[: len(new)]
        self._next = (self._next + len(new)) % len(self._vectors)
        self._seen = min(self._seen + len(new), len(self._vectors))

    def _embed(self, batch: TokenBatch) -> Float32[Tensor, "n d"]:
        """Unit vectors of some texts by the copy."""
        tokens, offsets = torch.from_numpy(batch.tokens).long(), torch.from_numpy(batch.offsets)
        advice = "end what else takes memory, or train anew with training.queue_size=0"
        with (
            memory_for("the copy of the encoder that embeds texts for the queue", advice=advice),
            autocast_to(self._precision, self._vectors.device),
        ):
            h = self._copy(tokens, offsets)
        return functional.normalize(h.float(), dim=1)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps of it."""
        weights = {f"copy.{name}": tensor for name, tensor in self._copy.state_dict().items()}
        keys = {"hashes": self.hashes, "groups": self.groups}
        return {
            **weights,
            **{name: torch.from_numpy(values.view(np.int64)) for name, values in keys.items()},
            "vectors": self.vectors,
            "next": torch.tensor(self._next),
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put it back."""
        weights = {key.removeprefix("copy."): t for key, t in state.items() if key.startswith("copy.")}
        self._copy.load_state_dict(weights)
        self._seen = len(state["vectors"])
        self._vectors[: self._seen] = state["vectors"]
        for name, values in (("hashes", self._hashes), ("groups", self._groups)):
            values[: self._seen] = state[name].numpy().view(np.uint64)
        self._next = int(state["next"])
