"""Structural pairs in a whole run: found, used in their share, told of, and the same after a restart."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmagentos.config import Config
from llmagentos.corpus import Document
from llmagentos.errors import InputError
from llmagentos.pipeline import train
from llmagentos.pipeline._progress import Update

from ..dying import killed_at
from ..training.small import make_texts

TEXTS = make_texts(60)
SETTINGS = [
    "tokens.vocabulary_size=400",
    "training.batch_size=16",
    "encoder.dimension=16",
    "corpus.min_characters=5",
]


def documents(*, titled: bool = True) -> list[Document]:
    return [
        Document(id=str(number), text=text, title=f"About {text[:12]}" if titled else "")
        for number, text in enumerate(TEXTS)
    ]


def run(out: Path, *settings: str, titled: bool = True, **options: Any) -> tuple[Path, list[Update]]:
    told: list[Update] = []
    config = Config().override([*SETTINGS, *settings])
    train(documents(titled=titled), out, steps=3, config=config, on_progress=told.append, **options)
    return out, told


def test_titles_are_used_and_the_model_says_so(tmp_path: Path) -> None:
    out, told = run(tmp_path / "model")
    assert "pairs = 0.3" in (out / "config.toml").read_text(encoding="utf-8")
    assert "titles were trained on beside their texts" in (out / "README.md").read_text(encoding="utf-8")
    (note,) = [update.note for update in told if update.stage == "pairs" and update.done]
    assert note.endswith(" title")


def test_without_pairs_titles_are_not_used(tmp_path: Path) -> None:
    out, told = run(tmp_path / "model", "views.pairs=0")
    assert "Titles were not used in training" in (out / "README.md").read_text(encoding="utf-8")
    assert not [update for update in told if update.stage == "pairs"]


def test_text_without_structure_has_no_pairs(tmp_path: Path) -> None:
    out, told = run(tmp_path / "model", titled=False)
    assert "pairs = 0.0" in (out / "config.toml").read_text(encoding="utf-8")
    assert [update.note for update in told if update.stage == "pairs"] == ["none found"]


def test_pairs_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"views.pairs is 0.5, but no text has a title"):
        run(tmp_path / "model", "views.pairs=0.5", titled=False)
    assert list(tmp_path.iterdir()) == []


def test_few_pairs_are_seen_once_an_epoch(tmp_path: Path) -> None:
    few = [*documents(titled=False)[:50], *documents()[50:]]
    config = Config().override(SETTINGS)
    train(few, tmp_path / "model", steps=3, config=config)
    text = (tmp_path / "model" / "config.toml").read_text(encoding="utf-8")
    share = float(text.split("pairs = ")[1].split()[0])
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text(encoding="utf-8"))
    assert 0 < share <= 10 / (manifest["num_training"] + 10)


def test_too_few_pairs_are_told(tmp_path: Path) -> None:
    few = [*documents(titled=False)[:-1], *documents()[-1:]]
    told: list[str] = []
    train(
        few,
        tmp_path / "model",
        steps=1,
        config=Config().override(SETTINGS),
        on_progress=lambda one: told.append(one.note),
    )
    [note] = [one for one in told if "views.pairs" in one]
    assert "too few to be usual" in note
    share = float(note.split("views.pairs=")[1].split()[0])
    assert 0 < share < 0.05
    text = (tmp_path / "model" / "config.toml").read_text(encoding="utf-8")
    assert "pairs = 0.0\n" in text
    train(few, tmp_path / "other", steps=1, config=Config().override([*SETTINGS, f"views.pairs={share}"]))


@pytest.mark.parametrize("moment", [("pairs", 0), ("training", 2)], ids=lambda moment: str(moment[0]))
def test_a_killed_run_goes_on_with_the_same_pairs(moment: tuple[str, float], tmp_path: Path) -> None:
    rows = [{"title": one.title, "text": one.text} for one in documents()]
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = Config().override([*SETTINGS, "training.checkpoint_steps=1"])
    killed_at(moment, texts, tmp_path / "killed", "static", config, 4)
    for name in ("killed", "whole"):
        train([texts], tmp_path / name, config=config, steps=4, resume=name == "killed")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("killed", "whole")]
    assert weights[0] == weights[1]
