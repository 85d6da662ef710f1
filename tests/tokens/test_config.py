"""What `tokens.protect` takes, and what it says of the rest."""

import pytest

from llmagentos.config import Config
from llmagentos.errors import ConfigError


def test_protected_phrases_from_a_setting_and_back() -> None:
    config = Config().override(['tokens.protect=["Kubernetes", "pay per use"]'])
    assert config.tokens.protect == ("Kubernetes", "pay per use")
    assert Config.from_toml(config.to_toml()) == config


@pytest.mark.parametrize("word", ["", " ", "\\t\\n"])
def test_a_phrase_of_nothing(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config().override([f'tokens.protect=["a", "{word}"]'])
    assert str(caught.value).startswith("protect must not hold a text without a visible character, got ")
    assert str(caught.value).endswith('such as ["Kubernetes", "pay per use"] (tokens.protect)')


def test_no_list() -> None:
    with pytest.raises(ConfigError, match=r"got 'Kubernetes'; a list of words and phrases"):
        Config().override(["tokens.protect=Kubernetes"])
