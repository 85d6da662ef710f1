"""Small corpora for the tests of this folder, and the shared real text where it is there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmagentos.corpus import CorpusConfig, Document, Skipped, read_documents

SHARED = Path(__file__).parents[3] / "shared" / "data" / "corpus"


@pytest.fixture
def shared() -> Path:
    """The folder of real text; tests that use it are skipped where it is missing."""
    if not SHARED.is_dir():
        pytest.skip("the shared data folder is not on this machine")
    return SHARED


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[list[Document], list[Skipped]]]:
    """Writes one file and reads it: the documents, and what was skipped."""

    def write_and_read(
        name: str, content: bytes | str, **settings: Any
    ) -> tuple[list[Document], list[Skipped]]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        items = list(read_documents([path], CorpusConfig(**settings)))
        documents = [item for item in items if isinstance(item, Document)]
        return documents, [item for item in items if isinstance(item, Skipped)]

    return write_and_read
