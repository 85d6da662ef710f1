"""Encoders and files that several tests of the evaluation use."""

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


class LetterCounts:
    """An encoder that needs no training: how often each ASCII character occurs."""

    def encode(self, texts: list[str], /) -> npt.NDArray[np.float64]:
        """Counts, shape (n, 128)."""
        rows = [np.bincount([min(ord(c), 127) for c in text], minlength=128) for text in texts]
        return np.array(rows, dtype=np.float64)


class Noise:
    """An encoder that knows nothing: a random vector for every text."""

    def encode(self, texts: list[str], /) -> npt.NDArray[np.float64]:
        """Random vectors, shape (n, 16), the same for the same text."""
        seeds = (zlib.crc32(text.encode()) for text in texts)
        return np.array([np.random.default_rng(seed).normal(size=16) for seed in seeds])


@pytest.fixture
def letters() -> LetterCounts:
    return LetterCounts()


@pytest.fixture
def noise() -> Noise:
    return Noise()


@pytest.fixture
def shared() -> Path:
    if not (SHARED / "data" / "eval").is_dir():
        pytest.skip("the shared evaluation data (../shared/data/eval) is not on this machine")
    return SHARED


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[[str, Sequence[object]], Path]:
    """Write lines (texts as they are, anything else as JSON) to a file under tmp_path."""

    def write(name: str, lines: Sequence[object]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
        path.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
        return path

    return write
