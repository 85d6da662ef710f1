"""A pretrained model that is given the words of a corpus, through the whole line."""

from pathlib import Path

import numpy as np
import pytest
from opencc import OpenCC
from sentence_transformers import SentenceTransformer

from llmagentos.config import Config
from llmagentos.encoder import TransformerEncoder
from llmagentos.model import EmbeddingModel
from llmagentos.pipeline import train

from ..cli import CHINESE, TINY, run, write_texts
from ..dying import killed_at
from ..encoder.tiny import save_models

STEPS = 7
CONFIG = Config().override(
    [
        "encoder.adapt_vocabulary=true",
        "training.batch_size=8",
        "training.checkpoint_steps=2",
        "tokens.vocabulary_size=300",
        "corpus.heldout_fraction=0.2",
    ]
)
OLD = ["The lazy dog", "quick brown fox", "", "two views of each text"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"), CHINESE)


@pytest.fixture(scope="module")
def model(models: dict[str, Path], texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapted") / "model"
    arguments = ("--encoder", models["bert"], "--adapt-vocabulary", "--steps", str(STEPS), *TINY)
    done = run("train", texts, "--out", out, *arguments)
    assert done.status == 0, done
    return out


def test_new_words_are_learned_with_settings_of_their_own(model: Path) -> None:
    config = Config.from_file(model / "config.toml")
    assert (config.loss.temperature, config.training.keep_start) == (0.03, 0.0)
    assert (config.training.max_tokens, config.training.max_epochs) == (48, 100)


def test_old_rows_stay_and_layers_move_little(model: Path, models: dict[str, Path]) -> None:
    before, after = EmbeddingModel.load(models["bert"]), EmbeddingModel.load(model)
    tables = []
    for one in (before, after):
        assert isinstance(one.encoder, TransformerEncoder)
        tables.append(one.encoder.table.detach().numpy())
    rows, more = tables
    np.testing.assert_array_equal(more[: len(rows)], rows)
    assert (before.encode(OLD) * after.encode(OLD)).sum(1).min() > 0.999
    assert not np.array_equal(before.encode(OLD), after.encode(OLD))


def test_new_texts_have_new_tokens_that_learned(model: Path, models: dict[str, Path]) -> None:
    before, after = EmbeddingModel.load(models["bert"]), EmbeddingModel.load(model)
    unknown = [b.tokenizer.encode(CHINESE[0]).tokens.count("[UNK]") for b in (before.encoder, after.encoder)]
    assert unknown[1] < unknown[0] / 2  # a character of a single text may stay so
    first, second = after.encode(CHINESE[:2])
    assert not np.allclose(first, second, atol=1e-3)


def test_the_model_loads_elsewhere(model: Path) -> None:
    theirs = SentenceTransformer(str(model), device="cpu").encode([*OLD[:2], *CHINESE])
    np.testing.assert_allclose(EmbeddingModel.load(model).encode([*OLD[:2], *CHINESE]), theirs, atol=1e-5)


def test_forms_of_a_text_have_one_vector_elsewhere_too(model: Path) -> None:
    forms = [CHINESE[0], OpenCC("s2t").convert(CHINESE[0]), CHINESE[0].replace("，", ",")]
    assert len(set(forms)) == 3
    vectors = SentenceTransformer(str(model), device="cpu").encode(forms)
    np.testing.assert_allclose(vectors[1:], vectors[[0, 0]], atol=1e-6)


@pytest.mark.parametrize("moment", [("tokens", 0), ("training", 5)], ids=lambda moment: str(moment[0]))
def test_a_killed_run_goes_on_to_the_same_model(
    moment: tuple[str, float], models: dict[str, Path], texts: Path, tmp_path: Path
) -> None:
    for name in ("killed", "whole"):
        if name == "killed":
            killed_at(moment, texts, tmp_path / name, str(models["bert"]), CONFIG, STEPS)
        encoder = str(models["bert"])
        resume = name == "killed"
        train([texts], tmp_path / name, encoder=encoder, config=CONFIG, steps=STEPS, resume=resume)
    for file in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


@pytest.mark.parametrize(
    ("encoder", "settings", "sentence"),
    [
        ("static", [], "static trains its own vocabulary"),
        ("qwen3", [], "is BPE: new words would need new merges, which cut other words anew"),
        (
            "bert",
            ["--set=training.freeze_layers=1"],
            "freeze_layers must be 0 where the vocabulary is adapted",
        ),
    ],
)
def test_what_cannot_be_adapted(
    encoder: str, settings: list[str], sentence: str, models: dict[str, Path], texts: Path, tmp_path: Path
) -> None:
    name = str(models.get(encoder, encoder))
    arguments = ("--encoder", name, "--adapt-vocabulary", *settings)
    done = run("train", texts, "--out", tmp_path / "model", *arguments)
    assert sentence in done.sentence
    assert not (tmp_path / "model.partial").exists()


def test_text_of_known_words_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    texts = write_texts(tmp_path, ["a b c d e f g h", "h g f e d c b a", "a c e g b d f h"])
    arguments = ("--encoder", models["bert"], "--adapt-vocabulary", "--set=corpus.min_characters=1")
    done = run("train", texts, "--out", tmp_path / "model", *arguments, "--steps", "3", *TINY)
    assert "nothing to add; train without --adapt-vocabulary" in done.sentence
