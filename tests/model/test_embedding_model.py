"""An exported folder gives the same vectors here and in sentence-transformers."""

import subprocess
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from llmagentos.encoder import Encoder, StaticEncoder, load_encoder
from llmagentos.errors import InputError
from llmagentos.model import EmbeddingModel, ModelCard, _embedding_model, export_model

from ..encoder.tiny import KINDS, TEXTS, word_tokenizer

CARD = ModelCard(name="tiny", summary="A model of random numbers.")


@pytest.fixture(params=["static", *KINDS])
def encoder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Encoder:
    if request.param == "static":
        return StaticEncoder(word_tokenizer(), dimension=16)
    return load_encoder(folders[request.param])


@pytest.fixture
def static() -> EmbeddingModel:
    return EmbeddingModel(StaticEncoder(word_tokenizer(), dimension=16))


def test_three_ways_give_the_same_vectors(encoder: Encoder, tmp_path: Path) -> None:
    """The encoder in memory, the exported folder read by us, and the same read by sentence-transformers."""
    before = EmbeddingModel(encoder).encode(TEXTS)
    folder = export_model(encoder, tmp_path / "model", card=CARD)
    ours = EmbeddingModel.load(folder, device="cpu")
    theirs = SentenceTransformer(str(folder), device="cpu")
    assert ours.dimension == theirs.get_embedding_dimension() == encoder.dimension
    np.testing.assert_array_equal(ours.encode(TEXTS), before)
    np.testing.assert_allclose(theirs.encode(TEXTS), before, rtol=0, atol=1e-5)


def test_rows_have_length_1_and_the_vector_of_no_token_is_zero(encoder: Encoder) -> None:
    vectors = EmbeddingModel(encoder).encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dimension) and vectors.dtype == np.float32
    # No special tokens stand around an empty text.
    expected = [float(bool(encoder.tokenizer.encode(text).ids)) for text in TEXTS]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), expected, atol=1e-6)


def test_a_second_export_is_the_same(encoder: Encoder, tmp_path: Path) -> None:
    """Nothing of this machine, and nothing that changes, is in the files."""
    first = export_model(encoder, tmp_path / "first", card=CARD)
    second = export_model(load_encoder(first), tmp_path / "second", card=CARD)
    files = sorted(file.relative_to(first) for file in first.rglob("*") if file.is_file())
    assert files == sorted(file.relative_to(second) for file in second.rglob("*") if file.is_file())
    for file in files:
        content = (first / file).read_bytes()
        assert str(tmp_path).encode() not in content, file
        assert (second / file).read_bytes() == content, file


def test_static_reads_all_of_a_text(static: EmbeddingModel) -> None:
    long = "word " * 5000
    short, whole = static.encode([long, long + "fox"])
    assert not np.array_equal(short, whole)


def test_chunks_change_nothing(static: EmbeddingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = static.encode(TEXTS)
    for characters, texts in ((1, 100), (100, 100), (10_000, 2)):
        monkeypatch.setattr(_embedding_model, "_CHUNK_CHARACTERS", characters)
        monkeypatch.setattr(_embedding_model, "_CHUNK_TEXTS", texts)
        np.testing.assert_array_equal(static.encode(TEXTS), expected)


def test_no_texts(static: EmbeddingModel) -> None:
    assert static.encode([]).shape == (0, 16)
    assert static.encode(()).shape == (0, 16)


def test_one_string_is_no_list(static: EmbeddingModel) -> None:
    with pytest.raises(InputError, match=r"must be a list of strings, got one string; put it in brackets"):
        static.encode("a text")


def test_what_is_no_text_is_named(static: EmbeddingModel) -> None:
    texts = cast(list[str], ["a", None])
    with pytest.raises(InputError, match="must be strings, got NoneType at position 1"):
        static.encode(texts)


def test_a_static_model_needs_neither_transformers_nor_sentence_transformers(
    static: EmbeddingModel, tmp_path: Path
) -> None:
    folder = export_model(static.encoder, tmp_path / "model", card=CARD)
    code = (
        "import sys; from llmagentos.model import EmbeddingModel; "
        "EmbeddingModel.load(sys.argv[1]).encode(['a']); "
        "print({'transformers', 'sentence_transformers'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_half_a_character_is_refused() -> None:
    model = EmbeddingModel(StaticEncoder(word_tokenizer(), dimension=4))
    with pytest.raises(InputError, match="half a character"):
        model.encode(["whole", "half \ud800"])
