"""Views for the eye: on a terminal with and without colours, and as a page."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from llmagentos.config import Config
from llmagentos.errors import InputError, OutputError
from llmagentos.pipeline import ShownViews, show_views, write_views_page
from llmagentos.pipeline._show_views import changes

from ..cli import CHINESE, ENGLISH, write_texts

CONFIG = Config().override(
    ["tokens.vocabulary_size=300", "views.preset=seed", "views.word_replacement=0", "views.word_deletion=0.3"]
)


@pytest.fixture(scope="module", params=[ENGLISH, CHINESE], ids=["english", "chinese"])
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ShownViews:
    texts = write_texts(tmp_path_factory.mktemp("texts"), request.param)
    return show_views(texts, CONFIG, num_texts=4)


def _printed(shown: ShownViews, *, colours: bool) -> str:
    out = io.StringIO()
    Console(file=out, width=100, force_terminal=colours, color_system="standard" if colours else None).print(
        shown
    )
    return out.getvalue()


def test_the_texts_are_the_first_ones_and_every_change_is_told(shown: ShownViews) -> None:
    assert [text.document.text for text in shown.texts] in (ENGLISH[:4], CHINESE[:4])
    for text in shown.texts:
        for view in text.views:
            told = dict(changes(view))
            assert set(told) == {edit.operation for edit in view.edits}
            removed = [piece.text for piece in view.pieces if piece.mark == "removed"]
            assert bool(removed) == bool({"word_deletion", "character_noise"} & set(told))


def test_colours_where_there_are_any_else_marks(shown: ShownViews) -> None:
    plain, coloured = _printed(shown, colours=False), _printed(shown, colours=True)
    assert "[-" in plain and "{+added+} [-removed-] <moved>" in plain and "\x1b" not in plain
    assert "\x1b[9;31m" in coloured and "[-" not in coloured  # struck through and red
    assert max(map(len, plain.splitlines())) <= 100


def test_the_page_holds_all_of_it_and_needs_nothing(shown: ShownViews, tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    write_views_page(shown, page)
    html = page.read_text(encoding="utf-8")
    assert html.count("<section>") == 4 and html.count("<dt>view b</dt>") == 4
    assert "word_deletion 0.3" in html and "<script" not in html and "src=" not in html
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    with pytest.raises(OutputError):
        write_views_page(shown, page / "below.html")


def test_a_long_text_is_cut_and_empty_ones_are_passed_over(tmp_path: Path) -> None:
    texts = write_texts(tmp_path, ["", "\u200b", " ".join(ENGLISH)])
    config = CONFIG.override(["corpus.max_characters=200"])
    shown = show_views(texts, config, num_texts=3)
    assert [len(text.document.text) <= 200 for text in shown.texts] == [True] * 3
    with pytest.raises(InputError, match="there is no text in"):
        show_views(write_texts(tmp_path, [" "]), config)
