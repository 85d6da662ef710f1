"""Which views suit this text and this encoder: a short trial on text kept aside decides.

Published results conflict by the length of texts, so neither crops nor dropout is assumed (design
2.6). Each recipe trains the same start on as many tokens, for a run has so much time and not so many
steps: ten steps of the recipe with the longest views, more of the others. Then texts that no recipe
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
from llmagentos.training import (
    Budget,
    ResolvedTrainingConfig,
    autocast_to,
    batch_at,
    train_encoder,
)
from llmagentos.views import Preset, Views

RECIPES: Final[tuple[Preset, ...]] = ("span", "dropout")
_NUM_TEXTS: Final = 200
_STEPS: Final = 10


def usual_preset(*, transforms: bool) -> Preset:
    """The views where nothing was asked for and nothing tried: what a Transformer reads is longer."""
    return "span" if transforms else "crop"


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
    """Try each recipe on as many tokens and rank them.

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
    recipes = {preset: views_of(preset) for preset in RECIPES}
    step_tokens = {preset: _tokens_of_a_step(views, num_texts, brief) for preset, views in recipes.items()}
    trials: list[Trial] = []
    for preset, views in recipes.items():
        steps = round(_STEPS * max(step_tokens.values()) / step_tokens[preset])
        train_encoder(encoder, views, num_texts, loss, brief, Budget(steps=steps), folder)
        after = _matching_cross_entropy(encoder, texts, loss.temperature, config)
        trials.append(Trial(preset=preset, before=before, after=after))
        on_trial(trials[-1])
        encoder.load_state_dict(start)
        shutil.rmtree(folder)
    return sorted(trials, key=lambda trial: trial.after)


def _tokens_of_a_step(views: Views, num_texts: int, config: ResolvedTrainingConfig) -> int:
    """Tokens of both views in the first batch of a run."""
    _, indices = batch_at(0, batch_size=min(config.batch_size, num_texts), size=num_texts, seed=config.seed)
    pairs = views.views(indices, seed=config.seed, epoch=0, max_tokens=config.max_tokens)
    return len(pairs.a.tokens) + len(pairs.b.tokens)


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
