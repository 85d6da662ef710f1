"""Write a model folder that appears complete or not at all."""

import os
import shutil
import tempfile
from pathlib import Path

from safetensors import SafetensorError

from llmagentos.encoder import Encoder
from llmagentos.errors import OutputError
from llmagentos.model._card import ModelCard


def export_model(encoder: Encoder, out: str | Path, *, card: ModelCard | str) -> Path:
    """Write an encoder as a folder that `SentenceTransformer(out)` loads with no code of ours.

    The files are written to a hidden folder beside `out`, flushed to the disk, and renamed at the end.

    Args:
        encoder: Any encoder; weights are written as safetensors.
        out: A new or an empty folder.
        card: The model card, becomes README.md.

    Returns:
        `out`.

    Raises:
        OutputError: `out` holds something already, or cannot be written; nothing is left behind.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists already; give a new folder or remove it first (--out)")
    staging: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        encoder.save(staging)
        text = card if isinstance(card, str) else card.render()
        (staging / "README.md").write_text(text, encoding="utf-8")
        _publish(staging)
        staging.rename(out)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OutputError(
            f"the model cannot be written to {out}: {reason}; free some space or give another folder (--out)"
        ) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
    return out


def _publish(folder: Path) -> None:
    """Give all files the permissions that new files usually get, and flush them to the disk."""
    umask = os.umask(0)
    os.umask(umask)
    folder.chmod(0o777 & ~umask)
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o666 & ~umask)
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
