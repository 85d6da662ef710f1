"""Memory and speed of what feeds training, over stores of 1 to 100 million texts."""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks._figures import Configuration
from benchmarks._limited import run_limited
from benchmarks._stores import NEEDED_BYTES, resident_megabytes, write_store
from benchmarks.training._pairs import settings
from llmagentos.tokens import TokenStore
from llmagentos.training import batch_at
from llmagentos.views import Views, ViewsConfig

_LIMIT_SECONDS = 1800.0


def loader(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """What grows from the smallest store to the largest."""
    sizes = configuration["texts"]
    if shutil.disk_usage(folder).free < NEEDED_BYTES * max(sizes):
        raise OSError(f"{NEEDED_BYTES * max(sizes) / 1e9:.0f} GB of free disk are needed")
    found: dict[int, dict[str, float]] = {}
    for number in sizes:
        try:
            write_store(folder / "store", number, seed)
            told = {"folder": str(folder), "batch_size": configuration["batch_size"], "seed": seed}
            run_limited(f"loader, {number:,} texts", [__file__, json.dumps(told)], _LIMIT_SECONDS)
            found[number] = json.loads((folder / "loader.json").read_text())
        finally:
            shutil.rmtree(folder / "store", ignore_errors=True)
    least, most = found[min(sizes)], found[max(sizes)]
    return {
        "loader-memory-growth-mb": most["own memory, MB"] - least["own memory, MB"],
        "loader-first-batch-ratio": most["first batch, s"] / least["first batch, s"],
        "loader-seek-seconds": max(one["slowest seek, s"] for one in found.values()),
        **{
            f"{number:,} texts: {name}": value for number, one in found.items() for name, value in one.items()
        },
    }


def main(told: dict[str, Any]) -> None:
    """Open the store, take the first batches, and jump to steps far away."""
    folder, size, seed = Path(told["folder"]), told["batch_size"], told["seed"]
    started = time.perf_counter()
    store = TokenStore(folder / "store")
    views = Views(store, ViewsConfig(preset="crop"))

    def take(step: int) -> None:
        epoch, rows = batch_at(step, batch_size=size, size=len(store), seed=seed)
        views.views(rows, seed=seed, epoch=epoch, max_tokens=128)

    take(0)
    first = time.perf_counter() - started
    for step in range(1, 200):
        take(step)
    seeks = []
    for step in (10, 10**3, 10**6, 10**9, 10**12):  # the last ones are in later epochs
        began = time.perf_counter()
        take(step)
        seeks.append(time.perf_counter() - began)
    own, mapped = resident_megabytes()
    found = {
        "first batch, s": first,
        "slowest seek, s": max(seeks),
        "own memory, MB": own,
        "mapped, MB": mapped,
    }
    (folder / "loader.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(settings(sys.argv))
