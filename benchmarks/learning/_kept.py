"""Vectors of texts, made once: a model that many tasks and seeds ask about the same texts."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks._provenance import ROOT
from llmagentos.corpus import content_hash
from llmagentos.evaluation import Encodes

KEPT = ROOT / "benchmarks" / ".cache" / "learning" / "vectors"
_AT_ONCE = 2_000


class Kept:
    """A model's vectors, kept in a folder beyond the run.

    Args:
        model: what gives the vector of a text that is new.
        folder: of this model alone.
    """

    def __init__(self, model: Encodes, folder: Path) -> None:
        self._model, self._folder = model, folder
        self._rows: dict[bytes, npt.NDArray[np.float32]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as file:
                self._rows |= zip(map(bytes, file["keys"]), file["vectors"], strict=True)

    def encode(self, texts: Sequence[str], /) -> npt.NDArray[np.float32]:
        """One row a text, shape (n, D); what is new is written before it is given."""
        keys = [content_hash(text) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}
        for first in range(0, len(new), _AT_ONCE):
            part = dict(list(new.items())[first : first + _AT_ONCE])
            vectors = np.asarray(self._model.encode(list(part.values())), dtype=np.float32)
            self._write(list(part), vectors)
            self._rows |= zip(part, vectors, strict=True)
        return np.stack([self._rows[key] for key in keys])

    def _write(self, keys: list[bytes], vectors: npt.NDArray[np.float32]) -> None:
        path = self._folder / f"{hashlib.sha256(b''.join(keys)).hexdigest()[:16]}.npz"
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            # As bytes without a length of their own: numpy's `S16` would drop zeros at the end.
            np.savez(file, keys=np.array([list(key) for key in keys], dtype=np.uint8), vectors=vectors)
        os.replace(partial, path)


def minilm() -> Kept:
    """all-MiniLM-L6-v2 as it is, with the vectors that this code of encoders has given before."""
    from llmagentos.model import EmbeddingModel

    package = ROOT / "src" / "llmagentos"
    sources = sorted(path for name in ("encoder", "model") for path in (package / name).glob("*.py"))
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]
    return Kept(EmbeddingModel.load("minilm", device="cpu"), KEPT / f"minilm-{code}")
