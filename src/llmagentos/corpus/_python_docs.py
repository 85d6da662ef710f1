"""Real text that every machine has: the documentation inside the installed Python packages.

Docstrings are read with `ast`, so that nothing is imported and nothing runs. Each gives a pair for
free: the first line says in a sentence what the rest explains.
"""

import ast
import gc
import inspect
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from llmagentos.corpus._document import Document
from llmagentos.corpus._markup import Section, sections
from llmagentos.corpus._sources import Source, read_chunks, read_lines
from llmagentos.errors import InputError

__all__ = ["harvest_python_docs"]

_MIN_BODY_CHARACTERS = 60
_MAX_FILE_BYTES = 2 << 20
# Tests explain themselves and not the package; vendored copies repeat other packages.
_PASSED_OVER = frozenset({"tests", "test", "testing", "_vendor", "_vendored", "vendor", "node_modules"})
_PAGES = (".md", ".rst")
_NOT_PROSE = re.compile(
    r"licen[cs]e|copying|notice|authors|contributors|third.?party|changelog|changes|history|news|"
    r"entry_points|top_level|sources|record|requirements|what.s new|\bv?\d+\.\d+",
    re.IGNORECASE,
)
_LICENCE = re.compile(
    r"permission is hereby granted|redistribution and use in source|licensed under the apache license|"
    r"gnu (lesser |affero )?general public license|without warrant(y|ies)",
    re.IGNORECASE,
)
_BADGE = re.compile(r"\s*(\[?!\[|\.\. (image|\|)|<img|<a href|:target:|:alt:)")
_IMAGE = re.compile(r"\[?!\[[^\]]*\](\([^)]*\))?(\]\([^)]*\))?")
_CODE_LINE = re.compile(r"^\s*(>>>|\.\.\. |#|\|)")


def harvest_python_docs(site_packages: Path | None = None) -> Iterator[Document]:
    """The documentation of the installed Python packages, package by package in sorted order.

    A docstring becomes one document: title = qualified name and first line ("json.dumps: Serialize
    obj to a JSON string"), text = the rest. Left out are docstrings whose rest is shorter than 60
    characters or whose first line is under three words, ends with a colon, or has been seen in the same
    package (generated code repeats itself: 439 docstrings of transformers begin with "Args:"), and
    tests, vendored copies, licences and lists of changes. Markdown, reStructuredText and the long
    descriptions of packages become one document a section. What cannot be read is passed over, such as
    links that lead nowhere.

    Args:
        site_packages: where packages are installed; by default those of the running Python.

    Raises:
        InputError: the folder does not exist.
    """
    if site_packages is not None:
        folders = [Path(site_packages)]
    else:
        folders = sorted({Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")})
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}; give the site-packages folder of a Python")
        for entry in _entries(folder):
            if entry.suffix == ".dist-info":
                if os.path.isfile(entry / "METADATA"):
                    package = entry.name.partition("-")[0]
                    yield from _page(entry / "METADATA", f"{package}/METADATA", package)
            elif entry.suffix == ".py":
                yield from _docstrings(entry, entry.stem, set())
            elif entry.name.isidentifier() and os.path.isdir(entry):
                yield from _package(entry, entry.name, set())


def _package(folder: Path, name: str, summaries: set[str]) -> Iterator[Document]:
    for entry in _entries(folder):
        if entry.name in _PASSED_OVER or entry.name.startswith("."):
            continue
        if entry.suffix == ".py":
            module = name if entry.stem == "__init__" else f"{name}.{entry.stem}"
            yield from _docstrings(entry, module, summaries)
        elif entry.suffix in _PAGES:
            if os.path.isfile(entry) and not _NOT_PROSE.search(entry.stem):
                yield from _page(entry, f"{name.replace('.', '/')}/{entry.name}", name.partition(".")[0])
        elif entry.name.isidentifier() and os.path.isdir(entry) and not os.path.islink(entry):
            yield from _package(entry, f"{name}.{entry.name}", summaries)


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted; nothing where it may not be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _docstrings(path: Path, module: str, summaries: set[str]) -> Iterator[Document]:
    # Not a folder, a link that leads nowhere or a pipe (os.path: pathlib raises where it may not look).
    if not os.path.isfile(path):
        return
    try:
        data = path.read_bytes() if path.stat().st_size <= _MAX_FILE_BYTES else b""
    except OSError:
        return
    if b'"""' not in data and b"'''" not in data:
        return
    # The parser allocates millions of small objects and no cycles; collecting in between costs a third.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            # About files that are not the user's, such as invalid escapes in their strings.
            warnings.simplefilter("ignore")
            tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # templates and files of other Python versions
    finally:
        if was_enabled:
            gc.enable()
    package = module.split(".", 1)[0]
    for name, docstring in _walk(tree, module):
        first, _, rest = inspect.cleandoc(docstring).partition("\n")
        body = rest.strip()
        first = first.strip()
        if _is_summary(first) and first not in summaries and _is_prose(body):
            summaries.add(first)
            yield Document(id=name, title=f"{name}: {first}", text=body, source=package)


def _walk(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    waiting: list[tuple[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, str]]
    waiting = [(tree, module)]
    while waiting:
        node, name = waiting.pop()
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            yield name, first.value.value
        children = [
            (child, f"{name}.{child.name}")
            for child in node.body
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        ]
        waiting.extend(reversed(children))


def _is_summary(first: str) -> bool:
    """Whether a first line says something: "Args:" and "Parameters" head a list of others."""
    return len(first.split()) >= 3 and not first.endswith(":") and first[0].isalpha()


def _is_prose(body: str) -> bool:
    """Long enough, no licence, and not only examples of code."""
    if len(body) < _MIN_BODY_CHARACTERS or _LICENCE.search(body):
        return False
    lines = [line for line in body.splitlines() if line.strip()]
    return sum(1 for line in lines if not _CODE_LINE.match(line)) * 2 > len(lines)


def _page(path: Path, name: str, package: str) -> Iterator[Document]:
    """The sections of a Markdown or reStructuredText file, or of the description in METADATA."""
    source = Source(path, name, path.suffix, "", named=False)
    lines = read_lines(read_chunks(source), name)
    rst = path.suffix == ".rst"
    if path.name == "METADATA":
        # Headers as in e-mail, an empty line, then the text; it is reStructuredText unless it says not.
        for line in lines:
            if isinstance(line, tuple) and line[1].lower().startswith(b"description-content-type"):
                rst = b"rst" in line[1]
            if isinstance(line, tuple) and not line[1].strip():
                break
    for section in sections(lines, rst=rst):
        title = _IMAGE.sub("", section.title).strip(" >") if isinstance(section, Section) else ""
        if isinstance(section, Section) and title and not _NOT_PROSE.search(title):
            body = "\n".join(line for line in section.text.splitlines() if not _BADGE.match(line)).strip()
            if _is_prose(body):
                yield Document(
                    id=f"{name}:{section.line}",
                    title=f"{package}: {section.title}",
                    text=body,
                    source=package,
                )
