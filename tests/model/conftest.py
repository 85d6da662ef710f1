"""Tiny models on disk, made once a session."""

from pathlib import Path

import pytest

from ..encoder.tiny import save_models


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Plain Hugging Face folders by model kind; copy one before changing it."""
    return save_models(tmp_path_factory.mktemp("models"))
