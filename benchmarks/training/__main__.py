"""Training, measured beside sentence-transformers 6.2's own trainer, and the loss and the loader alone.

`make bench-training`. Both sides train all parameters of the same model on the same pre-made pairs in the
same order, with the same loss, optimiser, learning rates, length and dropout (the model's own), each run in
a process of its own, by turns; a step is the median of all rounds. Our time holds the building of the token
store.
"""

import shutil
from pathlib import Path
from typing import Any

from benchmarks._figures import Configuration, Figure, Suite
from benchmarks.training._pairs import ARXIV, IRC

suite = Suite(__file__)

OVER = "time a step of sentence-transformers 6.2 over ours, all-MiniLM-L6-v2, 2 cores"
MINILM = {
    "encoder": "minilm",
    "learning_rate": 1e-5,
    "max_tokens": 126,
    "budget": 2048,
    "cached": [],  # precisions for which the peer needs its gradient cache
    "rounds": 2,
}


def _over(name: str, fp32: float, bf16: float, more: str = "") -> list[Figure]:
    how = f", {more}" if more else ""
    return [
        Figure(f"training-{name}-over-fp32", unit=f"{OVER} (its default, fp32{how})", at_least=fp32),
        Figure(f"training-{name}-over-bf16", unit=f"{OVER} (bf16{how})", at_least=bf16),
    ]


def _still(name: str, fp32: float, bf16: float) -> list[Figure]:
    """Without dropout both sides compute the same, so that they must end alike."""
    same = [
        Figure(
            f"training-{name}-still-{precision}-loss-difference",
            unit=f"final loss of ours less the peer's, of the peer's, {precision}, no dropout",
            at_most=most,
        )
        for precision, most in (("fp32", 1e-3), ("bf16", 3e-2))
    ]
    return [*_over(f"{name}-still", fp32, bf16, "without dropout on either side"), *same]


def _figures(kind: str, size: int, fp32: float, bf16: float, more: str = "") -> list[Figure]:
    name = f"training-{kind}-{size}"
    tried = "fp32, bf16" if more else "fp32, bf16, bf16 with eager attention"
    return [
        *_over(f"{kind}-{size}", fp32, bf16, more),
        Figure(f"{name}-over-best", unit=f"{OVER} (the fastest of {tried})"),
        Figure(f"{name}-share-of-peak", unit="% of the machine's product of bf16 matrices"),
        Figure(
            f"{name}-to-equal-quality", unit="time of peer (bf16) over ours, to within 1% of its last quality"
        ),
        Figure(f"{name}-final-loss", unit="nats, the last quarter of the steps, bf16"),
        Figure(f"{name}-peer-final-loss", unit="nats, likewise, the peer in bf16"),
    ]


CACHE = "in its gradient cache where 24 GB do not hold it"


@suite.unit(
    figures=_figures("skewed", 64, 4.0, 2.5),
    data=[ARXIV, IRC],
    configuration={**MINILM, "kind": "skewed", "batch_size": 64, "steps": 8},
    quick={"steps": 2, "rounds": 1},
)
def skewed_64(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Half chat messages, half abstracts."""
    from benchmarks.training import _compare

    return _compare.transformer(seed, configuration, folder)


@suite.unit(
    figures=_figures("skewed", 256, 4.0, 2.5, CACHE),
    data=[ARXIV, IRC],
    configuration={
        **MINILM,
        "kind": "skewed",
        "batch_size": 256,
        "steps": 4,
        "rounds": 1,
        "cached": ["fp32"],
    },
    in_quick=False,
)
def skewed_256(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Half chat messages, half abstracts; the peer with its gradient cache."""
    from benchmarks.training import _compare

    return _compare.transformer(seed, configuration, folder)


@suite.unit(
    figures=_figures("abstracts", 64, 2.0, 1.4),
    data=[ARXIV],
    configuration={**MINILM, "kind": "abstracts", "batch_size": 64, "steps": 8},
    in_quick=False,
)
def abstracts_64(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Abstracts cut at 128 tokens."""
    from benchmarks.training import _compare

    return _compare.transformer(seed, configuration, folder)


@suite.unit(
    figures=_figures("abstracts", 256, 2.0, 1.4, CACHE),
    data=[ARXIV],
    configuration={
        **MINILM,
        "kind": "abstracts",
        "batch_size": 256,
        "steps": 4,
        "rounds": 1,
        "cached": ["fp32"],
    },
    in_quick=False,
)
def abstracts_256(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Abstracts cut at 128 tokens; the peer with its gradient cache."""
    from benchmarks.training import _compare

    return _compare.transformer(seed, configuration, folder)


@suite.unit(
    figures=_still("skewed-64", 4.0, 2.5),
    data=[ARXIV, IRC],
    configuration={**MINILM, "kind": "skewed", "batch_size": 64, "steps": 5, "rounds": 1},
    in_quick=False,
)
def skewed_64_still(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Half chat messages, half abstracts; no dropout on either side."""
    from benchmarks.training import _compare

    return _compare.still(seed, configuration, folder)


@suite.unit(
    figures=[Figure("training-skewed-64-over-options", unit=f"{OVER} (the fastest of what else it has)")],
    data=[ARXIV, IRC],
    configuration={**MINILM, "kind": "skewed", "batch_size": 64, "steps": 8},
    seeds=(0,),
    in_quick=False,
)
def skewed_64_options(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Half chat messages, half abstracts; the peer with a worker, and with its gradient cache."""
    from benchmarks.training import _compare

    return _compare.options(seed, configuration, folder)


@suite.unit(
    figures=_still("abstracts-64", 2.0, 1.4),
    data=[ARXIV],
    configuration={**MINILM, "kind": "abstracts", "batch_size": 64, "steps": 5, "rounds": 1},
    in_quick=False,
)
def abstracts_64_still(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Abstracts cut at 128 tokens; no dropout on either side."""
    from benchmarks.training import _compare

    return _compare.still(seed, configuration, folder)


@suite.unit(
    figures=[Figure("training-abstracts-64-over-options", unit=f"{OVER} (the fastest of what else it has)")],
    data=[ARXIV],
    configuration={**MINILM, "kind": "abstracts", "batch_size": 64, "steps": 8},
    seeds=(0,),
    in_quick=False,
)
def abstracts_64_options(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Abstracts cut at 128 tokens; the peer with a worker, and with its gradient cache."""
    from benchmarks.training import _compare

    return _compare.options(seed, configuration, folder)


STAGE = "seconds a step of 64 pairs"


@suite.unit(
    figures=[Figure(f"training-stage-{number}-skewed", unit=STAGE) for number in range(5)],
    data=[ARXIV, IRC],
    configuration={**MINILM, "kind": "skewed", "batch_size": 64, "steps": 3, "stages": [0, 1, 2, 3, 4]},
    quick={"steps": 2, "stages": [1, 4]},
)
def stages_skewed(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """From a plain loop to all that a step has."""
    from benchmarks.training import _compare

    return _compare.stages(seed, configuration, folder)


@suite.unit(
    figures=[Figure(f"training-stage-{number}-abstracts", unit=STAGE) for number in range(5)],
    data=[ARXIV],
    configuration={**MINILM, "kind": "abstracts", "batch_size": 64, "steps": 3, "stages": [0, 1, 2, 3, 4]},
    in_quick=False,
)
def stages_abstracts(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """From a plain loop to all that a step has."""
    from benchmarks.training import _compare

    return _compare.stages(seed, configuration, folder)


STATIC = "time a step of StaticEmbedding with MultipleNegativesRankingLoss over ours with its store, fp32"


@suite.unit(
    figures=[
        Figure(
            "training-static-over-peer",
            unit=f"{STATIC}, over 25 epochs",
            at_least=3.0,
        ),
        Figure("training-static-over-peer-one-epoch", unit=f"{STATIC}, if there were one epoch"),
    ],
    data=[ARXIV],
    configuration={
        "encoder": "static",
        "dimension": 512,
        "learning_rate": 2e-3,
        "max_tokens": 100_000,
        "kind": "abstracts",
        "batch_size": 2048,
        "num_pairs": 16 * 2048,
        "steps": 400,  # 25 epochs, two minutes; a run's own limit is 100 epochs
        "few": 64,
    },
    quick={"num_pairs": 4 * 2048, "steps": 100, "few": 16},  # 25 epochs as well
)
def static(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """A static encoder, whole abstracts."""
    from benchmarks.training import _compare

    return _compare.static(seed, configuration, folder)


@suite.unit(
    figures=[
        Figure(
            "loss-memory-gb",
            unit="GB above inputs and gradients, 65,536 pairs (QUICK: 16,384), D = 384",
            at_most=1.0,
        )
    ],
    configuration={"pairs": 65_536, "dimension": 384},
    quick={"pairs": 16_384},
)
def loss_memory(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The largest batch of the loss, forward and backward, on the CPU."""
    from benchmarks.training import _loss

    return _loss.memory(seed, configuration, folder)


@suite.unit(
    figures=[
        Figure(
            "loss-speed-over-plain",
            unit="time of the plain form over ours, forward and backward, 4,096 pairs, D = 384",
            at_least=1.0,
        ),
        Figure("loss-gradient-difference", unit="of the gradient's length, from float64", at_most=1e-5),
    ],
    configuration={"pairs": 4096, "dimension": 384, "rounds": 5},
    quick={"rounds": 2},
)
def loss_speed(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Ours beside plain autograd over the whole matrix."""
    from benchmarks.training import _loss

    return _loss.speed(seed, configuration, folder)


@suite.unit(
    figures=[
        Figure(
            "loader-memory-growth-mb",
            unit="MB of own memory, 100 (QUICK: 10) million texts over 1 million",
            at_most=20.0,
        ),
        Figure("loader-first-batch-ratio", unit="time to the first batch, likewise", at_most=1.5),
        Figure("loader-seek-seconds", unit="s, the slowest jump to any step", at_most=1.0),
    ],
    configuration={"texts": [1_000_000, 10_000_000, 100_000_000], "batch_size": 1024},
    quick={"texts": [1_000_000, 10_000_000]},
    seeds=(0,),
)
def loader(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Stores of generated texts, 40 tokens on average."""
    from benchmarks.training import _loader

    return _loader.loader(seed, configuration, folder)


BERT_300M = {
    "hidden_size": 1024,
    "num_hidden_layers": 22,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}


def _gpu(name: str, size: int, steps: int, **more: Any) -> None:
    """A unit of that name: half chat messages, half abstracts, on a GPU."""

    def measure(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
        from benchmarks.training import _gpu

        return _gpu.gpu(seed, configuration, folder)

    measure.__name__ = name
    told = {"kind": "skewed", "device": "cuda", "num_pairs": 2 * 8192, "threads": 16, "name": name}
    suite.unit(
        figures=[
            Figure(
                f"{name}-over-peer",
                unit="time a step of the peer, its fastest of 0, 4, 8 workers and compiled, over ours, bf16",
                at_least=1.5,
            ),
            Figure(f"{name}-tokens-per-second", unit="tokens/s, special ones included, bf16"),
        ],
        data=[ARXIV, IRC],
        configuration={**MINILM, **told, "budget": None, "batch_size": size, "steps": steps, **more},
        unavailable=None if shutil.which("nvidia-smi") else "there is no GPU on this machine",
        in_quick=False,
        seeds=(0,),
    )(measure)


# A row of metrics, with its 5 ms of diagnostics, comes with each of 200 steps, as in a short run.
_gpu("gpu-minilm-256", 256, 400)
_gpu("gpu-minilm-8192", 8192, 6, budget=65_536)
_gpu("gpu-bert-300m-256", 256, 200, bert=BERT_300M)
_gpu("gpu-bert-300m-8192", 8192, 3, bert=BERT_300M, budget=32_768)


if __name__ == "__main__":
    suite.main()
