"""A queue of negatives: embeddings of earlier texts by a slowly moving copy of the encoder (MoCo)."""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float32, UInt64
from torch import Tensor
from torch.nn import functional

from llmagentos.encoder import Encoder
from llmagentos.tokens import TokenBatch
from llmagentos.training._ranks import Ranks


class NegativeQueue:
    """The last K texts as the momentum encoder saw them.

        weights of the copy <- m * weights of the copy + (1 - m) * weights of the encoder

    Args:
        encoder: copied.
        size: K, >= 1; the oldest texts beyond it are dropped.
        momentum: m, in [0, 1).
        ranks: all see the same queue.

    Source: He et al. 2020, Momentum Contrast for Unsupervised Visual Representation Learning, equation 2.
    """

    def __init__(self, encoder: Encoder, size: int, momentum: float, ranks: Ranks) -> None:
        self._momentum, self._ranks = momentum, ranks
        # The tokenizer is not trained, and one is enough.
        self._copy = copy.deepcopy(encoder, {id(encoder.tokenizer): encoder.tokenizer})
        self._copy.requires_grad_(False).eval()
        self._vectors = torch.zeros(size, encoder.dimension, device=encoder.device)
        self._hashes = np.zeros(size, np.uint64)
        self._seen = 0

    @property
    def vectors(self) -> Float32[Tensor, "k d"]:
        """Unit vectors, float32; fewer than K at the beginning."""
        return self._vectors[: self._seen]

    @property
    def hashes(self) -> UInt64[np.ndarray, " k"]:
        """Content hashes of their texts."""
        return self._hashes[: self._seen]

    @torch.no_grad()
    def follow(self, encoder: Encoder, batch: TokenBatch, hashes: UInt64[np.ndarray, " n"]) -> None:
        """Move the copy after an update, and put this rank's first views and those of the others in.

        Args:
            encoder: after its update.
            batch: N texts.
            hashes: of the texts of all ranks.
        """
        for own, theirs in zip(self._copy.parameters(), encoder.parameters(), strict=True):
            own.lerp_(theirs, 1 - self._momentum)
        self._copy.micro_batch_tokens = encoder.micro_batch_tokens
        tokens, offsets = torch.from_numpy(batch.tokens).long(), torch.from_numpy(batch.offsets)
        h = self._copy(tokens.to(self._vectors.device), offsets.to(self._vectors.device))
        new = self._ranks.gathered(functional.normalize(h.float(), dim=1))[: len(self._vectors)]
        kept = len(self._vectors) - len(new)
        # The newest come first, so that the first `seen` are always those that there are.
        self._vectors = torch.cat((new, self._vectors[:kept]))
        self._hashes = np.concatenate([hashes[: len(new)], self._hashes[:kept]])
        self._seen = min(self._seen + len(new), len(self._vectors))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps of it."""
        weights = {f"copy.{name}": tensor for name, tensor in self._copy.state_dict().items()}
        hashes = torch.from_numpy(self._hashes.view(np.int64))
        return weights | {"vectors": self.vectors, "hashes": hashes[: self._seen]}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put it back."""
        weights = {key.removeprefix("copy."): t for key, t in state.items() if key.startswith("copy.")}
        self._copy.load_state_dict(weights)
        self._seen = len(state["vectors"])
        self._vectors[: self._seen] = state["vectors"]
        self._hashes[: self._seen] = state["hashes"].numpy().view(np.uint64)
