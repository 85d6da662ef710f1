"""The golden loss curve: 50 steps from fixed text, in fp32, with one thread.

A refactor keeps it. Where the numbers are meant to change, say why and write them anew:

    python -m tests.training.golden
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from llmagentos.training import read_metrics
from llmagentos.views import Views, ViewsConfig

from .small import CONFIG, make_store, make_texts, static, train

PATH = Path(__file__).parents[1] / "golden" / "static-loss.json"
STEPS = 50
VIEWS = ViewsConfig(
    preset="paragraph", sentence_reordering=0.5, word_swap=0.2, repetition=0.1, character_noise=0.1
)


def loss_curve(folder: Path) -> list[float]:
    """Losses of the first 50 steps; the whole line but the training of the tokenizer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        store = make_store(folder / "store", make_texts(300))
        config = replace(CONFIG, batch_size=64, weight_decay=0.01, max_tokens=24)
        views = Views(store, VIEWS)
        train(static(store.tokenizer, 32), store, folder / "run", config=config, views=views, steps=STEPS)
    finally:
        torch.set_num_threads(threads)
    return [row.loss for row in read_metrics(folder / "run" / "metrics.jsonl")]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        PATH.write_text(json.dumps(loss_curve(Path(name)), indent=0) + "\n", encoding="utf-8")
    print(PATH)
