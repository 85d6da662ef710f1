"""A view in colour is the text, whatever characters it has."""

import numpy as np
import pytest
from rich.style import Style

from llmagentos.views import Piece, Views, ViewsConfig, coloured, explain

from .conftest import ENGLISH, MemoryStore, train


@pytest.mark.parametrize("text", ["a [bold] claim", "[red]all[/red]", "ends in \\", "C:\\[a] \\\\ b"])
def test_the_text_survives(text: str) -> None:
    store = MemoryStore([text], train("bytes", [text, *ENGLISH]))
    steps, _ = Views(store, ViewsConfig(preset="dropout")).steps(
        np.array([0]), seed=0, epoch=0, max_tokens=60
    )
    assert coloured(explain(steps, 0, store.tokenizer).pieces).plain == text


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
