"""Token stores of generated texts, as large as wanted, and the memory that a process has of its own."""

import json
from pathlib import Path

import numpy as np

from llmagentos.encoder import load_encoder
from llmagentos.tokens import SENTENCE_START, UNIT_START, TokenStore

# A text: 40 tokens of 2 bytes with a flag each, offset, hash and group, 144 bytes, and room to spare.
NEEDED_BYTES = 200
_AT_ONCE = 1_000_000


def write_store(folder: Path, number: int, seed: int) -> TokenStore:
    """A store of texts of 20 to 60 random tokens, in the format of `llmagentos.tokens`."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    tokenizer = load_encoder("minilm").tokenizer
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
