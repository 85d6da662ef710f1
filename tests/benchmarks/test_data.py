"""Every set that a figure uses has its source and licence in DATA.md."""

import importlib
from pathlib import Path

from benchmarks._figures import Suite

ROOT = Path(__file__).resolve().parents[2]


def test_every_set_is_named() -> None:
    text = (ROOT / "DATA.md").read_text(encoding="utf-8")
    modules = [f"benchmarks.{file.stem}" for file in sorted((ROOT / "benchmarks").glob("[a-z]*.py"))]
    modules += [
        f"benchmarks.{file.parent.name}.__main__" for file in (ROOT / "benchmarks").glob("*/__main__.py")
    ]
    for module in modules:
        suite = importlib.import_module(module).suite
        assert isinstance(suite, Suite)
        for unit in suite.units.values():
            for name in unit.data:
                place = Path(name)
                known = [f"`{part}`" in text for part in (place, place.with_name(place.name.split(".")[0]))]
                assert any(known), f"DATA.md does not name {name}, which {unit.name} uses"
