"""Which views suit this text and this encoder: a short trial on text kept aside decides.

Published results conflict by the length of texts, so neither crops nor dropout is assumed (design
2.6). Each recipe trains the same start for a few steps on the same texts; then texts that no recipe
trained on are matched, title to body or, without titles, beginning to rest, and the recipe that
matches them best is taken. No label is used, and none of the held-out texts.
"""

import heapq
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
import xxhash

from llmagentos.corpus import Document
from llmagentos.encoder import Encoder
from llmagentos.loss import NTXentLoss
from llmagentos.model import EmbeddingModel
from llmagentos.training import Budget, ResolvedTrainingConfig, autocast_to, train_encoder
from llmagentos.views import Preset, Views

RECIPES: Final[tuple[Preset, ...]] = ("span", "dropout")
_NUM_TEXTS: Final = 200
_STEPS: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What one recipe reached.

    Attributes:
        preset: of `ViewsConfig`.
        before: cross-entropy of picking each query's own text among all probe texts, with the
            encoder as it came, nats; log(number of texts) at chance, lower is better.
        after: the same after the trial.
    """

    preset: Preset
    before: float
    after: float

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.preset}: cross-entropy {self.before:.4f} -> {self.after:.4f}"


def probe_texts(documents: Iterable[Document]) -> list[Document]:
    """The 200 texts with the smallest hashes, which a probe keeps aside.

    Args:
        documents: the training documents, in any order.

    Returns:
        In the order of their hashes.
    """
    return heapq.nsmallest(_NUM_TEXTS, documents, key=lambda d: xxhash.xxh3_64_intdigest(d.text.encode()))


def choose_views(
    encoder: Encoder,
    num_texts: int,
    texts: Sequence[Document],
    views_of: Callable[[Preset], Views],
    loss: NTXentLoss,
    config: ResolvedTrainingConfig,
    folder: Path,
    *,
    on_trial: Callable[[Trial], None],
) -> list[Trial]:
    """Try each recipe for ten steps and rank them.

    Args:
        encoder: the start; as it was when this returns.
        num_texts: what is trained on, without `texts`.
        texts: from `probe_texts`.
        views_of: makes the views of a preset.
        loss: of the run.
        config: of the run; the trials take a quarter of its batch, to leave time for the run itself.
        folder: for the trials' own files; removed.
        on_trial: called after each.

    Returns:
        The trials, best first.
    """
    start = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    brief = replace(config, batch_size=max(2, config.batch_size // 4))
    before = _matching_cross_entropy(encoder, texts, loss.temperature, config)
    trials: list[Trial] = []
    for preset in RECIPES:
        train_encoder(encoder, views_of(preset), num_texts, loss, brief, Budget(steps=_STEPS), folder)
        after = _matching_cross_entropy(encoder, texts, loss.temperature, config)
        trials.append(Trial(preset=preset, before=before, after=after))
        on_trial(trials[-1])
        encoder.load_state_dict(start)
        shutil.rmtree(folder)
    return sorted(trials, key=lambda trial: trial.after)


def _matching_cross_entropy(
    encoder: Encoder, texts: Sequence[Document], temperature: float, config: ResolvedTrainingConfig
) -> float:
    model = EmbeddingModel(encoder)
    queries, bodies = zip(*map(_query_and_body, texts), strict=True)
    with autocast_to(config.precision, encoder.device):
        similarities = torch.from_numpy(model.encode(queries) @ model.encode(bodies).T)
    return torch.nn.functional.cross_entropy(similarities / temperature, torch.arange(len(texts))).item()


def _query_and_body(document: Document) -> tuple[str, str]:
    """Title and text; without a title the first fifth of the text and the rest."""
    if document.title:
        return document.title, document.text
    cut = max(1, len(document.text) // 5)
    return document.text[:cut], document.text[cut:]
