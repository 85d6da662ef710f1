"""Where an encoder from nothing begins."""

import numpy as np

from llmagentos.config import Config
from llmagentos.encoder import StaticEncoder
from llmagentos.tokens import TokenStore


def new_static(store: TokenStore, config: Config) -> StaticEncoder:
    """A static encoder from nothing: random directions, lengths by inverse document frequency.

    Before any training it is a random projection of TF-IDF. On arXiv abstracts that start has MRR@10
    79 to 83 where equal lengths have 46, and is 0.5 points ahead after 900 steps.
    """
    idf = np.log((1 + len(store)) / (1 + store.document_counts)) / np.log(1 + len(store))
    return StaticEncoder(
        store.tokenizer,
        config.encoder.dimension,
        token_weights=idf.astype(np.float32),
        seed=config.training.seed,
    )
