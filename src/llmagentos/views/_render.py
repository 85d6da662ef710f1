"""A view in colour for the terminal."""

from collections.abc import Sequence

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
