"""Texts and their views as one HTML file that needs nothing else."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Final

from llmagentos.corpus import write_whole
from llmagentos.pipeline._show_views import ShownText, ShownViews, changes
from llmagentos.views import Explanation, Piece

_STYLE: Final = """
body { margin: 0; background: #f6f7f9; color: #1c2430; font: 16px/1.6 system-ui, -apple-system,
  "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; }
main { max-width: 900px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 1.8rem; margin: 0 0 8px; } h2 { font-size: 1.05rem; margin: 0 0 12px; }
section { background: #fff; border: 1px solid #e3e7ec; border-radius: 10px; padding: 20px 24px;
  margin-top: 20px; overflow-wrap: anywhere; }
h2 span, .soft, dt { color: #5b6675; font-weight: 400; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 20px; margin: 12px 0 0; }
dd { margin: 0; } .text { white-space: pre-wrap; }
ins { background: #d7f0dd; color: #0b5c25; text-decoration: none; }
del { background: #fbdcdc; color: #9b1c1c; } mark { background: #fdf0c2; color: inherit; }
.omitted { color: #98a2b3; } .changes { font-size: .88rem; color: #5b6675; margin: 2px 0 12px; }
"""
_TAGS: Final = {"added": "ins", "removed": "del", "moved": "mark"}


def write_views_page(shown: ShownViews, out: str | Path) -> None:
    """Write texts and their views as a page.

    Args:
        shown: from `show_views`.
        out: the file; replaced in one piece.

    Raises:
        OutputError: the file cannot be written.
    """
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in shown.facts)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Views</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>What augmentation does to these texts</h1>"
        '<p class="soft"><ins>added</ins> <del>removed</del> <mark>moved</mark> '
        f"&hellip; left out by the crop or for length</p><dl>{facts}</dl>"
        f"{''.join(map(_section, shown.texts))}</main></body></html>\n"
    )
    write_whole(Path(out), page)


def _section(shown: ShownText) -> str:
    views = "".join(
        f"<dt>view {name}</dt><dd>{_pieces(view.pieces)}{_changes(view)}</dd>"
        for name, view in zip("ab", shown.views, strict=True)
    )
    return (
        f"<section><h2>{escape(shown.document.id)} <span>{escape(shown.document.title)}</span></h2>"
        f'<dl><dt>text</dt><dd class="text">{escape(shown.document.text)}</dd>{views}</dl></section>'
    )


def _pieces(pieces: Iterable[Piece]) -> str:
    parts = []
    for piece in pieces:
        text = escape(piece.text)
        if piece.mark == "omitted":
            parts.append('<span class="omitted"> &hellip; </span>')
        elif piece.mark == "kept":
            parts.append(text)
        else:
            tag = _TAGS[piece.mark]
            parts.append(f"<{tag}>{text}</{tag}>")
    return "".join(parts)


def _changes(view: Explanation) -> str:
    told = [f"{operation}: {words}" for operation, words in changes(view)] or ["unchanged"]
    return f'<div class="changes">{"<br>".join(map(escape, told))}</div>'
