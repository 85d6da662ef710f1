"""Related words of a corpus: learned, kept, looked up."""

from functools import partial
from pathlib import Path

import pytest

from llmagentos.config import Config
from llmagentos.corpus import Document, build_corpus
from llmagentos.errors import InputError
from llmagentos.pipeline import _related_words, related_to, related_words
from llmagentos.views import learn_related_words


def test_related_words_are_learned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two words that stand in the same places; a real corpus needs a million words for that."""
    few = partial(learn_related_words, min_words=1_000)
    monkeypatch.setattr(_related_words, "learn_related_words", few)
    frames = [
        "the {} ran over the old fence",
        "a small {} slept near my door",
        "we saw one {} in a garden",
    ]
    others = ["stone", "river", "paper", "window"]
    texts = [
        f"{frame.format(animal)} number {number} by the {others[number % 4]}"
        for number in range(60)
        for frame in frames
        for animal in ("fox", "dog")
    ]
    documents = (Document(id=str(number), text=text) for number, text in enumerate(texts))
    corpus = build_corpus(documents, tmp_path / "corpus")
    related = related_words(corpus, Config())
    assert "dog" in related_to("Fox", related)
    kept = corpus.path / "related-words.tsv"
    assert related_words(corpus, Config()) == related and kept.exists()
    # What is kept is a dictionary for views, and the corpus is still whole.
    assert f"fox\t{'|'.join(related['fox'])}\n" in kept.read_text(encoding="utf-8")
    assert type(corpus).open(corpus.path).num_training == corpus.num_training


def test_a_word_without_related_words() -> None:
    with pytest.raises(InputError, match="no word of this corpus is related to 'qqq'"):
        related_to("qqq", {"fox": ["dog"]})
