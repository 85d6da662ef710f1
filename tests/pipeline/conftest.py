"""What the tests of trials and of their measure have in common."""

import pytest

from llmagentos.encoder import TransformerEncoder

from ..training.small import bert


@pytest.fixture
def encoder() -> TransformerEncoder:
    """A tiny BERT without dropout."""
    return bert().eval()
