"""The progress of a run on a terminal: one bar a stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from llmagentos.pipeline._progress import OnProgress, Update

# Where nobody watches (a log file), a line now and then is enough.
_LOG_SECONDS = 15.0


@contextmanager
def progress_bars(console: Console) -> Iterator[OnProgress]:
    """Show a run while it goes on.

    Args:
        console: a terminal gets live bars, anything else a line every 15 s and at each new stage.

    Yields:
        What to give to `train` as `on_progress`.
    """
    if not console.is_terminal:
        yield _Log(console)
        return
    with Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:<11}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
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


class _Log:
    def __init__(self, console: Console) -> None:
        self._console, self._stage, self._shown = console, "", 0.0

    def __call__(self, update: Update) -> None:
        now = time.monotonic()
        if update.stage == self._stage and now - self._shown < _LOG_SECONDS:
            return
        self._stage, self._shown = update.stage, now
        share = f" {update.done / update.total:4.0%}" if update.total else ""
        self._console.print(f"{update.stage}{share} {update.note}", highlight=False, markup=False)
