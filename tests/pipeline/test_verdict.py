"""What is kept of a run: what was trained, unless texts kept aside say that its start was better."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from llmagentos.config import Config
from llmagentos.corpus import Document, PairKind
from llmagentos.encoder import StaticEncoder
from llmagentos.model import EmbeddingModel
from llmagentos.pipeline import _finished, _matching, train
from llmagentos.pipeline._matching import Matching
from llmagentos.pipeline._verdict import verdict_on
from llmagentos.training import TrainingConfig

from ..training.small import make_texts

CONFIG = TrainingConfig().resolved(pretrained=False)
SMALL = [
    *("encoder.dimension=16", "tokens.vocabulary_size=300"),
    *("training.batch_size=32", "training.warmup_steps=0"),
]
WORDS = [f"word{number}" for number in range(40)]
SAME = Matching(tuple(WORDS), tuple(WORDS), tuple(range(40)))


def encoder(table: torch.Tensor) -> StaticEncoder:
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return StaticEncoder.from_table(tokenizer, table)


APART, ALIKE = encoder(torch.eye(40)), encoder(torch.ones(40, 40))


@pytest.mark.parametrize(
    ("trained", "start", "must_be_better", "kept"),
    [
        (APART, ALIKE, False, True),
        (APART, ALIKE, True, True),
        (ALIKE, APART, False, False),
        (ALIKE, APART, True, False),
        (APART, APART, False, True),
        (APART, APART, True, False),
    ],
)
def test_what_is_kept(
    trained: StaticEncoder, start: StaticEncoder, *, must_be_better: bool, kept: bool
) -> None:
    verdict = verdict_on(trained, start, [SAME], CONFIG, must_be_better=must_be_better)
    assert verdict.kept == kept
    assert verdict.difference[0] == pytest.approx(verdict.trained - verdict.start)
    # Among 40 texts that are all alike the own one comes last, among texts at right angles first.
    values = {id(APART): 100.0, id(ALIKE): 100 / 40}
    assert verdict.trained == pytest.approx(values[id(trained)])
    assert verdict.start == pytest.approx(values[id(start)])
    assert not verdict.fell  # of one kind alone all is said already


def test_what_falls_for_one_kind_is_not_made_up_for_by_another() -> None:
    kinds: tuple[PairKind, ...] = ("title",) * 20 + ("reply",) * 20
    both = Matching(tuple(WORDS), tuple(WORDS), tuple(range(40)), kinds)
    half = torch.eye(40)
    half[20:] = 1.0
    # Of titles all is lost that was there, of replies as much is won.
    verdict = verdict_on(encoder(half.flip(0)), encoder(half), [both], CONFIG, must_be_better=False)
    assert verdict.difference[1] < 0 == verdict.difference[0] < verdict.difference[2]
    assert not verdict.kept
    assert list(verdict.fell) == ["title pairs"] and verdict.fell["title pairs"][2] < 0
    assert "; title pairs alone -" in str(verdict)


def test_what_falls_is_seen_beside_pairs_of_kinds_that_are_few() -> None:
    """What beginnings lose, 20 pairs of two kinds win."""
    words = tuple(WORDS)
    pairs = Matching(words[:20], words[:20], tuple(range(20)), ("title",) * 10 + ("turn",) * 10)
    beginnings = Matching(words[20:], words[20:], tuple(range(20, 40)))
    half = torch.eye(40)
    half[20:] = 1.0
    verdict = verdict_on(
        encoder(half), encoder(half.flip(0)), [pairs, beginnings], CONFIG, must_be_better=False
    )
    assert list(pairs.parts) == ["other pairs"] and list(verdict.fell) == ["beginnings"] and not verdict.kept


def documents() -> list[Document]:
    return [Document(id=str(number), text=text) for number, text in enumerate(make_texts(300))]


def test_a_run_that_did_harm_gives_what_it_started_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_matching, "_FEWEST_TEXTS", 100)

    def spoil(trained: StaticEncoder, start: StaticEncoder, share: float) -> None:
        trained.embedding.data.fill_(1.0)

    config = Config().override(SMALL)
    with monkeypatch.context() as patched:
        patched.setattr(_finished, "interpolate", spoil)
        spoilt = train(documents(), tmp_path / "spoilt", config=config, steps=3)
    assert spoilt.verdict is not None and not spoilt.verdict.kept
    assert spoilt.verdict.difference[2] < 0
    gentle = Config().override([*SMALL, "training.learning_rate=1e-9", "training.keep_start=0"])
    still = train(documents(), tmp_path / "still", config=gentle, steps=1)
    assert still.verdict is not None and still.verdict.kept
    texts = make_texts(20)
    vectors = [EmbeddingModel.load(one.path).encode(texts) for one in (spoilt, still)]
    np.testing.assert_allclose(vectors[0] @ vectors[0].T, vectors[1] @ vectors[1].T, atol=1e-4)
    assert "what the run started from" in (spoilt.path / "README.md").read_text(encoding="utf-8")
    rows = json.loads((spoilt.path / "report.json").read_text(encoding="utf-8"))["results"][0]["comparisons"]
    before = next(one for one in rows if one["label"] == "before training")
    assert all(one["value"] == 0 for one in before["differences"])


def test_a_transformer_that_gained_nothing_leaves_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_matching, "_FEWEST_TEXTS", 100)
    config = Config().override([*SMALL, "encoder.heads=2", "training.learning_rate=1e-9"])
    trained = train(documents(), tmp_path / "model", encoder="small", config=config, steps=3)
    assert trained.verdict is not None and not trained.verdict.kept
    assert str(trained.verdict).startswith("the model is the table alone: texts kept aside are matched with")
    card = (trained.path / "README.md").read_text(encoding="utf-8")
    assert "LLMAgentOS static" in card and "so it is the table alone" in card
    assert isinstance(EmbeddingModel.load(trained.path).encoder, StaticEncoder)
