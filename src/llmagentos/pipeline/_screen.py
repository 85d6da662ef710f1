"""The progress of a run on a terminal: one bar a stage, and the numbers of the stage below them."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from llmagentos.pipeline._progress import OnProgress, Update

# Where nobody watches (a log file), a line now and then is enough.
_LOG_SECONDS: Final = 15.0
# Columns that mark, name, bar and time take.
_BAR_COLUMNS: Final = 37


@contextmanager
def progress_bars(console: Console) -> Iterator[OnProgress]:
    """Show a run while it goes on.

    Args:
        console: a terminal that can move its cursor gets live bars, anything else a line every 15 s
            and at each new stage.

    Yields:
        What to give to `train` as `on_progress`.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        log = _Log(console)
        yield log
        log.finish()
        return
    with _Bars(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=14),
        TimeElapsedColumn(),
        _Note(console),
        console=console,
    ) as progress:
        bars: dict[str, TaskID] = {}

        def show(update: Update) -> None:
            if update.stage not in bars:
                for earlier in bars.values():
                    progress.update(earlier, total=1, completed=1)
                bars[update.stage] = progress.add_task(update.stage, total=None, note="")
            bar = bars[update.stage]
            progress.update(bar, total=update.total, completed=update.done)
            if update.note:
                progress.update(bar, note=update.note)

        yield show
        for bar in bars.values():
            progress.update(bar, total=1, completed=1)


class _Bars(Progress):
    """Bars, and below them the note of the running stage where it does not fit beside its bar."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, and perhaps a line."""
        yield from super().get_renderables()
        running = [task for task in self.tasks if not task.finished]
        if running and fitting(note := running[-1].fields["note"], self.console.width - _BAR_COLUMNS) != note:
            yield Text(f"  {note}", no_wrap=True, overflow="ellipsis")


class _Note(ProgressColumn):
    """As much of the note as fits beside the bar."""

    # Rows of metrics come ten times a second at the most, and a column is asked for no more often.
    max_refresh = 0.1

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Text:
        """The note, or its first fields."""
        return Text(fitting(task.fields["note"], self._console.width - _BAR_COLUMNS), no_wrap=True)


def fitting(note: str, width: int) -> str:
    """As many fields of a note, which stand two spaces apart, as fit into a width.

    Example:
        >>> fitting("loss 3.21  10,000 texts/s  12 s left", 25)
        'loss 3.21  10,000 texts/s'
    """
    fields = note.split("  ")
    while fields and len("  ".join(fields)) > width:
        fields.pop()
    return "  ".join(fields)


class _Log:
    """One line at each new stage, one every 15 s, and the last of each stage."""

    def __init__(self, console: Console) -> None:
        self._console, self._shown = console, 0.0
        self._last = Update(stage="")
        self._waiting = False

    def __call__(self, update: Update) -> None:
        if update.stage != self._last.stage:
            self.finish()
        self._waiting = True
        if update.stage != self._last.stage or time.monotonic() - self._shown >= _LOG_SECONDS:
            self._print(update)
        self._last = update

    def finish(self) -> None:
        """Tell how the stage ended."""
        if self._waiting:
            self._print(self._last)

    def _print(self, update: Update) -> None:
        self._shown, self._waiting = time.monotonic(), False
        share = f" {update.done / update.total:4.0%}" if update.total else ""
        line = f"{update.stage}{share} {update.note}".rstrip()
        # A log has no width: soft_wrap leaves the line whole.
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
