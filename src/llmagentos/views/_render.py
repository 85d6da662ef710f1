"""A view in colour for the terminal, as rich markup."""

from collections.abc import Sequence

from rich.markup import escape

from llmagentos.views._edits import Mark, Piece

_STYLES: dict[Mark, str] = {
    "moved": "yellow",
    "added": "bold green",
    "removed": "strike red",
}


def markup(pieces: Sequence[Piece]) -> str:
    """Colour the pieces of a view: moved yellow, added green, removed struck through and red.

    Args:
        pieces: of one view, in reading order; what the crop left out becomes an ellipsis.

    Returns:
        Rich markup; brackets in the text are escaped.

    Example:
        >>> markup([Piece("a", "kept"), Piece(" big", "removed"), Piece(" dog", "added")])
        'a[strike red] big[/][bold green] dog[/]'
    """
    parts = []
    for piece in pieces:
        if piece.mark == "omitted":
            parts.append("[dim] … [/]")
        elif piece.mark == "kept":
            parts.append(escape(piece.text))
        else:
            parts.append(f"[{_STYLES[piece.mark]}]{escape(piece.text)}[/]")
    return "".join(parts).strip()
