"""Encoder stage: the ragged tokens of N texts become N vectors, h = Encoder(x)."""

from typing import TYPE_CHECKING, Any

from llmagentos.encoder._config import EncoderConfig
from llmagentos.encoder._dropout import dropout_mask
from llmagentos.encoder._encoder import Encoder, Work, moved
from llmagentos.encoder._folder import Pooling
from llmagentos.encoder._loading import load_encoder
from llmagentos.encoder._memory import can_go_on_after, is_out_of_memory, memory_for
from llmagentos.encoder._static import StaticEncoder

if TYPE_CHECKING:
    from llmagentos.encoder._adaptation import adapt_vocabulary
    from llmagentos.encoder._small import grow
    from llmagentos.encoder._transformer import TransformerEncoder

__all__ = [
    "Encoder",
    "EncoderConfig",
    "Pooling",
    "StaticEncoder",
    "TransformerEncoder",
    "Work",
    "adapt_vocabulary",
    "can_go_on_after",
    "dropout_mask",
    "grow",
    "is_out_of_memory",
    "load_encoder",
    "memory_for",
    "moved",
]


def __getattr__(name: str) -> Any:
    # transformers takes a second to import, and static models need none of it.
    if name == "adapt_vocabulary":
        from llmagentos.encoder._adaptation import adapt_vocabulary

        return adapt_vocabulary
    if name == "TransformerEncoder":
        from llmagentos.encoder._transformer import TransformerEncoder

        return TransformerEncoder
    if name == "grow":
        from llmagentos.encoder._small import grow

        return grow
    raise AttributeError(f"module {__name__} has no attribute {name}")
