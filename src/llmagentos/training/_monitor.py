"""What a run tells of itself: a row of numbers every few steps, and an alarm at collapse."""

import errno
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from llmagentos.corpus import write_whole
from llmagentos.errors import CollapseError, OutputError
from llmagentos.loss import alignment, dimension_deviation, effective_rank, uniformity

# At chance the deviation is 1, at collapse 0. Trained encoders stay above 0.5; a healthy
# all-MiniLM-L6-v2 has 0.98.
_COLLAPSED_DEVIATION: Final = 0.1
_ONE_POINT_DEVIATION: Final = 1e-3
_PATIENCE: Final = 3
_CANNOT_WRITE: Final = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """One row of a run's log.

    Attributes:
        step: steps done.
        total_steps: steps of the whole run.
        epoch: passes over the texts begun before this step.
        seconds: since training began, over all restarts.
        loss: NT-Xent of the batch, nats; log(2N - 1) at chance, log(2N - 1 + K) with a queue of K.
        alignment: of the two views, 0 to 4, 2 at chance; lower is better.
        uniformity: of the first views, 0 at collapse, about -4 at best.
        effective_rank: dimensions in use by the first views, 1 at collapse.
        dimension_deviation: 0 at collapse, 1 at chance.
        gradient_norm: before clipping; not a number where an fp16 step was skipped.
        learning_rate: of this step.
        texts_per_second: since the row before.
        tokens_per_second: of both views, with special tokens, since the row before.
        padding: share of the computed token slots, outside attention, that held no token, 0 to 1.
        flop_utilisation: of the model's floating point operations among those that the hardware does at
            most (a large product of matrices in the same precision), 0 to 1.
        recomputed: share of the micro-batches that went through the encoder twice, for want of memory.
    """

    step: int
    total_steps: int
    epoch: int
    seconds: float
    loss: float
    alignment: float
    uniformity: float
    effective_rank: float
    dimension_deviation: float
    gradient_norm: float
    learning_rate: float
    texts_per_second: float
    tokens_per_second: float
    padding: float
    flop_utilisation: float
    recomputed: float


@torch.no_grad()
def diagnose(h_a: Tensor, h_b: Tensor) -> dict[str, float]:
    """The diagnostics of one batch of views.

    Args:
        h_a: first views, float (N, D), N >= 2.
        h_b: second views, float (N, D).

    Returns:
        alignment, uniformity, effective_rank and dimension_deviation; over at most 256 texts, which take
        5 ms (512 took 24, a tenth of a static step of 2,048).
    """
    h_a, h_b = h_a[:256].float().cpu(), h_b[:256].float().cpu()
    return {
        "alignment": alignment(h_a, h_b).item(),
        "uniformity": uniformity(h_a).item(),
        "effective_rank": effective_rank(h_a).item(),
        "dimension_deviation": dimension_deviation(h_a).item(),
    }


class CollapseAlarm:
    """Stops a run whose embeddings have become one point in three rows running, or in the last row.

    Some backbones start that narrow before any training, so a fall to half of where the run began
    counts as well.

    Args:
        first: the deviation in the first row of a run that goes on; None at its start.
        learning_rate: the run's peak, for the message.
    """

    def __init__(self, first: float | None, learning_rate: float) -> None:
        self._rows = 0
        self._first, self._learning_rate = first, learning_rate

    @property
    def waiting(self) -> bool:
        """Whether the last row had collapsed: the weights of now are not to be kept."""
        return self._rows > 0

    def check(self, row: Metrics) -> None:
        """Look at the next row.

        Raises:
            CollapseError: the third collapsed row running, or the run ends with one.
        """
        if self._first is None:
            self._first = row.dimension_deviation
        deviation = row.dimension_deviation
        fallen = deviation < _COLLAPSED_DEVIATION and deviation < self._first / 2
        collapsed = fallen or deviation < _ONE_POINT_DEVIATION
        self._rows = self._rows + 1 if collapsed else 0
        if self._rows >= _PATIENCE or (collapsed and row.step == row.total_steps):
            raise CollapseError(
                f"the embeddings collapsed at step {row.step}: all texts have nearly the same vector "
                f"(deviation {row.dimension_deviation:.3f}, 1 is healthy; uniformity {row.uniformity:.2f}); "
                f"try a lower learning rate than {self._learning_rate:g} (training.learning_rate) or "
                "stronger views (views.preset); the checkpoint before, if there was one, is kept"
            )


class MetricsLog:
    """Rows to a JSONL file and to TensorBoard.

    Args:
        folder: holds metrics.jsonl and tensorboard/.
        step: rows after this step, left by a run that was killed, are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        # Imported here: tensorboard takes a second that --help must not wait for.
        from torch.utils.tensorboard import SummaryWriter

        path = folder / "metrics.jsonl"
        kept = [row for row in read_metrics(path) if row.step <= step]
        write_whole(path, "".join(map(_line, kept)))
        self.seconds = kept[-1].seconds if kept else 0.0
        self.first_deviation = kept[0].dimension_deviation if kept else None
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, row: Metrics) -> None:
        """Append a row; if the process is killed now it stays."""
        self._file.write(_line(row))
        self._file.flush()
        for name, value in asdict(row).items():
            if name not in ("step", "total_steps"):
                self._board.add_scalar(name, value, row.step)

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        self._board.close()


@contextmanager
def metrics_log(folder: Path, step: int) -> Iterator[MetricsLog]:
    """A `MetricsLog` that is closed whatever happens.

    Raises:
        OutputError: the disk is full or read-only.
    """
    log = None
    try:
        log = MetricsLog(folder, step)
        yield log
        log.close()
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        raise OutputError(
            f"the metrics in {folder} cannot be written ({error.strerror}); free some space and go on from "
            "the last checkpoint with --resume"
        ) from error
    finally:
        if log is not None:
            with suppress(OSError):  # that is told already, or another error is
                log.close()


def _line(row: Metrics) -> str:
    """One line of JSON, which knows numbers only: what is none is null."""
    values = {name: value if math.isfinite(value) else None for name, value in asdict(row).items()}
    return json.dumps(values) + "\n"


def read_metrics(path: Path) -> list[Metrics]:
    """The rows of a metrics.jsonl; a last line that a killed run left unfinished is skipped."""
    rows: list[Metrics] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                values = json.loads(line)
                numbers: dict[str, Any] = {k: math.nan if v is None else v for k, v in values.items()}
                rows.append(Metrics(**numbers))
            except (AttributeError, ValueError, TypeError):
                break
    return rows
