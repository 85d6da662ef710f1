"""Both sides by turns on the same pairs, each run in a process of its own."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._figures import Configuration
from benchmarks._limited import run_limited
from benchmarks._provenance import ROOT
from benchmarks.training._ours import STAGES
from benchmarks.training._pairs import make_pairs, write_pairs

Result = dict[str, Any]
NUM_HELDOUT = 400
_LIMIT_SECONDS = 3000.0


class Comparison:
    """Runs of one configuration.

    Args:
        seed: of pairs, order and dropout.
        configuration: `kind`, `batch_size`, `steps` and what the sides are told besides.
        folder: for pairs and results.
    """

    def __init__(self, seed: int, configuration: Configuration, folder: Path) -> None:
        self.folder = folder
        steps, size = configuration["steps"], configuration["batch_size"]
        number = configuration.get("num_pairs", steps * size)
        pairs = make_pairs(configuration["kind"], number + NUM_HELDOUT, seed)
        write_pairs(pairs[:-NUM_HELDOUT], folder / "pairs.json")
        write_pairs(pairs[-NUM_HELDOUT:], folder / "heldout.json")
        self._told = {
            "pairs": str(folder / "pairs.json"),
            "heldout": str(folder / "heldout.json"),
            "seed": seed,
            "threads": 2,
            "temperature": 0.05,
            "measured_at": [share * steps // 4 for share in (1, 2, 3, 4)] if steps >= 8 else [steps],
            **configuration,
        }
        self._number = 0

    def run(self, side: str, **more: Any) -> Result:
        """One run of `ours` or `peer`."""
        self._number += 1
        folder = self.folder / f"{self._number}-{side}"
        folder.mkdir()
        told = {**self._told, **more, "folder": str(folder), "result": str(folder / "result.json")}
        file = ROOT / "benchmarks" / "training" / f"_{side}.py"
        run_limited(f"{side}, {more}", [str(file), json.dumps(told)], _LIMIT_SECONDS)
        result: Result = json.loads((folder / "result.json").read_text())
        return result


def seconds_a_step(result: Mapping[str, Any]) -> float:
    """The mean of all steps but the first, which warms up; ours with its share of the token store."""
    steps: Sequence[float] = result["step_seconds"]
    store = result.get("store_seconds", 0.0) / len(steps)
    return float(statistics.fmean(steps[1:]) + store)


def seconds_to(quality: float, result: Mapping[str, Any]) -> float:
    """When a run was as good as that, by a straight line between the measurements; inf if it never was."""
    steps: Sequence[float] = result["step_seconds"]
    seconds: float = result.get("store_seconds", 0.0)
    earlier: tuple[float, float] | None = None
    for step, reached in sorted((int(step), value) for step, value in result["qualities"].items()):
        at = seconds + sum(steps[:step])
        if reached <= quality:
            if earlier is None:
                return float(at)
            share = (earlier[1] - quality) / max(earlier[1] - reached, 1e-9)
            return float(earlier[0] + share * (at - earlier[0]))
        earlier = at, reached
    return float("inf")


def final_loss(result: Mapping[str, Any]) -> float:
    """Mean of the last quarter of the steps: one batch alone says little."""
    losses: Sequence[float] = result["losses"]
    return statistics.fmean(losses[-max(1, len(losses) // 4) :])


def transformer(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """all-MiniLM-L6-v2, all parameters: ours in bf16 beside the peer in fp32 and bf16."""
    name = _name(configuration)
    sides = Comparison(seed, configuration, folder)
    ours = sides.run("ours", precision="bf16")
    peers = {
        precision: sides.run("peer", precision=precision, **_cache(configuration))
        for precision in configuration["peer's precisions"]
    }
    step = seconds_a_step(ours)
    outcome = {
        **{f"{name}-over-{precision}": seconds_a_step(peer) / step for precision, peer in peers.items()},
        f"{name}-loss-difference": final_loss(ours) - final_loss(peers["bf16"]),
        f"{name}-share-of-peak": 100 * ours["flop_utilisation"],
        "texts/s": configuration["batch_size"] / step,
        "tokens/s": ours["tokens_per_second"],
        "peer's padding": peers["bf16"]["padding"],
        "our padding": ours["padding"],
        "recomputed": ours["recomputed"],
        "store seconds a step": ours["store_seconds"] / len(ours["step_seconds"]),
    }
    for side, result in {"ours bf16": ours, **{f"peer {option}": peers[option] for option in peers}}.items():
        outcome |= {
            f"{side}: seconds a step": seconds_a_step(result),
            f"{side}: final loss": final_loss(result),
            f"{side}: heldout cross-entropy": min(result["qualities"].values()),
        }
    for precision, peer in peers.items():
        outcome[f"times faster to the quality of {precision}"] = _times_faster(peer, ours)
    return outcome


def still(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The same with dropout off on both sides; making its masks costs the peer more than us."""
    sides = Comparison(seed, configuration, folder)
    ours = sides.run("ours", precision="bf16", dropout=False)
    outcome = {"ours bf16: seconds a step": seconds_a_step(ours)}
    for precision in configuration["peer's precisions"]:
        peer = sides.run("peer", precision=precision, dropout=False, **_cache(configuration))
        outcome[f"{_name(configuration)}-still-over-{precision}"] = seconds_a_step(peer) / seconds_a_step(
            ours
        )
        outcome[f"peer {precision}: seconds a step"] = seconds_a_step(peer)
    return outcome


def options(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The peer's bf16 with each of what else it has to be faster, and our own fp32."""
    sides = Comparison(seed, configuration, folder)
    ours = sides.run("ours", precision="bf16")
    peers = {
        "bf16": sides.run("peer", precision="bf16"),
        "bf16, 1 worker": sides.run("peer", precision="bf16", workers=1),
        "bf16, cached, token budget": sides.run("peer", precision="bf16", budget=configuration["budget"]),
    }
    plain = sides.run("ours", precision="fp32")
    fastest = min(map(seconds_a_step, peers.values()))
    return {
        f"{_name(configuration)}-over-best": fastest / seconds_a_step(ours),
        "ours bf16: seconds a step": seconds_a_step(ours),
        "ours fp32: seconds a step": seconds_a_step(plain),
        "ours bf16: final loss": final_loss(ours),
        "ours fp32: final loss": final_loss(plain),
        **{f"peer {option}: seconds a step": seconds_a_step(result) for option, result in peers.items()},
        **{f"peer {option}: final loss": final_loss(result) for option, result in peers.items()},
    }


def _name(configuration: Configuration) -> str:
    return f"training-{configuration['kind']}-{configuration['batch_size']}"


def _cache(configuration: Configuration) -> dict[str, int]:
    """256 pairs of abstracts with dropout need more than 24 GB: there the peer takes its gradient cache."""
    return {"budget": configuration["budget"]} if configuration["batch_size"] > 64 else {}


def _times_faster(peer: Result, ours: Result) -> float:
    """To the peer's last quality; 0 where ours did not get there in as many steps."""
    quality = peer["qualities"][max(peer["qualities"], key=int)]
    return seconds_to(quality, peer) / seconds_to(quality, ours)


def stages(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """What each thing in a step gains, from a plain loop to all of them: seconds a step."""
    sides = Comparison(seed, configuration, folder)
    found = {}
    for number, stage in enumerate(STAGES):
        if number not in configuration["stages"]:
            continue
        precision = "fp32" if number == 0 else "bf16"
        result = sides.run("ours", precision=precision, stage=stage)
        found[f"training-stage-{number}-{configuration['kind']}"] = statistics.fmean(
            result["step_seconds"][1:]
        )
    return found


def static(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """A static encoder beside StaticEmbedding with MultipleNegativesRankingLoss, fp32 on both sides."""
    sides = Comparison(seed, configuration, folder)
    ours = sides.run("ours", precision="fp32")
    peer = sides.run("peer", precision="fp32")
    step = seconds_a_step(ours)
    return {
        "training-static-over-peer": seconds_a_step(peer) / step,
        "texts/s": configuration["batch_size"] / step,
        "peer: texts/s": configuration["batch_size"] / seconds_a_step(peer),
        "over peer without the store": seconds_a_step(peer) / statistics.fmean(ours["step_seconds"][1:]),
        "store, s": ours["store_seconds"],
        "heldout cross-entropy": min(ours["qualities"].values()),
        "peer: heldout cross-entropy": min(peer["qualities"].values()),
    }
