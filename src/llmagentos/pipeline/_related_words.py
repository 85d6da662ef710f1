"""Which words of a corpus can stand for each other, learned once and kept beside it."""

import difflib
import unicodedata
from pathlib import Path
from typing import Final

from llmagentos.config import Config
from llmagentos.corpus import Corpus
from llmagentos.errors import InputError
from llmagentos.pipeline._temporary import temporary_folder
from llmagentos.tokens import TokenStore, build_store, train_tokenizer
from llmagentos.views import Recipe, Spelling, learn_related_words, read_dictionary, write_dictionary

RELATED_WORDS_NAME: Final = "related-words.tsv"


def related_words(corpus: Corpus, config: Config) -> dict[str, list[str]]:
    """The related words of a corpus: from its folder, or learned now (a minute) and written there.

    Args:
        corpus: at least 1,000,000 words.
        config: its tokens.

    Returns:
        From each word to its related words, the nearest first. The file, related-words.tsv, is a
        dictionary that `views.dictionary` takes.

    Raises:
        InputError: the corpus is too small.
        OutputError: the folder of the corpus cannot be written.
    """
    path = corpus.path / RELATED_WORDS_NAME
    if path.exists():
        return read_dictionary(path)
    with temporary_folder() as folder:
        tokenizer = train_tokenizer(corpus.training(), config.tokens)
        store = build_store(corpus.training(), tokenizer, folder / "store", protect=config.tokens.protect)
        related = learn_related_words(store, Spelling(store.tokenizer))
    return _kept(related, path)


def related_words_of(store: TokenStore, path: Path) -> dict[str, list[str]]:
    """The related words of a token store: from `path`, or learned now and written there.

    A run that goes on reads what it learned before: learned again with another number of threads, the
    last bits of the decomposition differ.

    Args:
        store: at least 1,000,000 words.
        path: of the dictionary.

    Returns:
        As `related_words`.

    Raises:
        InputError: the store is too small.
        OutputError: the file cannot be written.
    """
    return (
        read_dictionary(path)
        if path.exists()
        else _kept(learn_related_words(store, Spelling(store.tokenizer)), path)
    )


def _kept(related: dict[str, list[str]], path: Path) -> dict[str, list[str]]:
    """The same words as they will be read from now on; where there are none, no file is written."""
    if not related:
        return {}
    write_dictionary(related, path)
    return read_dictionary(path)


def related_words_for(recipe: Recipe, store: TokenStore, work: Path) -> dict[str, list[str]] | None:
    """The words that replace one another, learned once a run; None where a file has them, or none do."""
    if not recipe.uses("word_replacement") or recipe.dictionary is not None:
        return None
    return related_words_of(store, work / RELATED_WORDS_NAME)


def related_to(word: str, related: dict[str, list[str]]) -> list[str]:
    """The related words of one word.

    Args:
        word: as in a text; upper case and full-width forms do not matter.
        related: from `related_words`.

    Returns:
        The nearest first.

    Raises:
        InputError: the word has none.

    Example:
        >>> related_to("Large", {"large": ["big"]})
        ['big']
    """
    key = word if word in related else unicodedata.normalize("NFKC", word).lower()
    if key in related:
        return related[key]
    near = difflib.get_close_matches(key, related, n=1)
    hint = f"did you mean {near[0]}?" if near else "try a more frequent one"
    raise InputError(
        f"no word of this corpus is related to {word!r}: only words seen at least 30 times have related "
        f"words, and numbers, negations and names have none; {hint}"
    )
