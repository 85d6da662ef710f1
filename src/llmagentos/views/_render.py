"""A view in colour for the terminal, or with marks where there are no colours."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.text import Text

from llmagentos.views._edits import Mark, Piece

_STYLES: dict[Mark, str] = {
    "kept": "",
    "moved": "yellow",
    "added": "bold green",
    "removed": "strike red",
    "omitted": "dim",
}


def coloured(pieces: Sequence[Piece]) -> Text:
    """Colour the pieces of a view: moved yellow, added green, removed struck through and red.

    Args:
        pieces: of one view, in reading order; what the crop left out becomes an ellipsis.

    Returns:
        The text for `rich.print`, without white space at its ends.

    Example:
        >>> text = coloured([Piece("a", "kept"), Piece(" big", "removed"), Piece(" dog", "added")])
        >>> text.plain, [text.plain[span.start : span.end] for span in text.spans]
        ('a big dog', [' big', ' dog'])
    """
    # Text and not markup, which has no way to say a backslash at the end of a piece.
    text = Text()
    for piece in pieces:
        text.append(" … " if piece.mark == "omitted" else piece.text, _STYLES[piece.mark])
    text.rstrip()
    return text[len(text.plain) - len(text.plain.lstrip()) :]


_MARKS: Final = {"added": ("{+", "+}"), "removed": ("[-", "-]"), "moved": ("<", ">")}


def marked(pieces: Iterable[Piece]) -> Text:
    """A view without colours: {+added+} [-removed-] <moved>, an ellipsis for what was left out.

    Example:
        >>> marked([Piece("a", "kept"), Piece(" big", "removed"), Piece(" dog", "added")]).plain
        'a [-big-] {+dog+}'
    """
    parts = []
    for piece in pieces:
        if piece.mark == "omitted":
            parts.append(" … ")
        elif piece.mark == "kept":
            parts.append(piece.text)
        else:
            before, after = _MARKS[piece.mark]
            space = " " if piece.text.startswith(" ") else ""
            parts.append(f"{space}{before}{piece.text.strip()}{after}")
    return Text("".join(parts).strip())
