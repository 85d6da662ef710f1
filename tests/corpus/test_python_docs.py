"""Documentation is harvested without importing anything, and boilerplate stays out."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmagentos.corpus import harvest_python_docs
from llmagentos.errors import InputError

BODY = "The body explains at length what the first line says, so that both make a pair."


def test_harvest_of_a_small_package(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    (package / "tests").mkdir(parents=True)
    (package / "__init__.py").write_text(
        f'"""The package does things.\n\n{BODY}\n"""\nraise RuntimeError("imported")\n'
    )
    (package / "mod.py").write_text(
        f'class A:\n    """Holds a value well.\n\n    {BODY} A.\n    """\n\n'
        f'    async def f(self):\n        """Runs the value now.\n\n        {BODY} f.\n        """\n\n'
        f'def args():\n    """Args:\n\n    {BODY}\n    """\n\n'
        f'def again():\n    """Runs the value now.\n\n    {BODY} again.\n    """\n\n'
        'def short():\n    """Too short a body.\n\n    Yes.\n    """\n\n'
        'def code():\n    """Only shows some code.\n\n'
        "    >>> first_example_of_the_function()\n    >>> second_example_of_the_function()\n"
        '    """\n'
    )
    (package / "broken.py").write_text('"""Not Python.\n\n' + BODY + '\n"""\nprint "2"\n')
    # An invalid escape, of which Python warns when it parses the file.
    escape = f'"""Holds a pattern well.\n\n{BODY} escape.\n"""\nx = "\\d"\n'
    (package / "escape.py").write_text(escape)
    (package / "tests" / "test_a.py").write_text(f'"""A test of it.\n\n{BODY}\n"""\n')
    (package / "GUIDE.md").write_text(f"# Guide\n\n[![badge](x)](y)\n{BODY} md.\n\n## 1.2.0\n\n{BODY} old.\n")
    (package / "LICENSE.md").write_text(f"# License\n\n{BODY}\n")
    info = tmp_path / "pkg-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Name: pkg\nDescription-Content-Type: text/markdown\n\n# Package\n\n{BODY} description.\n"
    )
    documents = list(harvest_python_docs(tmp_path))
    assert [(document.id, document.title) for document in documents] == [
        ("pkg/GUIDE.md:2", "pkg: Guide"),
        ("pkg", "pkg: The package does things."),
        ("pkg.escape", "pkg.escape: Holds a pattern well."),
        ("pkg.mod.A", "pkg.mod.A: Holds a value well."),
        ("pkg.mod.A.f", "pkg.mod.A.f: Runs the value now."),
        ("pkg/METADATA:5", "pkg: Package"),
    ]
    assert documents[0].text == f"{BODY} md." and documents[1].text == BODY
    assert {document.source for document in documents} == {"pkg"}


def test_what_cannot_be_read_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pkg"
    (package / "folder.py").mkdir(parents=True)
    (package / "folder.md").mkdir()
    (package / "closed").mkdir()
    (package / "gone.py").symlink_to(package / "nowhere.py")
    (tmp_path / "gone.py").symlink_to(package / "nowhere.py")
    for name in ("__init__", "refused"):
        (package / f"{name}.py").write_text(f'"""The package does {name}.\n\n{BODY}\n"""\n')
    if hasattr(os, "mkfifo"):
        os.mkfifo(package / "pipe.py")
        os.mkfifo(package / "pipe.md")
    read_bytes, iterdir = Path.read_bytes, Path.iterdir

    def refusing(path: Path) -> bytes:
        if path.stem == "refused":
            raise PermissionError
        return read_bytes(path)

    def closed(path: Path) -> Iterator[Path]:
        if path.name == "closed":
            raise PermissionError
        return iterdir(path)

    monkeypatch.setattr(Path, "read_bytes", refusing)
    monkeypatch.setattr(Path, "iterdir", closed)
    assert [document.id for document in harvest_python_docs(tmp_path)] == ["pkg"]


def test_harvest_of_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        list(harvest_python_docs(tmp_path / "none"))
