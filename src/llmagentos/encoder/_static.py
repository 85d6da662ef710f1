"""The static encoder: the mean of learned token vectors, trained from nothing in minutes on a CPU.

The gradient of a mean of table rows is what decides the speed of its training; on a CPU the training
engine has its own, see `llmagentos.training`.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float32, Int64
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from llmagentos.encoder._encoder import Encoder, moved
from llmagentos.encoder._folder import write_modules
from llmagentos.encoder._vocabulary import vocabulary_rows


class StaticEncoder(Encoder):
    """Mean of learned token vectors.

        h(x) = (1 / T) sum over t of E[x_t]

    Args:
        tokenizer: Its highest token id gives the rows.
        dimension: D, length of the vectors; 256 to 1,024 is usual.
        token_weights: float32 (V,), scale of each token's first vector (for example inverse document
            frequency), so that rare words count for more from the first step; default all 1.
        seed: Of the random first vectors; rows are N(0, 1/D) times the token's weight.
        name: For model cards and messages.

    Example:
        >>> from tokenizers import models
        >>> tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
        >>> encoder = StaticEncoder(tokenizer, dimension=8)
        >>> h = encoder(torch.tensor([1, 2, 1]), torch.tensor([0, 1, 1, 3]))  # "a", "", "b a"
        >>> h.shape, h[1].abs().max().item()
        (torch.Size([3, 8]), 0.0)
    """

    max_tokens = None

    def __init__(
        self,
        tokenizer: Tokenizer,
        dimension: int = 512,
        *,
        token_weights: npt.NDArray[np.float32] | None = None,
        seed: int = 0,
        name: str = "static",
    ) -> None:
        super().__init__()
        self.name, self.tokenizer, self.dimension = name, tokenizer, dimension
        generator = torch.Generator().manual_seed(seed)
        rows = (
            torch.randn(vocabulary_rows(tokenizer), dimension, generator=generator)
            * max(dimension, 1) ** -0.5
        )
        if token_weights is not None:
            rows *= torch.from_numpy(np.asarray(token_weights, np.float32))[:, None]
        self.embedding = nn.Parameter(rows)

    @classmethod
    def from_table(cls, tokenizer: Tokenizer, table: Tensor, *, name: str = "static") -> "StaticEncoder":
        """An encoder with the given vectors.

        Args:
            tokenizer: Its ids are the rows.
            table: float32 (V, D); becomes the parameter without a copy.
            name: For model cards and messages.

        Returns:
            The encoder.
        """
        encoder = cls(tokenizer, 0, name=name)
        encoder.dimension, encoder.embedding = table.shape[1], nn.Parameter(table)
        return encoder

    def forward(self, tokens: Int64[Tensor, " t"], offsets: Int64[Tensor, " n+1"]) -> Float32[Tensor, "n d"]:
        """Mean vector of each text, float32 (N, D); an empty text gives zero. See `Encoder.forward`."""
        tokens, offsets = moved(tokens, self.device), moved(offsets, self.device)
        # The sum is vectorised and the mean is not: 15 against 36 ms for 130,000 x 512.
        sums = functional.embedding_bag(tokens, self.embedding, offsets, mode="sum", include_last_offset=True)
        return sums / offsets.diff().clamp_min(1).to(sums.dtype)[:, None]

    def save(self, folder: Path) -> None:
        """Write a stock `StaticEmbedding` followed by `Normalize`. See `Encoder.save`."""
        weights = {"embedding.weight": self.embedding.detach().cpu().contiguous()}
        save_file(weights, folder / "model.safetensors")
        self.tokenizer.save(str(folder / "tokenizer.json"))
        write_modules(folder, dimension=self.dimension)
