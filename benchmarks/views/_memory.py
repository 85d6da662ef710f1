"""Memory of one epoch over a store that is larger than what a batch reads of it."""

import json
import shutil
import time
from pathlib import Path

import numpy as np

from benchmarks._figures import Configuration
from benchmarks.views._speed import minilm
from llmagentos.tokens import SENTENCE_START, UNIT_START, TokenStore
from llmagentos.training._order import batch_at
from llmagentos.views import Views, ViewsConfig

_AT_ONCE = 1_000_000
# A text: 40 tokens of 2 bytes with a flag each, offset, hash and group, 144 bytes, and room to spare.
_NEEDED_BYTES = 200


def memory(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Growth of the process's own memory between a tenth and the end of an epoch."""
    number, batch_size = configuration["texts"], configuration["batch_size"]
    if shutil.disk_usage(folder).free < _NEEDED_BYTES * number:
        raise OSError(f"{_NEEDED_BYTES * number / 1e9:.0f} GB of free disk are needed")
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


def write_store(folder: Path, number: int, seed: int) -> TokenStore:
    """A store of texts of 20 to 60 random tokens, in the format of `llmagentos.tokens`."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    tokenizer = minilm()
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    end = 0
    names = ("tokens", "flags", "offsets", "hashes", "groups")
    files = {name: (folder / f"{name}.bin").open("wb") for name in names}
    files["offsets"].write(np.int64(0).tobytes())
    for first in range(0, number, _AT_ONCE):
        lengths = random.integers(20, 61, min(_AT_ONCE, number - first))
        ends = np.cumsum(lengths)
        flags = (random.random(ends[-1]) < 0.8).astype(np.uint8) * np.uint8(UNIT_START)
        starts = random.random(ends[-1]) < 0.05
        starts[ends - lengths] = True
        flags[starts] = UNIT_START | SENTENCE_START
        random.integers(1_000, size, ends[-1], np.uint16).tofile(files["tokens"])
        flags.tofile(files["flags"])
        (ends + end).astype(np.int64).tofile(files["offsets"])
        random.integers(0, 2**64, len(lengths), np.uint64).tofile(files["hashes"])
        np.zeros(len(lengths), np.uint64).tofile(files["groups"])
        end += int(ends[-1])
    for file in files.values():
        file.close()
    np.zeros(size, np.int64).tofile(folder / "documents.bin")
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    meta = {"num_documents": number, "num_tokens": end, "token_dtype": "uint16", "vocabulary_size": size}
    (folder / "store.json").write_text(json.dumps(meta), encoding="utf-8")
    return TokenStore(folder)


def resident_megabytes() -> tuple[float, float]:
    """The process's own memory, and the pages of files that it has mapped: the system takes those back."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    resident, mapped = (int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "RssFile"))
    return resident - mapped, mapped
