"""The vectors of traditional and simplified, full-width and half-width forms, by sentence-transformers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import zstandard
from sentence_transformers import SentenceTransformer

from benchmarks.learning._forms import forms
from llmagentos.corpus import Document
from llmagentos.encoder import StaticEncoder
from llmagentos.model import export_model
from llmagentos.tokens import TokensConfig, train_tokenizer

DATA = Path(__file__).parents[3] / "shared" / "data" / "corpus" / "zh_modern" / "modern-60k.jsonl.zst"


def test_forms_of_one_text_have_one_vector(tmp_path: Path) -> None:
    """A model that was never trained has no other way to know: its rows are random."""
    if not DATA.exists():
        pytest.skip("shared data not on this machine: zh_modern")
    with zstandard.open(DATA, "rt", encoding="utf-8") as lines:
        passages = [json.loads(line)["text"] for line, _ in zip(lines, range(400), strict=False)]
    sentences = [re.findall(r"[^。！？]{10,}[。！？]", passage) for passage in passages[200:]]
    asked = [several[0] for several in sentences if several][:200]
    assert len(asked) >= 190
    given = [Document(id=str(number), text=text) for number, text in enumerate(passages[:200])]
    tokenizer = train_tokenizer(given, TokensConfig())
    folder = export_model(StaticEncoder(tokenizer, dimension=256), tmp_path / "model", card="")
    model = SentenceTransformer(str(folder), device="cpu")
    vectors = model.encode(asked)
    for name, others in forms(asked).items():
        cosines = (vectors * model.encode(others)).sum(axis=1)
        assert cosines.mean() >= 0.999 and cosines.min() >= 0.95, (name, np.sort(cosines)[:5])
