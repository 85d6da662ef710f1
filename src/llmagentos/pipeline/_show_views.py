"""What augmentation does to a text: the original, its two views, and what each operation changed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from llmagentos.config import Config
from llmagentos.corpus import (
    Document,
    Skipped,
    clean_document,
    content_hash,
    cut_document,
    read_documents,
)
from llmagentos.encoder import StaticEncoder, load_encoder
from llmagentos.errors import InputError
from llmagentos.pipeline._probe import usual_preset
from llmagentos.pipeline._temporary import temporary_folder
from llmagentos.tokens import build_store, train_tokenizer
from llmagentos.views import Edit, Explanation, Piece, Recipe, Views, coloured, described, marked

# Enough for a tokenizer that cuts as the real one will (a few seconds), and for the million words
# that related words need. So the first page of 100 GB is there as fast as that of a small file.
_TOKENIZER_CHARACTERS: Final = 300_000
_RELATED_CHARACTERS: Final = 20_000_000
_MOST_EDITS: Final = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownText:
    """One text and its two views."""

    document: Document
    views: tuple[Explanation, Explanation]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownViews:
    """Texts with their views; `rich.print` shows them in colour.

    Attributes:
        recipe: the settled recipe.
        chosen: whether the user has named it; else `train` may choose another for a pretrained encoder.
        tokenizer: whose tokens the operations work on, in words.
        texts: in the order of the input.
    """

    recipe: Recipe
    chosen: bool
    tokenizer: str
    texts: tuple[ShownText, ...]

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What was done to the texts, as (name, words)."""
        recipe = f"{self.recipe.preset}: {', '.join(described(self.recipe)) or 'the same text twice'}"
        if not self.chosen:
            recipe += " (views.preset is unset; with a Transformer and much text, train tries what suits)"
        return [("recipe", recipe), ("tokenizer", self.tokenizer)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Colours where there are any, else the marks of wdiff."""
        colours = console.color_system is not None and not console.no_color
        table = _grid()
        for name, words in self.facts:
            table.add_row(name, Text(words))
        example = [Piece("added", "added"), Piece(" removed", "removed"), Piece(" moved", "moved")]
        legend = Text.assemble(_painted(example, colours=colours), "  … left out by the crop or for length")
        table.add_row("marks", legend)
        yield table
        for number, shown in enumerate(self.texts, start=1):
            yield Text()
            yield Text.assemble(
                (f"{number}  {shown.document.id}", "bold"), (f"  {shown.document.title}", "dim")
            )
            yield _table(shown, colours=colours)


def show_views(
    input: str | Path, config: Config, *, encoder: str = "static", num_texts: int = 5
) -> ShownViews:
    """Make two views of the first texts of an input and explain them.

    Args:
        input: a file, a folder, or "-".
        config: its views; its tokens (for `static`) and the longest view of its training.
        encoder: whose tokenizer: "static" trains one on the beginning of the input.
        num_texts: how many texts, >= 1.

    Returns:
        The texts with their views, the same at every call.

    Raises:
        InputError: there is no text, or too little to learn related words from.
        ConfigError: the rates contradict each other.
        ModelError: there is no such encoder.
        OutputError: the folder for temporary files is full or cannot be written.
    """
    recipe = config.views.resolved()
    pretrained = None if encoder == "static" else load_encoder(encoder)
    characters = _TOKENIZER_CHARACTERS if pretrained is None else 0
    if recipe.uses("word_replacement") and recipe.dictionary is None:
        characters = _RELATED_CHARACTERS
    documents = list(_beginning(read_documents([input], config.corpus), config, characters, num_texts))
    if not documents:
        raise InputError(
            f"there is no text in {input} of at least {config.corpus.min_characters} characters; give a file "
            "or a folder with text, or lower corpus.min_characters"
        )
    if pretrained is None:
        tokenizer = train_tokenizer(documents, config.tokens)
        trained_on = f"the first {len(documents):,} texts" if len(documents) > 1 else "this one text"
        told = f"static, {tokenizer.get_vocab_size():,} entries, trained on {trained_on}"
    else:
        tokenizer, told = pretrained.tokenizer, f"of {encoder}"
    transforms = pretrained is not None and not isinstance(pretrained, StaticEncoder)
    training = config.training.resolved(pretrained=transforms)
    with temporary_folder() as folder:
        store = build_store(documents, tokenizer, folder / "store", protect=config.tokens.protect)
        preset = config.views.preset or usual_preset(transforms=transforms)
        views = Views(store, replace(config.views, preset=preset))
        rows = np.arange(min(num_texts, len(store)), dtype=np.int64)
        explained = views.explain(rows, seed=training.seed, epoch=0, max_tokens=training.max_tokens)
        # The store has no row for a text without tokens.
        stored = (one for one in documents if tokenizer.encode(one.text, add_special_tokens=False).ids)
        texts = tuple(
            ShownText(document=document, views=pair)
            for document, pair in zip(islice(stored, len(rows)), explained, strict=True)
        )
    return ShownViews(
        recipe=views.recipe, chosen=config.views.preset is not None, tokenizer=told, texts=texts
    )


def _beginning(
    items: Iterable[Document | Skipped], config: Config, characters: int, num_texts: int
) -> Iterator[Document]:
    """The first texts that `build_corpus` would keep, as it keeps them, until there are enough."""
    taken = 0
    for number, document in enumerate(_texts(items, config), start=1):
        yield document
        taken += len(document.text)
        if number >= num_texts and taken >= characters:
            return


def _texts(items: Iterable[Document | Skipped], config: Config) -> Iterator[Document]:
    seen: set[bytes] = set()
    for item in items:
        if isinstance(item, Document):
            for part in cut_document(clean_document(item)[0], config.corpus):
                if isinstance(part, Document) and (digest := content_hash(part.text)) not in seen:
                    seen.add(digest)
                    yield part


def changes(view: Explanation) -> list[tuple[str, str]]:
    """What each operation changed.

    Args:
        view: one view of one text.

    Returns:
        (operation, words), in the order of the operations; empty where nothing was changed.
    """
    return [
        (operation, _words(operation, list(edits)))
        for operation, edits in groupby(view.edits, key=lambda edit: edit.operation)
    ]


def _words(operation: str, edits: list[Edit]) -> str:
    if operation in ("crop", "max_tokens"):
        return f"{len(edits):,} words left out"
    if operation == "sentence_reordering":
        return f"{len(edits):,} words moved"
    shown = ", ".join(map(_edit, edits[:_MOST_EDITS]))
    more = len(edits) - _MOST_EDITS
    return shown + (f" and {more:,} more" if more > 0 else "")


def _edit(edit: Edit) -> str:
    if edit.moved:
        return f"{edit.before} ({edit.moved:+d})"
    return f"{edit.before} -> {edit.after}" if edit.after else edit.before


def _table(shown: ShownText, *, colours: bool) -> RenderableType:
    table = _grid()
    table.add_row("text", Text(shown.document.text))
    for name, view in zip("ab", shown.views, strict=True):
        table.add_row(f"view {name}", _painted(view.pieces, colours=colours))
        for operation, words in changes(view):
            table.add_row("", Text.assemble((f"{operation}: ", "bold dim"), (words, "dim")))
        if not view.edits:
            table.add_row("", Text("unchanged", style="dim"))
    return table


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim", min_width=9)
    table.add_column(overflow="fold")
    return table


def _painted(pieces: Sequence[Piece], *, colours: bool) -> Text:
    return coloured(pieces) if colours else marked(pieces)
