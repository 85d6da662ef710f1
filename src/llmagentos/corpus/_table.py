"""The manifest for the terminal: what came in, what was kept, and what was left out and why."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmagentos.corpus._manifest import Manifest
from llmagentos.corpus._output import readable_bytes

__all__ = ["tables"]

_SHOWN = 8


def tables(manifest: Manifest) -> RenderableType:
    """The counts, then what was left out with a place or two, then what a person should know."""
    counts = Table.grid(padding=(0, 2))
    counts.add_column(style="dim", no_wrap=True)
    counts.add_column(justify="right", no_wrap=True)
    counts.add_column(overflow="fold")
    for name, number, note in _counts(manifest):
        counts.add_row(name, f"{number:,}", Text(note, style="dim"))
    parts: list[RenderableType] = [counts]
    if manifest.dropped:
        parts += [Text(), _dropped(manifest)]
    parts += [Text(f"Note: {note}") for note in manifest.notes]
    return Group(*parts)


def _counts(manifest: Manifest) -> list[tuple[str, int, str]]:
    inputs = _few([one.path for one in manifest.inputs])
    size = readable_bytes(sum(one.num_bytes for one in manifest.inputs))
    named = [f"{code or 'unclear'} {count:,}" for code, count in manifest.languages.items()]
    rows = [("documents in", manifest.documents_read, f"{inputs} ({size})")]
    if manifest.passages_added:
        rows.append(
            (
                "added by cutting",
                manifest.passages_added,
                f"texts over {manifest.config.max_characters:,} characters became passages",
            )
        )
    rows += [
        ("left out", sum(manifest.dropped.values()), ""),
        ("kept", manifest.documents_kept, f"languages: {_few(named)}"),
        ("  for training", manifest.num_training, ""),
        ("  held out", manifest.num_heldout, f"by the hash of their {manifest.config.heldout_key}"),
        ("characters", manifest.characters, f"{readable_bytes(manifest.text_bytes)} of text"),
    ]
    rows += [("repaired", count, what) for what, count in manifest.repaired.items()]
    return rows


def _dropped(manifest: Manifest) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("left out because", overflow="fold")
    table.add_column("documents", justify="right", no_wrap=True)
    table.add_column("for example", style="dim", overflow="fold")
    for reason, count in sorted(manifest.dropped.items(), key=lambda item: (-item[1], item[0])):
        # Text and not a string: a place such as notes[2].txt is no markup.
        places = Text(", ".join(manifest.dropped_samples.get(reason, ())))
        table.add_row(Text(reason), f"{count:,}", places)
    return table


def _few(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
