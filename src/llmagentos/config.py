"""The configuration of a run: the stages' own settings side by side, from TOML and `--set`.

    [loss]
    temperature = 0.05
    [training]
    batch_size = 1024

A key that no stage knows is an error that names the nearest one. The full configuration, with all
that was chosen on the way, is written beside every model as config.toml.
"""

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from llmagentos.corpus import CorpusConfig
from llmagentos.encoder import EncoderConfig
from llmagentos.errors import ConfigError
from llmagentos.loss import LossConfig
from llmagentos.tokens import TokensConfig
from llmagentos.training import TrainingConfig
from llmagentos.views import ViewsConfig


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Config:
    """The settings of all stages; each section is the config class of its stage.

    Example:
        >>> config = Config.from_toml("[loss]\\ntemperature = 0.07").override(["training.batch_size=64"])
        >>> config.loss.temperature, config.training.batch_size
        (0.07, 64)
        >>> Config().override(["loss.temperature=0"])
        Traceback (most recent call last):
        llmagentos.errors.ConfigError: temperature must be > 0, got 0; 0.02 to 0.1 is usual (loss.temperature)
    """

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    tokens: TokensConfig = field(default_factory=TokensConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    @classmethod
    def from_toml(cls, text: str) -> "Config":
        """Read a configuration.

        Args:
            text: TOML with one table a stage; what is left out keeps its default.

        Returns:
            The configuration.

        Raises:
            ConfigError: no TOML, an unknown key, or a value outside its range.
        """
        try:
            return cls._validated(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(
                f"the configuration is not TOML: {error}; write lines such as batch_size = 64"
            ) from error

    @classmethod
    def from_file(cls, path: str | Path) -> "Config":
        """Read a configuration file; see `from_toml`.

        Raises:
            ConfigError: names the file; also when it cannot be read.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the configuration file {path} cannot be read ({error}); check --config"
            ) from error
        try:
            return cls.from_toml(text)
        except ConfigError as error:
            raise ConfigError(f"in {path}: {error}") from error

    def override(self, settings: Sequence[str]) -> "Config":
        """Replace single values, as `--set` does.

        Args:
            settings: "section.key=value"; the value as in TOML, quotes around words may be left out.

        Returns:
            The new configuration.

        Raises:
            ConfigError: a malformed setting, an unknown key, or a value outside its range.
        """
        values = self.sections()
        for setting in settings:
            name, equals, value = setting.partition("=")
            section, dot, key = name.strip().partition(".")
            if not (equals and dot and key):
                raise ConfigError(
                    f"a setting must look like section.key=value, got {setting!r}; "
                    "for example loss.temperature=0.05 (--set)"
                )
            values.setdefault(section, {})[key] = _value(value.strip())
        return self._validated(values)

    def to_toml(self) -> str:
        """The configuration as TOML that `from_toml` reads back; settings that are None are left out."""
        return tomli_w.dumps(self.sections())

    def sections(self) -> dict[str, dict[str, Any]]:
        """The settings by stage as plain values, without those that are None."""
        return {section: _without_none(values) for section, values in asdict(self).items()}

    @classmethod
    def _validated(cls, values: dict[str, Any]) -> "Config":
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            raise ConfigError(_sentence(error)) from error


def _without_none(value: Any) -> Any:
    """A value as TOML can say it, which has no word for None."""
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list | tuple) else value


_COMPARISONS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _sentence(error: ValidationError) -> str:
    """The first thing that is wrong with a configuration, in one sentence."""
    errors = error.errors()
    about = errors[0]["loc"][:2]
    # Of a value that may be a number or a table, the deepest complaint is about what was given.
    first = max((one for one in errors if one["loc"][:2] == about), key=lambda one: len(one["loc"]))
    ours = [one for one in errors if one["type"] == "value_error" and one["loc"][:2] == about]
    if ours:  # a sentence of a stage's own
        return str(ours[0]["ctx"]["error"])
    place = [str(part) for part in first["loc"]]
    if len(place) == 1 and isinstance(first["input"], dict) and first["input"]:
        place.append(str(next(iter(first["input"]))))  # an unknown section: the key says what was meant
    name = ".".join(place[:2])
    if len(place) > 2 and first["type"] in ("unexpected_keyword_argument", "missing"):
        wrong = "has no part" if first["type"] != "missing" else "lacks its part"
        return f"{place[1]} {wrong} {place[-1]}; {_description(place)} ({name})"
    if first["type"] == "unexpected_keyword_argument":
        known = _known_keys()
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4) or difflib.get_close_matches(
            place[-1], [key.split(".")[-1] for key in known], n=1, cutoff=0.6
        )
        near = [key for key in known if key.endswith(near[0])][:1] if near else []
        hint = (
            f"did you mean {near[0]}?"
            if near
            else f"sections are {', '.join(f.name for f in fields(Config))}"
        )
        return f"there is no setting {name}; {hint}"
    if first["type"] == "dataclass_type":
        return (
            f"{name} is a section, got {first['input']!r}; write [{name}] and lines of key = value below it"
        )
    usual = _description(place)
    if (bound := _COMPARISONS.get(first["type"])) is not None:
        wrong = f"must be {_SIGNS[bound]} {first['ctx'][bound]:g}"
    elif first["type"] == "literal_error":
        wrong = f"must be {first['ctx']['expected']}"
    else:
        wrong = first["msg"][0].lower() + first["msg"][1:].replace("Input ", "")
        wrong = wrong.replace("input should be", "must be")
    return f"{place[1]} {wrong}, got {first['input']!r}; {usual} ({name})"


def _known_keys() -> list[str]:
    return [f"{section}.{key}" for section, values in asdict(Config()).items() for key in values]


def _description(place: Sequence[str]) -> str:
    """What a setting's own class says of its usual values."""
    schema = TypeAdapter(type(getattr(Config(), place[0]))).json_schema()
    return str(schema["properties"][place[1]].get("description", "see the documentation of its stage"))


def _value(text: str) -> Any:
    """A value as TOML reads it; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
