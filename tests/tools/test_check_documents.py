"""The check of what the documents tell people to type."""

from pathlib import Path
from typing import Annotated, cast

import pytest
import typer

from tools import check_documents as check

TEXT = """# Title

Some words.

```bash
make demo PIP_ARGS="--quiet"   # five minutes
llmagentos train notes/ \\
    --out model && ls model
```

<!-- run -->
```python
print(1)
```

A [link](there.md#part), [another](https://example.org/x), and [one](gone.md).
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def command() -> check._Command:
    app = typer.Typer()
    corpus = typer.Typer()
    app.add_typer(corpus, name="corpus")

    @app.command()
    def train(inputs: list[Path], out: Annotated[Path, typer.Option()], minutes: float = 1.0) -> None: ...

    @corpus.command()
    def stats(folder: Annotated[Path, typer.Argument(exists=True)]) -> None: ...

    @corpus.command()
    def related(word: str) -> None: ...

    return cast(check._Command, typer.main.get_command(app))


def test_blocks_have_a_place_a_language_and_a_mark(document: Path) -> None:
    found = check.blocks(document)
    assert [(block.place, block.language, block.run) for block in found] == [
        ("README.md:5", "bash", False),
        ("README.md:11", "python", True),
    ]


def test_commands_are_joined_and_split(document: Path) -> None:
    assert list(check.commands(check.blocks(document)[0].text)) == [
        ["make", "demo", "PIP_ARGS=--quiet"],
        ["llmagentos", "train", "notes/", "--out", "model"],
        ["ls", "model"],
    ]


def test_what_a_here_document_holds_is_no_command() -> None:
    text = "cat > a.txt <<'END'\nllmagentos is not called\nEND\nmake test"
    assert list(check.commands(text)) == [["cat", ">", "a.txt"], ["make", "test"]]


def test_only_links_to_missing_files_are_broken(document: Path) -> None:
    (document.parent / "there.md").touch()
    assert list(check.broken_links(document)) == ["README.md: gone.md is not there"]


def test_two_readmes_may_differ_in_comments_only(document: Path) -> None:
    english, chinese = check.blocks(document), document.with_name("README.zh-CN.md")
    chinese.write_text(
        TEXT.replace("five minutes", "五分钟").replace("Some words", "几句话"), encoding="utf-8"
    )
    assert not list(check.differences(english, check.blocks(chinese)))
    chinese.write_text(TEXT.replace("print(1)", "print(2)"), encoding="utf-8")
    assert "README.md:11 and README.zh-CN.md:11 differ" in next(
        check.differences(english, check.blocks(chinese))
    )
    assert "2 blocks, README.zh-CN.md 1" in next(check.differences(english, english[:1]))


def test_make_targets() -> None:
    known = check.targets("PIP := x\nhelp:\n\t@true\nbench-path: .venv\n")
    assert known == {"help", "bench-path"}
    assert not list(check.wrong_make(["make", "-s", "bench-path", "QUICK=1"], known))
    assert list(check.wrong_make(["make", "tset"], known)) == ["make has no target tset"]


@pytest.mark.parametrize(
    "line",
    [
        "llmagentos train a b --out m --minutes 3",
        "llmagentos --help",
        "llmagentos train --help",
        "llmagentos corpus stats no-such-folder",
    ],
)
def test_good_commands(command: check._Command, line: str) -> None:
    assert not list(check.wrong_command(line.split(), command))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("llmagentos tarin a", "no command tarin; there are corpus, train"),
        ("llmagentos train a --out m --hours 1", "--hours"),
        ("llmagentos train a", "out missing"),
        ("llmagentos corpus stats", "folder missing"),
        ("llmagentos corpus related a b", "b is too much"),
        ("llmagentos corpus count", "corpus has no command count"),
    ],
)
def test_wrong_commands(command: check._Command, line: str, says: str) -> None:
    assert says in next(check.wrong_command(line.split(), command))


def test_settings_are_known_and_legal() -> None:
    assert not list(
        check.wrong_settings(["llmagentos", "train", "a", "--set", "loss.temperature=0.05", "--out", "m"])
    )
    assert "temperature must be" in next(check.wrong_settings(["llmagentos", "--set", "loss.temperature=0"]))


def block(language: str, text: str) -> check.Block:
    return check.Block(Path("guide.md"), 1, language, text, run=True)


def test_marked_blocks_run_in_order_in_one_folder() -> None:
    write, read = (
        block("bash", "echo hello > a.txt"),
        block("python", "assert open('a.txt').read() == 'hello\\n'"),
    )
    assert not list(check.run([write, read]))
    assert "FileNotFoundError" in next(check.run([read]))
    assert "exit status 1" in next(check.run([block("bash", "false | true")]))
