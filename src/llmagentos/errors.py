"""The exceptions of LLMAgentOS, one tree.

    LLMAgentOSError
    ├── InputError            what was given cannot be read or used (files, fields, texts)
    ├── ConfigError           a setting is unknown or out of range
    ├── OutputError           the result cannot be written (exists already, disk full)
    ├── ModelError            a model folder or its weights cannot be loaded
    └── TrainingError         training had to stop
        ├── OutOfMemoryError      memory ran out
        ├── LostProcessError      another process of the run has ended
        ├── NonFiniteLossError    the loss became NaN or infinite
        └── CollapseError         all embeddings became one

Every message says what is wrong, the value, what is allowed and what to do next, in one sentence
that a person can act on. The command line prints that sentence and exits with status 2; anything
that is not an `LLMAgentOSError` is a bug.
"""

__all__ = [
    "CollapseError",
    "ConfigError",
    "InputError",
    "LLMAgentOSError",
    "LostProcessError",
    "ModelError",
    "NonFiniteLossError",
    "OutOfMemoryError",
    "OutputError",
    "TrainingError",
]


class LLMAgentOSError(Exception):
    """Base of every error that LLMAgentOS raises on purpose."""


class InputError(LLMAgentOSError):
    """A file, a field or a text that was given cannot be read or used."""


class ConfigError(LLMAgentOSError, ValueError):
    """A setting is unknown or outside its legal range."""


class OutputError(LLMAgentOSError):
    """The result cannot be written: it exists already, or the disk is full or read-only."""


class ModelError(LLMAgentOSError):
    """A model folder is missing, damaged, or of a kind that is never loaded (pickles)."""


class TrainingError(LLMAgentOSError):
    """Training had to stop; the last good checkpoint is kept."""


class OutOfMemoryError(TrainingError):
    """Memory ran out, on the CPU or on a GPU."""


class LostProcessError(TrainingError):
    """Another process of the run has ended."""


class NonFiniteLossError(TrainingError):
    """The loss became NaN or infinite."""


class CollapseError(TrainingError):
    """The embeddings of different texts became (nearly) one point."""
