"""What a static encoder starts from: lengths, directions, and where those come from."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from llmagentos.config import Config
from llmagentos.corpus import Document
from llmagentos.encoder import StaticEncoder, load_encoder
from llmagentos.errors import ConfigError, InputError, ModelError
from llmagentos.model import EmbeddingModel
from llmagentos.pipeline import _start
from llmagentos.tokens import TokensConfig, TokenStore, build_store, train_tokenizer

from ..cli import ENGLISH, TINY, run, write_texts
from ..encoder.tiny import save_models


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    documents = [Document(id=text, text=text) for text in ENGLISH]
    tokenizer = train_tokenizer(documents, TokensConfig(vocabulary_size=300))
    return build_store(documents, tokenizer, tmp_path_factory.mktemp("store") / "store")


def config(*settings: str) -> Config:
    return Config().override(["encoder.dimension=64", *settings])


def inverse_document_frequency(store: TokenStore) -> npt.NDArray[np.float64]:
    idf: npt.NDArray[np.float64] = np.log((1 + len(store)) / (1 + store.document_counts))
    idf /= np.log(1 + len(store))
    return idf


def test_little_text_gives_random_directions(store: TokenStore, tmp_path: Path) -> None:
    encoder = _start.new_static(store, config(), tmp_path)
    expected = StaticEncoder(
        store.tokenizer, 64, token_weights=inverse_document_frequency(store).astype(np.float32)
    )
    assert torch.equal(encoder.embedding, expected.embedding) and not list(tmp_path.iterdir())


def test_words_of_like_surroundings_start_near(
    store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_start, "_FEWEST_TOKENS", 10)
    unit = torch.nn.functional.normalize(_start.new_static(store, config(), tmp_path).embedding.detach())
    vectors = torch.from_numpy(np.load(tmp_path / "word-vectors.npy"))
    known = vectors.any(dim=1)
    expected = 0.3 * vectors[known] @ vectors[known].T
    found = unit[known] @ unit[known].T
    away = ~torch.eye(len(found), dtype=torch.bool)
    # Random directions add 0.7 / sqrt(64) either way.
    assert (found - expected)[away].mean().abs() < 0.02 and (found - expected)[away].std() < 0.15
    again = _start.new_static(store, config(), tmp_path)
    monkeypatch.setattr(_start, "cooccurrence_vectors", None)  # made once a run
    assert torch.equal(again.embedding, _start.new_static(store, config(), tmp_path).embedding)


def test_damaged_word_vectors_are_one_sentence(
    store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_start, "_FEWEST_TOKENS", 10)
    _start.new_static(store, config(), tmp_path)
    file = tmp_path / "word-vectors.npy"
    for damaged in (b"", b"no array", file.read_bytes()[:-7]):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"word-vectors\.npy is damaged .*it is made again"):
            _start.new_static(store, config(), tmp_path)


def test_a_teacher_says_which_words_are_near(store: TokenStore, tmp_path: Path) -> None:
    teacher = save_models(tmp_path / "models")["bert"]
    encoder = _start.new_static(store, config(f"encoder.teacher={teacher}"), tmp_path)
    entries = sorted(store.tokenizer.get_vocab(), key=store.tokenizer.get_vocab().__getitem__)
    theirs = EmbeddingModel(load_encoder(teacher)).encode(entries)
    theirs = theirs - theirs.mean(axis=0)
    theirs /= np.maximum(np.linalg.norm(theirs, axis=1, keepdims=True), 1e-6)
    seen = store.document_counts > 0
    unit = torch.nn.functional.normalize(encoder.embedding.detach()).numpy()[seen]
    away = ~np.eye(len(unit), dtype=bool)
    correlation = np.corrcoef((unit @ unit.T)[away], (theirs[seen] @ theirs[seen].T)[away])[0, 1]
    # Random directions have 0.4 of the squared length; the teacher's own weights are random, too.
    assert correlation > 0.7


def test_a_teacher_that_cannot_be_used_is_refused_before_the_text_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"teacher must be left out for minilm.*encoder\.teacher"):
        _start.check_teacher("minilm", config("encoder.teacher=minilm"))
    with pytest.raises(ModelError):
        _start.check_teacher("static", config(f"encoder.teacher={tmp_path}"))
    missing = ("--set", f"encoder.teacher={tmp_path / 'none'}")
    done = run("train", write_texts(tmp_path), "--out", tmp_path / "model", *TINY, *missing)
    assert done.status == 2 and "none" in done.sentence and not (tmp_path / "model").exists()


def test_a_model_names_its_teacher(tmp_path: Path) -> None:
    teacher = save_models(tmp_path / "models")["bert"]
    done = run("train", write_texts(tmp_path), "--out", tmp_path / "model", "--steps", "3", *TINY,
               "--set", f"encoder.teacher={teacher}")  # fmt: skip
    assert done.status == 0, done
    assert "came in part from bert" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


def test_dimensions_are_put_in_order(store: TokenStore, tmp_path: Path) -> None:
    encoder = _start.new_static(store, config(), tmp_path)
    before = EmbeddingModel(encoder).encode(ENGLISH[:10])
    _start.put_dimensions_in_order(encoder, store)
    after = EmbeddingModel(encoder).encode(ENGLISH[:10])
    np.testing.assert_allclose(after @ after.T, before @ before.T, atol=1e-5)
    energy = np.square(EmbeddingModel(encoder).encode(ENGLISH)).sum(axis=0)
    assert energy[:8].sum() > energy[8:16].sum() > energy[-8:].sum()
