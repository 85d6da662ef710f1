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
        word_vectors: float32 (V, K), rows of length 1 from which the first directions are made in part, or 0
            for tokens without one; see `cooccurrence_vectors`. Default none.
        word_vector_share: of the squared length of a first vector, in [0, 1].
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
        dimension: int = 1024,
        *,
        token_weights: npt.NDArray[np.float32] | None = None,
        word_vectors: npt.NDArray[np.float32] | None = None,
        word_vector_share: float = 0.3,
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
        if word_vectors is not None:
            rows = _mixed(rows, torch.from_numpy(word_vectors), word_vector_share, generator)
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

    def turn_to_principal_axes(self, h: Float32[Tensor, "n d"]) -> None:
        """Rotate the space so that the first numbers of a vector say the most.

            E <- E V, where V holds the eigenvectors of h^T h, largest eigenvalue first

        Cosines stay as they are, and no other k numbers hold more of `h` than the first k. On arXiv (800
        steps, one seed) 512 of 1,024 kept 94.4 of 94.5 MRR@10, 256 93.3 and 128 91.1, without any training
        for it; with Matryoshka losses, 1.4 times as long, 256 and 128 of 512 kept 92.8 and 90.0 of 93.5
        (600 steps, benchmarks/LOG.md).

        Args:
            h: float32 (n, D), vectors of typical texts, each of length 1; n from D.

        Example:
            >>> from tokenizers import models
            >>> tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}))
            >>> encoder = StaticEncoder.from_table(tokenizer, torch.tensor([[0.6, 0.8], [-0.8, 0.6]]))
            >>> encoder.turn_to_principal_axes(torch.tensor([[0.6, 0.8]] * 3 + [[-0.8, 0.6]]))
            >>> encoder.embedding.detach().round(decimals=3).abs().tolist()
            [[1.0, 0.0], [0.0, 1.0]]

        Source: Raunak et al., 2019, "Effective Dimensionality Reduction for Word Embeddings", without the
        removal of the first directions, which cost 0.1 to 1.3 points (benchmarks/LOG.md, 2026-11-26).
        """
        with torch.no_grad():
            axes = torch.linalg.eigh((h.T @ h).double()).eigenvectors.flip(1)
            largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
            self.embedding.copy_(self.embedding @ (axes * largest.sign()).to(self.embedding))

    def save(self, folder: Path) -> None:
        """Write a stock `StaticEmbedding` followed by `Normalize`. See `Encoder.save`."""
        weights = {"embedding.weight": self.embedding.detach().cpu().contiguous()}
        save_file(weights, folder / "model.safetensors")
        self.tokenizer.save(str(folder / "tokenizer.json"))
        write_modules(folder, dimension=self.dimension)


def _mixed(rows: Tensor, vectors: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Random rows of length 1 in the mean, of whose squared length a share is now that of known vectors."""
    dimension, width = rows.shape[1], max(rows.shape[1], vectors.shape[1])
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=generator))
    # In a narrower space it is a random projection, which keeps cosines but for a little noise.
    known = functional.normalize(vectors @ turn[: vectors.shape[1], :dimension])
    shares = share * known.any(dim=1, keepdim=True)
    mixed: Tensor = (1 - shares).sqrt() * rows + shares.sqrt() * known
    return mixed
