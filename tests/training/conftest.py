"""A store of 100 small texts."""

from pathlib import Path

import pytest

from llmagentos.tokens import TokenStore

from .small import make_store, make_texts


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return make_store(tmp_path_factory.mktemp("store") / "store", make_texts(100))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a run writes."""
    return tmp_path / "run"
