"""What became of one text: its edit log, and the view as pieces that can be shown.

Nothing is recorded while views are made. The steps of a view hold unit ids, and an id says which unit
of the text it is or stands for, so comparing one step with the next tells the whole truth, for the
few texts that somebody looks at.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np

from llmagentos.views._spelling import WordSpelling
from llmagentos.views._strings import CharacterSpelling
from llmagentos.views._units import UnitBatch

Mark = Literal["kept", "moved", "added", "removed", "omitted"]


@dataclass(frozen=True, slots=True)
class Step:
    """N texts after one operation; the first step, `text`, holds them as they were.

    Attributes:
        operation: its name in the configuration, or `text`, `crop`, `spacing`, `max_tokens`.
        units: N texts.
    """

    operation: str
    units: UnitBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One unit changed by one operation.

    Attributes:
        operation: the step that changed it.
        unit: the unit's place in the text, from 0.
        before: its text before.
        after: its text after: empty when it was left out, twice the word when it was repeated.
        moved: by how many places it moved, 0 for none.
    """

    operation: str
    unit: int
    before: str
    after: str
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of a view's text with one mark; `removed` and `omitted` pieces are not part of the view.

    Attributes:
        text: with the space before it, where there is one.
        mark: kept; moved; added (a replacement, a misspelling, a repetition); removed (what an added
            piece replaced, or a deletion); omitted (left out by the crop or the token budget).
    """

    text: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Explanation:
    """One view of one text, explained.

    Attributes:
        original: the text as the encoder would see it.
        view: the view.
        edits: every change of every unit, in the order of the operations.
        pieces: the view with what was taken out of it, in reading order.
    """

    original: str
    view: str
    edits: list[Edit]
    pieces: list[Piece]


@dataclass(frozen=True, slots=True)
class _Cell:
    """A unit on its way through the steps; `span` is its id in the pool."""

    span: int
    mark: Mark = "kept"

    @property
    def live(self) -> bool:
        return self.mark not in ("removed", "omitted")

    @property
    def kept(self) -> bool:
        return self.mark == "kept"


def explain(steps: Sequence[Step], row: int, spelling: WordSpelling) -> Explanation:
    """Explain one view of one text.

    Args:
        steps: what `Views.steps` gave for the first or for the second view.
        row: which text, 0 to N - 1.
        spelling: reads the tokens.

    Returns:
        The explanation.
    """
    units = steps[-1].units
    # Every pool extends the one before it, so the last one explains the ids of all steps.
    spelled = _Spelled(units, int(steps[0].units.offsets[row]), spelling)
    text = [_Cell(span) for span in _row(steps[0].units, row)]
    cells, edits = text, []
    for step in steps[1:]:
        cells, found = _follow(step.operation, cells, _row(step.units, row), spelled)
        edits += found
    return Explanation(
        original="".join(piece.text for piece in _pieces(text, spelled)),
        view="".join(piece.text for piece in _pieces([cell for cell in cells if cell.live], spelled)),
        edits=edits,
        pieces=_pieces(cells, spelled),
    )


def _row(units: UnitBatch, row: int) -> list[int]:
    ids: list[int] = units.ids[units.offsets[row] : units.offsets[row + 1]].tolist()
    return ids


class _Spelled:
    """The text of spans, and the places of the units that they stand for."""

    def __init__(self, units: UnitBatch, first: int, spelling: WordSpelling) -> None:
        self._pool = units.pool
        self._first = first
        self._spelling = spelling
        self._characters = isinstance(spelling, CharacterSpelling)
        self.marked = spelling.marker != ""

    def unit(self, span: int) -> int:
        """Which unit of the text, from 0."""
        return int(self._pool.origins(np.array([span]))[0]) - self._first

    def read(self, span: int) -> tuple[str, str]:
        """The space that the span brings of its own, and its text."""
        ids = self._tokens(span)
        read = self._spelling.read(ids)
        if read is None:
            # Unknown tokens and bytes: shown as the tokenizer shows them.
            return "", self._spelling.show(ids)
        marker, word = read
        if self._characters:
            return self._space_before(self.unit(span)), word
        if not self.marked:
            return "", word
        # A related expression of several words has markers inside.
        return " " if marker else "", word.replace(self._spelling.marker, " ")

    def _tokens(self, span: int) -> list[int]:
        start = self._pool.starts[span]
        ids: list[int] = self._pool.tokens[start : start + self._pool.lengths[span]].tolist()
        return ids

    def _space_before(self, unit: int) -> str:
        """The white space in front of a word of a plain string; a first word had none that it could bring."""
        start = int(self._pool.starts[unit + self._first])
        if unit == 0:
            return " "
        before = int(self._pool.starts[unit + self._first - 1] + self._pool.lengths[unit + self._first - 1])
        gap = "".join(map(chr, self._pool.tokens[before:start].tolist()))
        return gap[len(gap.rstrip()) :]  # behind what was cut off from the word before


def _follow(
    operation: str, cells: list[_Cell], ids: list[int], spelled: _Spelled
) -> tuple[list[_Cell], list[Edit]]:
    """Take the cells of a text through one step; `ids` are the row's units after it."""
    live = [cell for cell in cells if cell.live]
    edits: list[Edit] = []

    def log(span: int, after: str, moved: int = 0) -> None:
        before = spelled.read(span)[1]
        unit = spelled.unit(span)
        edits.append(Edit(operation=operation, unit=unit, before=before, after=after, moved=moved))

    if operation in ("sentence_reordering", "word_swap"):
        places: dict[int, list[int]] = defaultdict(list)
        for place, cell in enumerate(live):
            places[cell.span].append(place)
        moved = []
        for new, span in enumerate(ids):
            old = places[span].pop(0)
            moved.append(live[old] if old == new or not live[old].kept else _Cell(span, "moved"))
            if old != new:
                log(span, spelled.read(span)[1], new - old)
        # What was taken out stays where it was.
        upcoming_cells = iter(moved)
        return [next(upcoming_cells) if cell.live else cell for cell in cells], edits

    if operation == "repetition":
        return _repeated(cells, ids, log, spelled), edits
    after: list[_Cell] = []
    replaced = len(ids) == len(live)
    rest = iter(ids)
    upcoming = next(rest, None)
    for cell in cells:
        if not cell.live:
            after.append(cell)
        elif replaced and upcoming is not None:
            if operation == "spacing":
                after.append(_Cell(upcoming, cell.mark))
            elif upcoming != cell.span:
                log(cell.span, spelled.read(upcoming)[1])
                after += [_Cell(cell.span, "removed"), _Cell(upcoming, "added")]
            else:
                after.append(cell)
            upcoming = next(rest, None)
        elif upcoming == cell.span:
            after.append(cell)
            upcoming = next(rest, None)
        else:
            log(cell.span, "")
            left_out = operation in ("word_deletion", "span_masking")
            after.append(_Cell(cell.span, "removed" if left_out else "omitted"))
    return after, edits


def _repeated(
    cells: list[_Cell], ids: list[int], log: Callable[[int, str], None], spelled: _Spelled
) -> list[_Cell]:
    """The cells with those that are said once more, at the end of their run of equal ones."""
    runs = [(span, len(list(run))) for span, run in groupby(ids)]
    live = [(span, len(list(run))) for span, run in groupby(cell.span for cell in cells if cell.live)]
    spare = iter([new - old for (_, new), (_, old) in zip(runs, live, strict=True)])
    left = iter([old for _, old in live])
    after: list[_Cell] = []
    remaining = 0
    for cell in cells:
        after.append(cell)
        if not cell.live:
            continue
        remaining = remaining or next(left)
        remaining -= 1
        if remaining == 0:
            word = spelled.read(cell.span)[1]
            for _ in range(next(spare)):
                log(cell.span, f"{word} {word}")
                after.append(_Cell(cell.span, "added"))
    return after


def _pieces(cells: list[_Cell], spelled: _Spelled) -> list[Piece]:
    """Join neighbouring cells of one mark, with spaces where the script has them."""
    pieces: list[Piece] = []
    previous = ""
    for cell in cells:
        space, word = spelled.read(cell.span)
        if not space and not spelled.marked and _space_between(previous, word):
            space = " "
        word = (space if previous else "") + word
        previous = word
        if pieces and pieces[-1].mark == cell.mark:
            pieces[-1] = Piece(pieces[-1].text + word, cell.mark)
        else:
            pieces.append(Piece(word, cell.mark))
    return pieces


def _space_between(left: str, right: str) -> bool:
    """Whether a space stands between two units of a tokenizer that does not keep spaces (WordPiece)."""
    before, after = left[-1:], right[:1]
    if _unspaced(before) or _unspaced(after):
        return False
    return before not in "([{'\u2018\u201c-/_$#@" and after not in ")]}.,;:!?%'\u2019\u201d-/_"


def _unspaced(char: str) -> bool:
    """Whether a character belongs to a script without spaces, or to its punctuation."""
    # CJK and kana with their punctuation, full-width forms; Thai, Lao, Khmer and Burmese.
    return any(low <= char <= high for low, high in _UNSPACED)


_UNSPACED = (
    ("\u0e00", "\u0eff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u2e80", "\u9fff"),
    ("\uf900", "\ufaff"),
    ("\uff00", "\uffef"),
    ("\U00020000", "\U0003ffff"),
)
