"""Model stage: a trained encoder becomes a folder, and a folder an `EmbeddingModel`."""

from llmagentos.model._card import CardScore, CardSource, ModelCard
from llmagentos.model._embedding_model import EmbeddingModel
from llmagentos.model._embeddings import Embedded, write_embeddings
from llmagentos.model._export import export_model

__all__ = [
    "CardScore",
    "CardSource",
    "Embedded",
    "EmbeddingModel",
    "ModelCard",
    "export_model",
    "write_embeddings",
]
