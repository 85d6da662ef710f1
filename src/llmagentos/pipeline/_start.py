"""What a run starts from: an encoder, and names that mean the same everywhere."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from llmagentos.config import Config
from llmagentos.corpus import write_whole
from llmagentos.encoder import Encoder, StaticEncoder, load_encoder
from llmagentos.errors import ConfigError, InputError, ModelError
from llmagentos.model import EmbeddingModel
from llmagentos.tokens import TokenStore, check_extendable, cooccurrence_vectors

STATIC_FOLDER: Final = "static"
STATIC_RUN: Final = "static-run"
_WORD_VECTORS_NAME: Final = "word-vectors.npy"
# Of the squared length of a first vector. arXiv cs, 800 steps of 1,024, one seed, papers of 2019 (all, the
# fifth with the least words in common, without the title's words): 93.9 / 84.5 / 30.1 with random directions
# alone, 94.2 / 85.7 / 32.8 with 0.3, 94.1 / 85.4 / 34.1 with 0.6. Technical documents and chat, 500 steps:
# linked messages 20.0 and 20.8, 10-NN of Banking77 83.5 and 84.7, of CLINC150 87.1 and 87.2.
_SHARE_OF_COOCCURRENCE: Final = 0.3
# all-MiniLM-L6-v2 as the teacher, technical documents and chat, 500 steps: 10-NN of Banking77 84.5 with
# co-occurrence and 86.0, of CLINC150 88.8 and 90.3, with five texts a label 61.8 and 64.5, 76.9 and 79.5.
_SHARE_OF_TEACHER: Final = 0.6
# In less text most tokens have too few neighbours, as words that are related have (`learn_related_words`).
_FEWEST_TOKENS: Final = 1_000_000
_TEXTS_FOR_AXES: Final = 8_000


def new_static(store: TokenStore, config: Config, work: Path) -> StaticEncoder:
    """A static encoder from nothing: lengths by inverse document frequency, directions partly random.

    With random directions alone it is a random projection of TF-IDF before any training. On arXiv abstracts
    that start has MRR@10 79 to 83 where equal lengths have 46, and is 0.5 points ahead after 900 steps.

    Args:
        store: of the run.
        config: of the run.
        work: the working folder, where the vectors from co-occurrence are kept, for they are made once a run.

    Returns:
        The same for the same arguments.
    """
    assert config.encoder.dimension is not None
    idf = np.log((1 + len(store)) / (1 + store.document_counts)) / np.log(1 + len(store))
    return StaticEncoder(
        store.tokenizer,
        config.encoder.dimension,
        token_weights=idf.astype(np.float32),
        word_vectors=_word_vectors(store, config.encoder.teacher, work / _WORD_VECTORS_NAME),
        word_vector_share=_SHARE_OF_TEACHER if config.encoder.teacher else _SHARE_OF_COOCCURRENCE,
        seed=config.training.seed,
    )


def _word_vectors(store: TokenStore, teacher: str | None, path: Path) -> npt.NDArray[np.float32] | None:
    """Where there is a teacher or text enough; a run that goes on reads what it made, to the last bit."""
    if teacher is None and store.num_tokens < _FEWEST_TOKENS:
        return None
    if not path.exists():
        size = len(store.document_counts)
        vectors = _taught(store, size, teacher) if teacher else cooccurrence_vectors(store, size)
        made = io.BytesIO()
        np.save(made, vectors)
        write_whole(path, made.getvalue())
    try:
        found: npt.NDArray[np.float32] = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} is damaged ({error}); remove it, and go on with --resume: it is made again"
        ) from error
    return found


def _taught(store: TokenStore, size: int, teacher: str) -> npt.NDArray[np.float32]:
    """A teacher's vectors of the entries of a vocabulary as texts, less their mean, of length 1.

    Source: Tulkens and van Dongen 2024, "Model2Vec", without the reduction by PCA.
    """
    entries = {place: entry for entry, place in store.tokenizer.get_vocab().items()}
    model = EmbeddingModel(load_encoder(teacher))
    vectors = np.asarray(model.encode([entries.get(place, "") for place in range(size)]), np.float32)
    vectors -= vectors.mean(axis=0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-6)).astype(np.float32)
    return unit


def put_dimensions_in_order(encoder: Encoder, store: TokenStore) -> None:
    """Turn a static encoder so that vectors may be cut after any number; see `turn_to_principal_axes`.

    Args:
        encoder: static, trained; changed.
        store: of the run; 8,000 of its texts are embedded, evenly spread.
    """
    assert isinstance(encoder, StaticEncoder)
    rows = np.linspace(0, len(store) - 1, min(len(store), _TEXTS_FOR_AXES)).astype(np.int64)
    batch = store.batch(rows)
    with torch.no_grad():
        h = encoder(torch.from_numpy(batch.tokens.astype(np.int64)), torch.from_numpy(batch.offsets))
    encoder.turn_to_principal_axes(torch.nn.functional.normalize(h))


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
        return new_static(store, config, work)
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


def check_teacher(name: str, config: Config) -> None:
    """Refuse a teacher that cannot be used, before all the text is read.

    Raises:
        ConfigError: the encoder has vectors of its own.
        ModelError: the teacher cannot be loaded.
    """
    if config.encoder.teacher is None:
        return
    if name not in ("static", "small"):
        raise ConfigError(
            f"teacher must be left out for {name}, which has vectors of its own, got "
            f"{config.encoder.teacher}; a teacher is for static and small (encoder.teacher)"
        )
    try:
        load_encoder(config.encoder.teacher)
    except ModelError as error:
        raise ModelError(f"teacher {config.encoder.teacher}: {error} (encoder.teacher)") from error


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


def with_teacher_found(config: Config) -> Config:
    """The configuration with a teacher that is a folder by its whole path."""
    teacher = config.encoder.teacher
    found = None if teacher is None else encoder_name(teacher)
    return replace(config, encoder=replace(config.encoder, teacher=found))
