"""A view in colour is the text, whatever characters it has."""

import numpy as np
import pytest
from rich.style import Style

from llmagentos.views import Piece, Views, ViewsConfig, coloured

from .conftest import ENGLISH, MemoryStore, train


@pytest.mark.parametrize("text", ["a [bold] claim", "[red]all[/red]", "ends in \\", "C:\\[a] \\\\ b"])
def test_the_text_survives(text: str) -> None:
    store = MemoryStore([text], train("bytes", [text, *ENGLISH]))
    found, _ = Views(store, ViewsConfig(preset="dropout")).explain(np.array([0]), max_tokens=60)[0]
    assert coloured(found.pieces).plain == text


def test_marks_are_colours_and_what_is_omitted_an_ellipsis() -> None:
    pieces = [
        Piece("gone", "omitted"),
        Piece(" a", "kept"),
        Piece(" b", "removed"),
        Piece(" c", "added"),
        Piece(" d", "moved"),
        Piece(" gone", "omitted"),
    ]
    text = coloured(pieces)
    assert text.plain == "…  a b c d …"
    styles = {text.plain[span.start : span.end].strip(): span.style for span in text.spans}
    assert styles == {"…": "dim", "b": "strike red", "c": "bold green", "d": "yellow"}
    assert all(Style.parse(str(style)) for style in styles.values())
