"""The small encoder: a Transformer that grows on a trained static table, and at first says what that says.

A `ModernBertModel`, which transformers and sentence-transformers know: layers with norms before them, rotary
positions, GeGLU and no biases, and the mean of the last hidden states. Its outputs `Wo` are zero, so that
only the table comes through, and the two norms on the way are made to let it:

    norm(x) = sqrt(eps) (x - mean(x)) / sqrt(var(x) + eps) = x - mean(x)   where var(x) << eps

A norm with the usual eps of 1e-5 would give all rows the same length, and the length of a row is the weight
of its token. What the norm takes away, the mean over the D numbers of a row, is made to be the direction of
the table in which there is least.
"""

from collections.abc import Callable
from typing import Any, Final

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from transformers import ModernBertConfig, ModernBertModel, PreTrainedTokenizerFast

from llmagentos.encoder._config import EncoderConfig
from llmagentos.encoder._static import StaticEncoder
from llmagentos.encoder._transformer import TransformerEncoder

# Of rows whose numbers have a mean square of 1: one of 4 is shortened by 0.2%, one of 100 by 5%.
_NORM_EPS: Final = 1000.0
# Longer texts are cut by sentence-transformers as well; nothing is learned of a position.
_LONGEST: Final = 8192
_SPECIAL_TOKENS: Final = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")

# The class is untyped in transformers.
_fast_tokenizer: Callable[..., PreTrainedTokenizerFast] = PreTrainedTokenizerFast


def grow(static: StaticEncoder, config: EncoderConfig, *, seed: int = 0) -> TransformerEncoder:
    """A Transformer on the table of a static encoder, with the same similarities until it is trained.

        h(x) = mean over t of norm(E[x_t] + branch(x)_t),   branch = 0

    Args:
        static: trained; its table is copied, turned and scaled.
        config: layers and heads; the width is that of the table.
        seed: of the branch's first weights.

    Returns:
        The encoder, float32, on the CPU, in evaluation mode; the cosine of two of its vectors is that of
        the static ones but for what lies in one of D directions.

    Raises:
        ConfigError: the heads do not divide the width.

    Source: Warner et al. 2024, ModernBERT, section 2.1; Bachlechner et al. 2021, ReZero, section 3 (a branch
    that begins at zero); Su et al. 2021, RoFormer, section 3.2; Shazeer 2020, GLU Variants, equation 6.
    """
    table = spread(static.embedding.detach().cpu().float())
    num_rows, width = table.shape
    config.check_heads(width)
    # No token is special, and padding is left out by the attention mask. Every layer sees the whole text.
    plain: dict[str, Any] = dict.fromkeys(_SPECIAL_TOKENS) | {"global_attn_every_n_layers": 1}
    shape = ModernBertConfig(
        vocab_size=num_rows,
        hidden_size=width,
        intermediate_size=width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        max_position_embeddings=_LONGEST,
        norm_eps=_NORM_EPS,
        **plain,
    )
    backbone = ModernBertModel(shape)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        backbone.embeddings.tok_embeddings.weight.copy_(table)
        for name, module in backbone.named_modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.fill_(_NORM_EPS**0.5)
            elif isinstance(module, nn.Linear) and name.endswith("Wo"):
                module.weight.zero_()
            elif isinstance(module, nn.Linear):
                module.weight.normal_(0.0, width**-0.5, generator=generator)
    # Without its inputs named, transformers 4 would give the model types of tokens, which it has not.
    inputs = ["input_ids", "attention_mask"]
    tokenizer = _fast_tokenizer(
        tokenizer_object=static.tokenizer, unk_token="[UNK]", model_input_names=inputs
    )
    return TransformerEncoder(backbone, tokenizer, name="small").eval()


def spread(table: Float32[Tensor, "v d"]) -> Float32[Tensor, "v d"]:
    """A table with the same similarities whose rows lose least to a norm: mirrored, and scaled.

        E (I - 2 u u^T) / rms(E),   u = (v - 1 / sqrt(D)) / |v - 1 / sqrt(D)|

    where v is the direction in which E has least; the mirror puts it where a norm takes the mean away.

    Args:
        table: float32 (V, D), not all zero.

    Returns:
        float32 (V, D) with a mean square of 1.

    Source: Householder 1958, Unitary Triangularization of a Nonsymmetric Matrix (the mirror).

    Example:
        >>> turned = spread(torch.tensor([[3.0, 4.0, 0.0], [-3.0, 4.0, 0.0]]))
        >>> turned.mean(1).abs().max().item() < 1e-6
        True
    """
    exact = table.double()
    least = torch.linalg.eigh(exact.T @ exact).eigenvectors[:, 0]
    ones = torch.full_like(least, len(least) ** -0.5)
    # Of the two directions the one that is farther from the other, for the digits.
    mirror = least + ones if least @ ones > 0 else least - ones
    mirror /= mirror.norm()
    turned = exact - 2 * torch.outer(exact @ mirror, mirror)
    return (turned / turned.square().mean().sqrt()).float()
