"""What a run starts from: an encoder, and names that mean the same everywhere."""

import os
from pathlib import Path
from typing import Final

import numpy as np

from llmagentos.config import Config
from llmagentos.encoder import Encoder, StaticEncoder, load_encoder
from llmagentos.errors import ConfigError, ModelError
from llmagentos.tokens import TokenStore, check_extendable

STATIC_FOLDER: Final = "static"


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


def starting_encoder(
    name: str, store: TokenStore, config: Config, work: Path, pretrained: Encoder | None = None
) -> Encoder:
    """What a run starts from, the same in each of its processes.

    Args:
        name: "static" (from nothing), "small" (on the table that `train_table` has put into `work`), or
            what `load_encoder` takes.
        store: of the run; its tokenizer was extended if the settings say so.
        config: of the run.
        work: the working folder.
        pretrained: the encoder of that name, where it is loaded already; changed in place.

    Returns:
        The encoder, with rows for all tokens of the store; on the CPU if it was not loaded before.
    """
    if name == "static":
        return new_static(store, config)
    if name != "small":
        encoder = pretrained or load_encoder(name)
        if config.encoder.adapt_vocabulary:
            from llmagentos.encoder import TransformerEncoder, adapt_vocabulary  # 1 s, which static needs not

            assert isinstance(encoder, TransformerEncoder)  # see `check_adaptable`
            adapt_vocabulary(encoder, store.tokenizer, seed=config.training.seed)
        return encoder
    from llmagentos.encoder import grow  # with transformers, which takes a second

    static = load_encoder(work / STATIC_FOLDER)
    assert isinstance(static, StaticEncoder)
    return grow(static, config.encoder, seed=config.training.seed)


def check_adaptable(name: str, encoder: Encoder | None, config: Config) -> None:
    """Refuse to adapt the vocabulary of what has none that can be, before all the text is read.

    Raises:
        ConfigError: a static encoder, or layers that are to be frozen, with the table below them.
        ModelError: a tokenizer that cannot be extended.
    """
    if not config.encoder.adapt_vocabulary:
        return
    if encoder is None or isinstance(encoder, StaticEncoder):
        why = (
            "static trains its own vocabulary"
            if encoder is None
            else f"{name} has no layers to read new words"
        )
        raise ConfigError(
            f"adapt_vocabulary must be false for a static encoder, got true: {why}; train without "
            "--adapt-vocabulary, or choose minilm (encoder.adapt_vocabulary)"
        )
    if config.training.freeze_layers:
        raise ConfigError(
            "freeze_layers must be 0 where the vocabulary is adapted, for it would freeze the new words too, "
            f"got {config.training.freeze_layers} (training.freeze_layers)"
        )
    try:
        check_extendable(encoder.tokenizer)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def absolute(name: str | Path) -> str:
    """A file or folder by its whole path, so that a run may go on from elsewhere; "-" as it is."""
    return str(name) if name == "-" else str(Path(os.path.expanduser(name)).absolute())


def encoder_name(name: str) -> str:
    """A folder by its whole path, anything else as it is; `static`, `small` and `minilm` are no folders."""
    is_folder = name not in ("static", "small", "minilm") and Path(os.path.expanduser(name)).is_dir()
    return absolute(name) if is_folder else name
