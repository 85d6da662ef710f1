"""How many token slots go through the encoder at once, and since which step: part of what a run is.

Sums are made in the order of the micro-batches, so a run that goes on needs the same ones, also after
memory had run out. They are on disk before the first step that uses them:

    micro_batches.json    [[0, 2048], [731, 1024]]   from step 731 on 1,024 slots
"""

import json
from pathlib import Path
from typing import Final

from llmagentos.corpus import write_whole
from llmagentos.errors import TrainingError

MICRO_BATCHES_NAME: Final = "micro_batches.json"


class MicroBatches:
    """The slots of a micro-batch at each step of a run.

    Args:
        folder: of the run.
        first: slots at the beginning.
        resume: go on with what the run has used, or from here on with `first` if that is less; else what
            is there is replaced.
        step: steps done.
        write: whether this process writes at the beginning, as one of a run does.

    Raises:
        TrainingError: the file is missing or damaged.
        OutputError: it cannot be written.
    """

    def __init__(self, folder: Path, first: int, *, resume: bool, step: int = 0, write: bool = True) -> None:
        self._path = folder / MICRO_BATCHES_NAME
        self._since = [(0, first)]
        if resume:
            try:
                text = self._path.read_text(encoding="utf-8")
                self._since = [(int(since), int(slots)) for since, slots in json.loads(text)]
                if self._since[0][0] != 0:
                    raise ValueError("nothing is said of step 0")
            except (OSError, ValueError, TypeError, IndexError) as error:
                raise TrainingError(
                    f"{self._path} is missing or damaged ({error}); remove {folder}, and --resume trains "
                    "from the beginning"
                ) from error
            if first < self.at(step):
                self.lower(step, first)
        elif write:
            self._write()

    def at(self, step: int) -> int:
        """Slots at a step."""
        return next(slots for since, slots in reversed(self._since) if since <= step)

    def lower(self, step: int, slots: int) -> None:
        """From this step on there are fewer; each process that is told so writes the same."""
        kept = [(since, more) for since, more in self._since if since < step]
        self._since = [*kept, (step, slots)]
        self._write()

    def _write(self) -> None:
        write_whole(self._path, json.dumps(self._since))
