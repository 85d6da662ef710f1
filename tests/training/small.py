"""Small texts, stores and encoders that can be trained in a second, the same in every process."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
import xxhash
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from llmagentos.corpus import Document
from llmagentos.encoder import Encoder, StaticEncoder, TransformerEncoder
from llmagentos.loss import NTXentLoss
from llmagentos.tokens import TokenStore, build_store
from llmagentos.training import Budget, ResolvedTrainingConfig, TrainingConfig, TrainingResult, train_encoder
from llmagentos.views import ViewBatch, Views, ViewsConfig
from tests.encoder.tiny import tiny_bert

Kind = TypeVar("Kind", bound=TransformerEncoder)

TOPICS, ENDINGS = "bdfgklmn", [f"{'aeiou'[n % 5]}{letter}o" for n, letter in enumerate("bcdfgklmnprs")]
WORDS = [topic + ending for topic in TOPICS for ending in ENDINGS]


def make_texts(number: int) -> list[str]:
    """Texts of two to four sentences, each about one of eight topics."""

    def word(text: int, place: int) -> str:
        choice = xxhash.xxh64_intdigest(f"{text} {place}".encode()) % len(ENDINGS)
        return WORDS[text % len(TOPICS) * len(ENDINGS) + choice]

    return [
        " ".join(
            " ".join(word(text, 10 * sentence + place) for place in range(5 + text % 3)).capitalize() + "."
            for sentence in range(2 + text % 3)
        )
        for text in range(number)
    ]


def make_documents(texts: Sequence[str]) -> list[Document]:
    """Texts whose first sentences are their titles as well."""
    return [
        Document(id=str(number), text=text, title=text.split(".")[0]) for number, text in enumerate(texts)
    ]


def word_tokenizer() -> Tokenizer:
    """Whole words, without training."""
    words = ["[UNK]", ".", *WORDS, *(word.capitalize() for word in WORDS)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def make_store(folder: Path, texts: Sequence[str], tokenizer: Tokenizer | None = None) -> TokenStore:
    """A store of the texts."""
    documents = [Document(id=str(number), text=text) for number, text in enumerate(texts)]
    return build_store(documents, tokenizer or word_tokenizer(), folder)


def static(tokenizer: Tokenizer, dimension: int = 16) -> StaticEncoder:
    """An encoder from nothing."""
    return StaticEncoder(tokenizer, dimension)


def bert() -> TransformerEncoder:
    """A tiny BERT with dropout; its weights are always the same, and its tokenizer hardly ever."""
    return bert_of(TransformerEncoder)


def bert_of(kind: type[Kind]) -> Kind:
    """The same, as an encoder that differs."""
    torch.manual_seed(0)
    return kind(*tiny_bert())


CONFIG = TrainingConfig(
    batch_size=16, learning_rate=0.01, max_tokens=20, warmup_steps=3, checkpoint_steps=5, precision="fp32"
).resolved(pretrained=False)
VIEWS = ViewsConfig(preset="paragraph", word_swap=0.2, sentence_reordering=0.5)


def make_pairs(store: TokenStore) -> ViewBatch:
    """Twelve pairs of a store of more texts."""
    return Views(store, VIEWS).views(np.arange(12), seed=0, epoch=0, max_tokens=20)


def train(
    encoder: Encoder,
    store: TokenStore,
    folder: Path,
    *,
    config: ResolvedTrainingConfig = CONFIG,
    views: Views | None = None,
    budget: Budget | None = None,
    steps: int = 12,
    **options: Any,
) -> TrainingResult:
    """`train_encoder` with the usual of these tests."""
    return train_encoder(
        encoder,
        views or Views(store, VIEWS),
        len(store),
        NTXentLoss(0.1),
        config,
        budget or Budget(steps=steps),
        folder,
        **options,
    )


def same_weights(left: nn.Module, right: nn.Module) -> bool:
    """Whether two encoders are equal to the last bit."""
    one, other = left.state_dict(), right.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Hungry(TransformerEncoder):
    """A Transformer for which memory really runs out when it gets more than `most` tokens at once."""

    most = 2**62
    on_the_way_back = False

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        h = super().forward(tokens, offsets)
        if len(tokens) <= self.most:
            return h
        if self.on_the_way_back:
            return with_gradient(h, lambda gradient: gradient + torch.empty(2**48))
        return h + torch.empty(2**48)


class Spoilt(Encoder):
    """A static encoder whose vectors are spoilt from some step on."""

    max_tokens = None

    def __init__(self, tokenizer: Tokenizer, spoil: "Spoil", from_step: int) -> None:
        super().__init__()
        self.name, self.tokenizer, self.dimension = "spoilt", tokenizer, 16
        self.static = static(tokenizer)
        self._spoil, self._left = spoil, from_step

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        h: Tensor = self.static(tokens, offsets)
        self._left -= 1
        return h if self._left > 0 else self._spoil(h)

    def save(self, folder: Path) -> None:
        self.static.save(folder)


class Spoil:
    """What happens to the vectors."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, h: Tensor) -> Tensor:
        """Spoil them."""
        if self.kind == "one point":
            return h * 0 + 1
        if self.kind == "nearly one point":
            return h * 0.01 + 1
        if self.kind == "not a number":
            return h * float("nan")
        return with_gradient(h, lambda gradient: gradient * float("inf"))


def with_gradient(h: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The same, but its gradient is changed on the way back."""
    same: Tensor = cast(Callable[..., Tensor], _WithGradient.apply)(h, change)
    return same


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.change = change
        return h.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        changed: Tensor = ctx.change(gradient)
        return changed, None
