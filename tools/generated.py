"""Write the parts of the documents that the code already says: `python -m tools.generated`.

`docs/path-of-data.md` gets the first line of every source file, `docs/errors.md` the tree of exceptions.
A test compares them with the code, so that neither can become wrong.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "llmagentos"


def docstring(node: ast.Module | ast.ClassDef) -> str:
    """The docstring of a module or class; an error that names it if there is none."""
    text = ast.get_docstring(node)
    if not text:
        raise ValueError(f"{getattr(node, 'name', 'a module')} has no docstring")
    return text


def summary(file: Path) -> str:
    """The first sentence or line of a file's docstring, as one line."""
    return " ".join(docstring(ast.parse(file.read_text(encoding="utf-8"))).split("\n\n")[0].split())


def stages() -> list[str]:
    """The parts of the package from the lowest to the highest, as import-linter enforces them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers: list[str] = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return [layer.strip("()") for layer in reversed(layers)]


def file_map() -> Iterator[str]:
    """The source files in the order of the data, each with what it is for."""
    for name in stages():
        single, folder = PACKAGE / f"{name}.py", PACKAGE / name
        if single.exists():
            yield f"- `{name}.py`: {summary(single)}"
        elif folder.is_dir():
            yield f"- `{name}/`: {summary(folder / '__init__.py')}"
            for file in sorted(folder.glob("_[a-z]*.py")):
                yield f"    - `{file.name}`: {summary(file)}"


def error_tree() -> Iterator[str]:
    """The exceptions, each under the one that it is a kind of."""
    module = ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8"))
    depth = {"Exception": 0}
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            parent = next(base.id for base in node.bases if isinstance(base, ast.Name))
            depth[node.name] = depth[parent] + 1
            indent = "    " * (depth[node.name] - 1)
            yield f"{indent}- `{node.name}`: {' '.join(docstring(node).split())}"


SECTIONS = {"path-of-data.md": file_map, "errors.md": error_tree}


def updated(document: str, lines: Iterator[str]) -> str:
    """The document with what stands between its two marks replaced."""
    marks = r"(<!-- generated: make documents -->\n).*(<!-- end -->)"
    found = re.search(marks, document, re.S)
    if not found:
        raise ValueError("the document has no marks <!-- generated: make documents --> and <!-- end -->")
    return document[: found.end(1)] + "\n".join(lines) + "\n" + document[found.start(2) :]


def main() -> None:
    """Write every generated section."""
    for name, lines in SECTIONS.items():
        path = ROOT / "docs" / name
        path.write_text(updated(path.read_text(encoding="utf-8"), lines()), encoding="utf-8")


if __name__ == "__main__":
    main()
