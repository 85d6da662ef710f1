"""What a run keeps of the weights that it started from: the cheapest protection against forgetting."""

import torch

from llmagentos.encoder import Encoder


def interpolate(encoder: Encoder, start: Encoder, share: float) -> None:
    """Move trained weights a part of the way back.

        w <- (1 - share) w + share w_0

    Args:
        encoder: trained; changed.
        start: what it was trained from. A table that has grown since stays as it was trained.
        share: in [0, 1); 0 changes nothing.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (WiSE-FT); Xiao et al. 2023,
    "LM-Cocktail" (the same for embeddings).

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> from llmagentos.encoder import StaticEncoder
        >>> tokenizer = Tokenizer(models.WordLevel({"a": 0}))
        >>> trained = StaticEncoder.from_table(tokenizer, torch.tensor([[1.0, 0.0]]))
        >>> start = StaticEncoder.from_table(tokenizer, torch.tensor([[0.0, 1.0]]))
        >>> interpolate(trained, start, 0.25)
        >>> trained.embedding.tolist()
        [[0.75, 0.25]]
    """
    first = dict(start.named_parameters())
    with torch.no_grad():
        for name, weights in encoder.named_parameters():
            old = first.get(name)
            if old is not None and old.shape == weights.shape:
                weights.lerp_(old.to(weights), share)
