"""New words for a pretrained Transformer: rows are added to its table of token vectors.

The rows that were there stay as they are, in training too, and before training a text without any new token
has the very vector that it had (where the new words are Chinese, but for traditional characters and
full-width forms, which `extend_tokenizer` reads as others). The layers learn slowly beside the new rows
(`training.table_rate`).
"""

import json
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Float32, Int64
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from llmagentos.encoder._vocabulary import vocabulary_rows

if TYPE_CHECKING:
    from llmagentos.encoder._transformer import TransformerEncoder


class ExtendedEmbedding(nn.Module):
    """A table of token vectors in two parts, of which only the new one is trained.

        E[i] = weight[i] where i < V, else new[i - V]

    Args:
        weight: float32 (V, D), frozen.
        new: float32 (W, D), first vectors of the tokens V to V + W - 1.

    Example:
        >>> table = ExtendedEmbedding(torch.zeros(10, 4), torch.ones(2, 4))
        >>> table(torch.tensor([[3, 11]])).sum(-1)
        tensor([[0., 4.]], grad_fn=<SumBackward1>)
    """

    def __init__(self, weight: Float32[Tensor, "v d"], new: Float32[Tensor, "w d"]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.new = nn.Parameter(new)

    def forward(self, ids: Int64[Tensor, "..."]) -> Float32[Tensor, "... d"]:
        """The rows of the tokens."""
        size = len(self.weight)
        old = functional.embedding(ids.clamp(max=size - 1), self.weight)
        # Old tokens read row 0 here, and give it no gradient.
        new = functional.embedding((ids - size).clamp(min=0), self.new)
        return torch.where((ids < size)[..., None], old, new)

    @property
    def joined(self) -> Float32[Tensor, "x d"]:
        """All rows as one table, (V + W, D)."""
        return torch.cat([self.weight.detach(), self.new.detach()])


def adapt_vocabulary(encoder: "TransformerEncoder", tokenizer: Tokenizer, *, seed: int = 0) -> None:
    """Give an encoder the tokens that an extended tokenizer has more than its own.

    A new token starts as the mean of the pieces that the old tokenizer cuts it into. Where it did not know
    one of them, it starts at random, N(mean, covariance) of the old rows: different from all others, and
    like what the layers are used to.

    Args:
        encoder: with a WordPiece tokenizer; changed in place; the old rows of its table are frozen.
        tokenizer: from `llmagentos.tokens.extend_tokenizer` and the encoder's.
        seed: of the random rows.
    """
    backbone, old = encoder.backbone, encoder.tokenizer
    size = vocabulary_rows(old)
    weight = cast(nn.Embedding, backbone.get_input_embeddings()).weight.detach()[:size]
    model = json.loads(old.to_str())["model"]
    unknown, inside = model["vocab"][model["unk_token"]], model["continuing_subword_prefix"]
    added = sorted((row, token) for token, row in tokenizer.get_vocab().items() if row >= size)
    rows = _random_rows(weight.cpu(), len(added), seed).to(weight.device)
    for row, (_, token) in zip(rows, added, strict=True):
        pieces = [piece.id for piece in old.model.tokenize(token.removeprefix(inside))]
        if unknown not in pieces:
            row.copy_(weight[pieces].mean(0))
    backbone.set_input_embeddings(ExtendedEmbedding(weight, rows))
    backbone.config.vocab_size = size + len(added)
    old.model, old.normalizer = tokenizer.model, tokenizer.normalizer


def joined_state(backbone: PreTrainedModel) -> dict[str, Tensor] | None:
    """The weights of a backbone as its architecture has them, with one table; None where they are so."""
    for name, module in backbone.named_modules():
        if isinstance(module, ExtendedEmbedding):
            state = backbone.state_dict()
            del state[f"{name}.new"]
            return state | {f"{name}.weight": module.joined}
    return None


def _random_rows(table: Float32[Tensor, "v d"], number: int, seed: int) -> Float32[Tensor, "w d"]:
    """Rows N(mean, covariance) of those of a table."""
    mean = table.mean(0)
    # The square root of the covariance by its eigenvectors: a small table's is singular.
    values, vectors = torch.linalg.eigh((table - mean).T @ (table - mean) / len(table))
    noise = torch.randn(number, table.shape[1], generator=torch.Generator().manual_seed(seed))
    rows: Tensor = mean + noise * values.clamp_min(0).sqrt() @ vectors.T
    return rows
