"""Views for the eye: on a terminal with and without colours, and as a page."""

import io
import json
import resource
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from llmagentos.config import Config
from llmagentos.corpus import Document
from llmagentos.encoder import StaticEncoder
from llmagentos.errors import InputError, OutputError
from llmagentos.model import export_model
from llmagentos.pipeline import ShownViews, show_views, write_views_page
from llmagentos.pipeline._show_views import changes
from llmagentos.tokens import train_tokenizer

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


def test_texts_are_those_that_a_corpus_would_keep(tmp_path: Path) -> None:
    texts = [ENGLISH[0], "too short", f" {ENGLISH[0]}  ", *ENGLISH[1:4]]
    shown = show_views(write_texts(tmp_path, texts), CONFIG, num_texts=3)
    assert [text.document.text for text in shown.texts] == ENGLISH[:3]
    with pytest.raises(InputError, match=r"of at least 20 characters; .* lower corpus\.min_characters"):
        show_views(write_texts(tmp_path, ["too short"] * 3), CONFIG)


def test_half_characters_in_titles_and_ids_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"id": "a\ud800", "title": "b\ud800", "text": f"{ENGLISH[0]} \ud800"}))
    shown = show_views(path, CONFIG, num_texts=1)
    assert (shown.texts[0].document.id, shown.texts[0].document.title) == ("a\ufffd", "b\ufffd")
    assert "a\ufffd" in _printed(shown, colours=True).encode().decode()


def test_a_view_is_as_long_as_in_training(tmp_path: Path) -> None:
    texts = write_texts(tmp_path, [" ".join(ENGLISH)] * 2)
    config = Config().override(["views.preset=dropout"])
    tokenizer = train_tokenizer([Document(id="a", text=" ".join(ENGLISH))], config.tokens)
    static = export_model(StaticEncoder(tokenizer, 8), tmp_path / "static", card="")
    shown = show_views(texts, config, encoder=str(static), num_texts=1)
    length = len(tokenizer.encode(shown.texts[0].views[0].view).ids)
    assert length == config.training.resolved(pretrained=False).max_tokens


@pytest.mark.parametrize("full", [False, True])
def test_no_room_for_temporary_files_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    texts = write_texts(tmp_path, ENGLISH)
    place = tmp_path / "temporary"
    if full:
        place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if full:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OutputError, match=r"temporary files is full or .*set TMPDIR") as caught:
            show_views(texts, CONFIG, num_texts=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "--out" not in str(caught.value)
    assert not place.exists() or not list(place.iterdir())
