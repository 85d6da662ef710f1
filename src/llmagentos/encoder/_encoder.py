"""The one interface of all encoders: ragged tokens in, one vector a text out."""

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from jaxtyping import Float32, Int64
from tokenizers import Tokenizer
from torch import Tensor, nn


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
    """

    name: str
    tokenizer: Tokenizer
    dimension: int
    max_tokens: int | None

    @abstractmethod
    def forward(self, tokens: Int64[Tensor, " t"], offsets: Int64[Tensor, " n+1"]) -> Float32[Tensor, "n d"]:
        """One vector a text, h = Encoder(x).

        Args:
            tokens: Token ids of all texts in order, int64 (T,).
            offsets: Where each text starts, then T; int64 (N + 1,), increasing from 0.

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

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write weights and tokenizer so that sentence-transformers loads the folder as it is.

        Args:
            folder: Existing folder. `model.export_model` gives one that appears only when complete.
        """

    @property
    def device(self) -> torch.device:
        """Where the weights are, and the tokens must be."""
        return next(self.parameters()).device
