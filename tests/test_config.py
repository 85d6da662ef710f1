"""Settings from TOML and --set, and what is said where they make no sense."""

from pathlib import Path

import pytest

from llmagentos.config import Config
from llmagentos.errors import ConfigError


def test_what_is_written_is_read_back() -> None:
    config = Config().override(["loss.temperature=0.07", "views.preset=seed", "corpus.heldout_documents=50"])
    assert Config.from_toml(config.to_toml()) == config
    assert Config.from_toml("") == Config()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("views.preset=seed", "seed"),
        ('views.preset="seed"', "seed"),
        (" views.preset = 'seed' ", "seed"),
        ("views.dictionary=my words.tsv", "my words.tsv"),
        ("views.word_swap=1e-1", 0.1),
        ("corpus.text_field=a=b", "a=b"),
    ],
)
def test_a_setting_is_a_toml_value_or_a_bare_word(setting: str, value: object) -> None:
    section, key = setting.partition("=")[0].strip().split(".")
    assert getattr(getattr(Config().override([setting]), section), key) == value


def test_the_last_setting_counts_and_the_others_stay() -> None:
    config = Config.from_toml("[training]\nbatch_size = 64\nseed = 3")
    changed = config.override(["training.batch_size=32", "training.batch_size=16"])
    assert (changed.training.batch_size, changed.training.seed) == (16, 3)
    assert config.training.batch_size == 64


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("loss.temperature=0", "temperature must be > 0, got 0; 0.02 to 0.1 is usual (loss.temperature)"),
        ("loss.temperature=-0.5", "temperature must be > 0, got -0.5;"),
        ("loss.temperature=nan", "temperature must be a finite number, got nan;"),
        ("loss.temperature=warm", "temperature must be a valid number"),
        ("training.batch_size=1", "batch_size must be >= 2, got 1;"),
        ("training.batch_size=1.5", "batch_size must be a valid integer"),
        ("loss.temprature=0.1", "there is no setting loss.temprature; did you mean loss.temperature?"),
        ("los.temperature=0.1", "did you mean loss.temperature?"),
        ("temperature=0.1", "a setting must look like section.key=value, got 'temperature=0.1'"),
        ("loss.temperature", "a setting must look like section.key=value"),
        ("=", "a setting must look like section.key=value"),
        (
            "views.preset=seeed",
            "preset must be 'crop', 'span', 'paragraph', 'sentence', 'noisy', 'dropout' or 'seed'",
        ),
        ("zzz.qqq=1", "there is no setting zzz"),
    ],
)
def test_a_bad_setting_is_one_sentence_with_what_to_do(settings: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config().override([settings])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("batch_size = 64", "there is no setting batch_size; did you mean training.batch_size?"),
        ("loss = 3", "loss is a section, got 3; write [loss]"),
        ("[loss", "the configuration is not TOML"),
        ("[loss]\ntemperature = [1]", "temperature must be a valid number, got [1]"),
    ],
)
def test_a_bad_file_is_one_sentence_with_what_to_do(toml: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_toml(toml)
    assert sentence in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="check --config"):
        Config.from_file(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="check --config"):
        Config.from_file(tmp_path)
    (tmp_path / "latin1.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(ConfigError, match="check --config"):
        Config.from_file(tmp_path / "latin1.toml")
