"""What others may rely on: the public names, and that looking at them is quick."""

import importlib
import subprocess
import sys
import time

import pytest

import llmagentos

STAGES = ("corpus", "tokens", "views", "encoder", "loss", "training", "model", "evaluation", "pipeline")
# What may not be imported by who only looks.
SLOW = ("torch", "transformers", "sentence_transformers", "sklearn", "pyarrow", "numpy")


def test_the_public_names_are_frozen() -> None:
    assert llmagentos.__all__ == [
        "Config",
        "Corpus",
        "Document",
        "EmbeddingModel",
        "LLMAgentOSError",
        "NTXentLoss",
        "Views",
        "build_corpus",
        "evaluate",
        "load_task",
        "train",
    ]


@pytest.mark.parametrize("name", llmagentos.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(llmagentos, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Trian'"):
        _ = llmagentos.Trian


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_what_it_promises(stage: str) -> None:
    module = importlib.import_module(f"llmagentos.{stage}")
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name), name
        assert not name.startswith("_")


@pytest.mark.parametrize("what", ["import llmagentos", "import llmagentos.__main__"])
def test_importing_imports_nothing_slow(what: str) -> None:
    script = f"import sys; {what}; print(*sorted(set(sys.modules) & set({SLOW!r})))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


@pytest.mark.parametrize("command", [[], ["train"], ["corpus"], ["views"]])
def test_help_is_quick(command: list[str]) -> None:
    """Measured and printed (design: under 0.5 s), asserted only by what it may not import."""
    began = time.monotonic()
    found = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "llmagentos", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    print(f"llmagentos {' '.join([*command, '--help'])}: {time.monotonic() - began:.2f} s")
    imported = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines()}
    assert "llmagentos.errors" in imported
    assert not imported & set(SLOW)
    assert "Usage:" in found.stdout
