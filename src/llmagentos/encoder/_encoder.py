"""The one interface of all encoders: ragged tokens in, one vector a text out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64
from tokenizers import Tokenizer
from torch import Tensor, nn

from llmagentos.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What an encoder does for a batch.

    Attributes:
        tokens: with the special ones.
        slots: places that are computed, so tokens and padding.
        flops: floating point operations of the forward and the backward pass, without padding and without
            anything done twice.
    """

    tokens: int
    slots: int
    flops: float


class Encoder(nn.Module, ABC):
    """A trainable map from the tokens of N texts to N vectors.

    Batches are ragged, so nothing is padded outside an encoder: `tokens` holds all texts one after
    the other and `offsets` where each starts. Tokens are those of the text alone; an encoder whose
    backbone wants special tokens adds them itself.

    Attributes:
        name: What the encoder was loaded from, for model cards and messages.
        tokenizer: Gives the tokens, `tokenizer.encode(text, add_special_tokens=False).ids`.
        dimension: D, the length of the vectors.
        max_tokens: Longest text in tokens without special tokens; None = any length. Longer texts
            are cut by the encoder.
        micro_batch_tokens: Slots of a micro-batch, see `micro_batches`; None = everything goes at once.
    """

    name: str
    tokenizer: Tokenizer
    dimension: int
    max_tokens: int | None
    micro_batch_tokens: int | None = None

    @abstractmethod
    def forward(self, tokens: Int64[Tensor, " t"], offsets: Int64[Tensor, " n+1"]) -> Float32[Tensor, "n d"]:
        """One vector a text, h = Encoder(x).

        Args:
            tokens: Token ids of all texts in order, int64 (T,). What is on the CPU is moved to the encoder's
                GPU without waiting for what that still computes.
            offsets: Where each text starts, then T; int64 (N + 1,), increasing from 0; where the tokens are.

        Returns:
            float32 (N, D), not normalised; an empty text gives a finite vector.
        """

    def micro_batches(self, lengths: Int64[Tensor, " n"]) -> list[Int64[Tensor, " m"]]:
        """Which texts of a batch go through the encoder at once.

        Args:
            lengths: int64 (N,), tokens of each text.

        Returns:
            Row numbers, int64; each of the N in one of them. `forward` works through those of what it is
            given; training gives it one at a time.
        """
        return [torch.arange(len(lengths), device=lengths.device)]

    def work(self, lengths: Int64[Tensor, " n"]) -> Work:
        """What it takes to train on texts of so many tokens.

        Args:
            lengths: int64 (N,).

        Returns:
            Tokens, slots and floating point operations; without an encoder's own word these are 6 T D: 2
            forward and 4 backward for each of the D numbers of each of T tokens.
        """
        tokens = int(lengths.sum())
        return Work(tokens=tokens, slots=tokens, flops=6.0 * tokens * self.dimension)

    def freeze(self, num_layers: int) -> None:
        """Leave the embeddings and the first layers as they are in training.

        Args:
            num_layers: of the layers; 0 freezes nothing.

        Raises:
            ConfigError: the encoder has not more layers than that, or none that it can tell.
        """
        if num_layers:
            raise ConfigError(
                f"freeze_layers must be 0 for {self.name}, which has no layers, got {num_layers} "
                "(training.freeze_layers)"
            )

    @property
    def table(self) -> nn.Parameter | None:
        """The vectors of the tokens; None where they are all that is trained."""
        return None

    @property
    def layers(self) -> Sequence[nn.Module]:
        """The layers of a deep encoder, in the order in which a text goes through them."""
        return []

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write weights and tokenizer so that sentence-transformers loads the folder as it is.

        Args:
            folder: Existing folder. `model.export_model` gives one that appears only when complete.
        """

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on that device; none waits where it goes from the CPU to a GPU."""
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    # By numpy, which copies without waking threads: 16 of them took 3 ms for 36,000 numbers.
    pinned = torch.empty_like(tensor, pin_memory=True)
    np.copyto(pinned.numpy(), tensor.numpy())
    return pinned.to(device, non_blocking=True)
