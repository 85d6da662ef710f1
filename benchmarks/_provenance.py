"""Where a figure comes from: the hash of its code and data, and the machine it was measured on."""

import ast
import hashlib
import os
import platform
import sys
from collections.abc import Collection, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
JUDGE = DATA.parent / "score.py"
SHARED = ("_command.py", "_stores.py", "_tasks.py", "_texts.py")  # what suites import beside their own
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "sentence-transformers",
    "accelerate",
    "datasets",
    "numpy",
    "scipy",
    "scikit-learn",
    "bm25s",
)


def data_path(name: str) -> Path:
    """A file or folder of ../shared/data; an OSError that says so if it is not there."""
    path = DATA / name
    if not path.exists():
        raise FileNotFoundError(f"../shared/data/{name} is not here; DATA.md says where it comes from")
    return path


def data_hash(name: str) -> str:
    """The hash of the contents of a file, or of all files of a folder, of ../shared/data."""
    path = data_path(name)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return _combined(f"{file.relative_to(path)}:{_sha256(file)}" for file in files if file.is_file())


def code_hash(suite: Path, unit: str, others: Collection[str]) -> str:
    """The hash of the package, the judge and the suite's file less its other units, comments and bars.

    Also of what it imports: the files of `SHARED`, and where the suite is a folder, the files in it whose
    names begin with `_`.
    """
    sources = sorted((ROOT / "src" / "llmagentos").rglob("*.py"))
    tree = ast.parse(suite.read_text(encoding="utf-8"))
    for node in list(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name in others:
            tree.body.remove(node)
        elif isinstance(node, ast.FunctionDef) and node.name == unit:
            node.decorator_list.clear()
    judge = [_sha256(JUDGE)] if JUDGE.exists() else []
    package = [f"{path.relative_to(ROOT)}:{_sha256(path)}" for path in sources]
    parts = sorted(set(suite.parent.glob("_*.py")) - {suite}) if suite.name == "__main__.py" else []
    folder = suite.parent.parent if suite.name == "__main__.py" else suite.parent
    parts += [folder / name for name in SHARED if (folder / name).exists()]
    own = [f"{path.name}:{_sha256(path)}" for path in parts]
    return _combined([*package, *judge, *own, ast.dump(tree)])


def versions() -> dict[str, str]:
    """Python's version and those of the libraries that decide a figure."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def hardware() -> dict[str, Any]:
    """The processor, its cores, the memory and the GPU of this machine; nothing that names the machine."""
    torch = sys.modules.get("torch")  # a unit that used the GPU has imported it; the others need not wait
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    said: dict[str, str] = {}  # of the first core
    for name, _, value in (line.partition(":") for line in lines):
        said.setdefault(name.strip(), value.strip())
    return {
        "processor": said.get("model name", platform.machine()),
        # Some machines hide the name and say "AMD EPYC" alone.
        "family": " ".join(said[one] for one in ("cpu family", "model") if one in said) or None,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
        "gpu": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _combined(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
