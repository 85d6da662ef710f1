"""Check that what the documents tell people to type works: `python -m tools.check_documents`.

For README.md, README.zh-CN.md and docs/*.md:

- both READMEs hold the same fenced blocks, but for comments;
- every `llmagentos ...` in a bash block is a command with options that exist, all that it requires, and
  settings (`--set`) that are known and legal;
- every `make ...` names a target of the Makefile;
- a link to a file of the repository leads to one;
- a bash or python block after the line `<!-- run -->` is run, the blocks of one document in order in one
  empty folder, so that a later one can use what an earlier one made.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, cast

ROOT = Path(__file__).resolve().parent.parent
RUN_SECONDS = 300
_FENCE = re.compile(r"^(?P<mark><!-- run -->\n+)?```(?P<language>[\w-]*)\n(?P<text>.*?)^```$", re.M | re.S)
_COMMENT = re.compile(r"(^|\s+)#.*$", re.M)
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    document: Path
    line: int
    language: str
    text: str
    run: bool

    @property
    def place(self) -> str:
        """Where it is, as FILE:LINE."""
        return f"{self.document.name}:{self.line}"


class _Command(Protocol):
    """What this check uses of a typer command, whose own classes are private."""

    name: str | None
    params: Sequence[Any]

    def make_parser(self, ctx: object) -> Any: ...


def blocks(document: Path) -> list[Block]:
    """The fenced blocks of a Markdown file, in order."""
    text = document.read_text(encoding="utf-8")
    return [
        Block(
            document,
            text.count("\n", 0, match.start()) + 1,
            match["language"],
            match["text"],
            bool(match["mark"]),
        )
        for match in _FENCE.finditer(text)
    ]


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a bash block as lists of words: lines joined at backslashes, split at && | and ;.

    Examples:
        >>> list(commands("make demo   # five minutes\\nllmagentos train a.txt \\\\\\n  --out m && ls m"))
        [['make', 'demo'], ['llmagentos', 'train', 'a.txt', '--out', 'm'], ['ls', 'm']]
    """
    text = re.sub(r"<<\s*'?(\w+)'?(.*?)\n.*?^\1$", r"\2", text.replace("\\\n", " "), flags=re.M | re.S)
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;"):
                if command:
                    yield command
                command = []
            else:
                command.append(word)


def differences(english: Sequence[Block], chinese: Sequence[Block]) -> Iterator[str]:
    """Where the two READMEs tell people to type different things; comments may be translated."""
    if len(english) != len(chinese):
        yield f"README.md has {len(english)} blocks, README.zh-CN.md {len(chinese)}; they have to be the same"
    for ours, theirs in zip(english, chinese, strict=False):
        if (ours.language, ours.run) != (theirs.language, theirs.run) or _bare(ours) != _bare(theirs):
            yield f"{ours.place} and {theirs.place} differ; only comments in a block are translated"


def _bare(block: Block) -> list[str]:
    return [line.rstrip() for line in _COMMENT.sub("", block.text).splitlines() if line.strip()]


def targets(makefile: str) -> set[str]:
    """The targets of a Makefile."""
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", makefile, re.M))


def wrong_make(words: Sequence[str], known: set[str]) -> Iterator[str]:
    """What is wrong with a `make` command: the targets that do not exist."""
    for word in words[1:]:
        if "=" not in word and not word.startswith("-") and word not in known:
            yield f"make has no target {word}"


def wrong_command(words: Sequence[str], command: _Command) -> Iterator[str]:
    """What is wrong with a `llmagentos` command, parsed by the real parser but not run."""
    import typer

    context = typer.Context(cast(Any, command), info_name=words[0])
    try:
        values, rest, _ = command.make_parser(context).parse_args(args=list(words[1:]))
    except Exception as error:  # typer's usage errors are private; each one's text says what is wrong
        yield f"{' '.join(words)}: {error}"
        return
    subcommands = cast(dict[str, _Command], getattr(command, "commands", {}))
    if subcommands and rest:
        if rest[0] not in subcommands:
            yield f"{words[0]} has no command {rest[0]}; there are {', '.join(sorted(subcommands))}"
            return
        yield from wrong_command(rest, subcommands[rest[0]])
        return
    if not values.get("help"):
        missing = [p.name for p in command.params if p.required and not values.get(p.name)]
        if missing:
            yield f"{' '.join(words)}: {', '.join(missing)} missing"
    if rest:
        yield f"{' '.join(words)}: {' '.join(rest)} is too much"


def wrong_settings(words: Sequence[str]) -> Iterator[str]:
    """What is wrong with the `--set section.key=value` of a command: unknown keys, values out of range."""
    from llmagentos.config import Config
    from llmagentos.errors import ConfigError

    try:
        Config().override([value for option, value in pairwise(words) if option == "--set"])
    except ConfigError as error:
        yield str(error)


def command_line() -> _Command:
    """The command line of the package."""
    import typer

    from llmagentos.__main__ import app

    return cast(_Command, typer.main.get_command(app))


def broken_links(document: Path) -> Iterator[str]:
    """Links to files that are not there; those inside fenced blocks are not links."""
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if not (document.parent / target).exists():
            yield f"{document.name}: {target} is not there"


def run(marked: Sequence[Block]) -> Iterator[str]:
    """Run the marked blocks of one document in order in one empty folder; stop at the first that fails."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "LLMAGENTOS_HOME": f"{folder}/.home"}
        for block in marked:
            shell = block.language == "bash"
            command = ["bash", "-euo", "pipefail", "-c"] if shell else [sys.executable, "-c"]
            print(f"running {block.place}", flush=True)
            try:
                subprocess.run(
                    [*command, block.text],
                    cwd=folder,
                    env=environment,
                    check=True,
                    timeout=RUN_SECONDS,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                )
            except subprocess.TimeoutExpired:
                yield f"{block.place}: not done after {RUN_SECONDS} s"
                return
            except subprocess.CalledProcessError as error:
                yield f"{block.place}: exit status {error.returncode}\n{error.stdout}{error.stderr}"
                return


def wrong_commands(document: Path) -> Iterator[str]:
    """What is wrong with the commands in the bash blocks of one document."""
    known = targets((ROOT / "Makefile").read_text(encoding="utf-8"))
    for block in blocks(document):
        if block.language != "bash":
            continue
        for words in commands(block.text):
            if words[0] == "make":
                yield from (f"{block.place}: {problem}" for problem in wrong_make(words, known))
            elif words[0] == "llmagentos":
                found = [*wrong_command(words, command_line()), *wrong_settings(words)]
                yield from (f"{block.place}: {problem}" for problem in found)


def main() -> None:
    """Check all documents, print what is wrong, and end with status 1 if anything is."""
    english, chinese = ROOT / "README.md", ROOT / "README.zh-CN.md"
    documents = [english, chinese, *sorted((ROOT / "docs").glob("*.md"))]
    problems = [f"{document.name} is not there" for document in documents if not document.exists()]
    if not problems:
        problems += differences(blocks(english), blocks(chinese))
    for document in filter(Path.exists, documents):
        problems += [*broken_links(document), *wrong_commands(document)]
        if document != chinese:  # its blocks are the English ones
            problems += run([block for block in blocks(document) if block.run])
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(documents)} documents checked, {len(problems)} problems")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
