"""Memory of one epoch over a store that is larger than what a batch reads of it."""

import shutil
import time
from pathlib import Path

from benchmarks._figures import Configuration
from benchmarks._stores import NEEDED_BYTES, resident_megabytes, write_store
from llmagentos.training._order import batch_at
from llmagentos.views import Views, ViewsConfig


def memory(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Growth of the process's own memory between a tenth and the end of an epoch."""
    number, batch_size = configuration["texts"], configuration["batch_size"]
    if shutil.disk_usage(folder).free < NEEDED_BYTES * number:
        raise OSError(f"{NEEDED_BYTES * number / 1e9:.0f} GB of free disk are needed")
    try:
        store = write_store(folder / "store", number, seed)
        views = Views(store, ViewsConfig(preset="seed", word_replacement=0.0))
        steps = number // batch_size
        sampled: dict[int, tuple[float, float]] = {}
        began = time.perf_counter()
        for step in range(steps):
            epoch, rows = batch_at(step, batch_size=batch_size, size=number, seed=seed)
            views.views(rows, seed=seed, epoch=epoch, max_tokens=256)
            if (done := (step + 1) * 100 // steps) not in sampled:
                sampled[done] = resident_megabytes()
        seconds = time.perf_counter() - began
    finally:
        shutil.rmtree(folder / "store", ignore_errors=True)
    own = {done: megabytes for done, (megabytes, _) in sampled.items() if done >= 10}
    early, late = min(own), max(own)
    return {
        "epoch-memory-growth-mb": own[late] - own[early],
        "largest growth, MB": max(own.values()) - own[early],
        "own memory at the end, MB": own[late],
        "mapped pages at a tenth, MB": sampled[early][1],
        "mapped pages at the end, MB": sampled[late][1],
        "tokens": store.num_tokens,
        "views, texts/s": 2 * steps * batch_size / seconds,
    }
