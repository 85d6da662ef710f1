"""Cuts Markdown and reStructuredText into sections, one a heading, while it streams past.

The title of a section is its path of headings ("Guide > Install > Linux"): a heading alone ("Linux")
says little away from its place.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from llmagentos.corpus._document import Skipped

__all__ = ["Section", "sections"]

_SECTION_BYTES = 4 << 20
_FRONT_MATTER_LINES = 200
# No quantifier after another: a line may be 16 MiB of white space.
_ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_RST_LINE = re.compile(r"""([!-/:-@[-`{-~])\1{2,}[ \t]*$""")
_FRONT_TITLE = "title:"
# A key, or the end of a front matter that has none.
_FRONT_KEY = re.compile(r"""["']?\w[\w .-]{0,60}["']?:(?=[ \t]|$)|---[ \t]*$""")


@dataclass(frozen=True, slots=True)
class Section:
    """One section: the number of its first line, its heading path, its text."""

    line: int
    title: str
    text: str


@dataclass(slots=True)
class _Builder:
    """The lines since the last heading, and the path of headings above them."""

    path: list[tuple[int, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    first: int = 1
    num_bytes: int = 0

    def take(self, next_first: int) -> Iterator[Section]:
        text = "\n".join(self.lines).strip()
        if text:
            yield Section(self.first, " > ".join(title for _, title in self.path if title), text)
        self.lines, self.first, self.num_bytes = [], next_first, 0

    def enter(self, level: int, title: str) -> None:
        while self.path and self.path[-1][0] >= level:
            self.path.pop()
        if not any(title == above for _, above in self.path):
            self.path.append((level, title))


def sections(lines: Iterator[tuple[int, bytes] | Skipped], *, rst: bool) -> Iterator[Section | Skipped]:
    """The sections of a document; bytes that are not UTF-8 come back as surrogate escapes.

    Headings are `#` lines and underlined lines in Markdown (not inside fenced code), underlined and
    overlined lines in reStructuredText, whose levels are in order of appearance. A YAML front matter
    is no text; its title is the top of the path. A section over 4 MiB is cut.
    """
    builder = _Builder()
    fence = ""
    front_matter: list[str] | None = None
    styles: list[tuple[str, bool]] = []
    for item in lines:
        if isinstance(item, Skipped):
            yield item
            continue
        number, raw = item
        line = raw.decode("utf-8", "surrogateescape").rstrip("\r")
        if number == 1 and line.rstrip() == "---" and not rst:
            front_matter = [line]
            continue
        if front_matter is not None and len(front_matter) == 1 and not _FRONT_KEY.match(line):
            # A rule above the first text, and no front matter.
            builder.lines, front_matter = front_matter, None
        if front_matter is not None:
            front_matter.append(line)
            if line.rstrip() in {"---", "..."}:
                titles = [
                    text.removeprefix(_FRONT_TITLE).strip().strip("\"'")
                    for text in front_matter
                    if text.startswith(_FRONT_TITLE)
                ]
                if titles:
                    builder.enter(0, titles[0])
                builder.first, front_matter = number + 1, None
            elif len(front_matter) > _FRONT_MATTER_LINES:
                # A rule on the first line and no end: it was no front matter.
                builder.lines, front_matter = front_matter, None
            continue
        heading = _rst_heading(builder, line, styles) if rst else _markdown_heading(builder, line, fence)
        if not rst and (match := _FENCE.match(line)):
            if not fence:
                fence = match[1]
            elif match[1].startswith(fence):
                fence = ""
        if heading is not None:
            yield from builder.take(number + 1)
            builder.enter(*heading)
            continue
        builder.lines.append(line)
        builder.num_bytes += len(raw) + 1
        if builder.num_bytes > _SECTION_BYTES:
            yield from builder.take(number + 1)
    if front_matter is not None:
        builder.lines = front_matter
    yield from builder.take(0)


def _markdown_heading(builder: _Builder, line: str, fence: str) -> tuple[int, str] | None:
    """Level and title if this line is a heading or underlines one, which then leaves the text."""
    if fence:
        return None
    if match := _ATX.match(line):
        title = line[match.end() :].strip()
        unclosed = title.rstrip("#")
        return len(match[1]), (unclosed.rstrip() if unclosed == "" or unclosed[-1].isspace() else title)
    if (match := _SETEXT.match(line)) and _alone(builder.lines):
        return (1 if match[1].startswith("=") else 2), builder.lines.pop().strip()
    return None


def _rst_heading(builder: _Builder, line: str, styles: list[tuple[str, bool]]) -> tuple[int, str] | None:
    match = _RST_LINE.match(line)
    lines = builder.lines
    if not match or not lines or not lines[-1].strip() or len(line.rstrip()) < len(lines[-1].strip()):
        return None
    overlined = len(lines) > 1 and lines[-2].rstrip() == line.rstrip()
    if not overlined and (not _alone(lines) or lines[-1][0].isspace() or _RST_LINE.match(lines[-1])):
        return None
    title = lines.pop().strip()
    if overlined:
        lines.pop()
    style = (match[1], overlined)
    if style not in styles:
        styles.append(style)
    return styles.index(style) + 1, title


def _alone(lines: list[str]) -> bool:
    """Whether the last line is a paragraph of one line, as a heading is."""
    return bool(lines) and bool(lines[-1].strip()) and (len(lines) == 1 or not lines[-2].strip())
