"""Both sides on the same pairs, by turns, each run in a process of its own."""

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
NUM_HELDOUT = 200
_LIMIT_SECONDS = 3000.0
# Two runs with nothing but other dropout end that far apart on the held-out pairs (0.1964 and 0.1984).
_AS_GOOD = 1.01


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
            "measured_at": sorted({max(1, share * steps // 4) for share in (1, 2, 3, 4)}),
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


def seconds_a_step(rounds: Sequence[Result]) -> float:
    """The median step of all rounds, each without its first, which warms up; ours with a share of the store.

    The median, for cores are often shared: a step of the peer's took 7.5 s, and the next one 19.9.
    """
    steps = [step for one in rounds for step in one["step_seconds"][1:]]
    stores = [one.get("store_seconds", 0.0) / len(one["step_seconds"]) for one in rounds]
    return float(statistics.median(steps) + statistics.fmean(stores))


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
    name, sides = _name(configuration), Comparison(seed, configuration, folder)
    cache = {"budget": configuration["budget"]}
    told: dict[str, dict[str, Any]] = {
        "fp32": {"precision": "fp32", **(cache if "fp32" in configuration["cached"] else {})},
        "bf16": {"precision": "bf16", **(cache if "bf16" in configuration["cached"] else {})},
    }
    if not configuration["cached"]:
        told["bf16, eager attention"] = {"precision": "bf16", "attention": "eager"}
    ours: list[Result] = []
    peers: dict[str, list[Result]] = {option: [] for option in told}
    for number in range(configuration["rounds"]):
        again: dict[str, Any] = {"measured_at": []} if number else {}  # it would be the same
        ours.append(sides.run("ours", precision="bf16", **again))
        for option, more in told.items():
            peers[option].append(sides.run("peer", **more, **again))
    step = seconds_a_step(ours)
    peers_steps = {option: seconds_a_step(rounds) for option, rounds in peers.items()}
    outcome = {
        f"{name}-over-fp32": peers_steps["fp32"] / step,
        f"{name}-over-bf16": peers_steps["bf16"] / step,
        f"{name}-over-best": min(peers_steps.values()) / step,
        f"{name}-share-of-peak": 100 * statistics.median(one["flop_utilisation"] for one in ours),
        f"{name}-final-loss": final_loss(ours[0]),
        f"{name}-peer-final-loss": final_loss(peers["bf16"][0]),
        f"{name}-to-equal-quality": _times_faster(peers["bf16"][0], ours[0]),
        "texts/s": configuration["batch_size"] / step,
        "tokens/s": ours[0]["tokens_per_second"],
        "peer's padding": peers["bf16"][0]["padding"],
        "our padding": ours[0]["padding"],
        "recomputed": ours[0]["recomputed"],
        "store seconds a step": ours[0]["store_seconds"] / len(ours[0]["step_seconds"]),
    }
    for side, rounds in {"ours bf16": ours, **{f"peer {option}": peers[option] for option in told}}.items():
        steps = [seconds for one in rounds for seconds in one["step_seconds"][1:]]
        outcome |= {
            f"{side}: seconds a step": seconds_a_step(rounds),
            f"{side}: fastest step": min(steps),
            f"{side}: slowest step": max(steps),
            f"{side}: final loss": final_loss(rounds[0]),
            f"{side}: heldout cross-entropy": min(rounds[0]["qualities"].values()),
        }
    outcome["times faster to the quality of fp32"] = _times_faster(peers["fp32"][0], ours[0])
    return outcome


def still(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The same with dropout off on both sides; making its masks costs the peer more than us."""
    sides = Comparison(seed, configuration, folder)
    ours: list[Result] = []
    peers: dict[str, list[Result]] = {"fp32": [], "bf16": []}
    for _ in range(configuration["rounds"]):
        ours.append(sides.run("ours", precision="bf16", dropout=False))
        for precision, rounds in peers.items():
            rounds.append(sides.run("peer", precision=precision, dropout=False))
    step, name = seconds_a_step(ours), f"{_name(configuration)}-still"
    outcome = {"ours bf16: seconds a step": step}
    same = {"fp32": sides.run("ours", precision="fp32", dropout=False), "bf16": ours[0]}
    for precision, rounds in peers.items():
        outcome[f"{name}-over-{precision}"] = seconds_a_step(rounds) / step
        outcome[f"peer {precision}: seconds a step"] = seconds_a_step(rounds)
        losses = final_loss(same[precision]), final_loss(rounds[0])
        outcome[f"{name}-{precision}-loss-difference"] = abs(losses[0] / losses[1] - 1)
        outcome |= {f"ours {precision}: final loss": losses[0], f"peer {precision}: final loss": losses[1]}
    return outcome


def options(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """The peer's bf16 with each of what else it has to be faster, and our own fp32."""
    sides = Comparison(seed, configuration, folder)
    ours = sides.run("ours", precision="bf16")
    cache = configuration["budget"]
    peers = {
        "1 worker": sides.run("peer", precision="bf16", workers=1),
        "eager attention, 1 worker": sides.run("peer", precision="bf16", attention="eager", workers=1),
        "gradient cache, token budget": sides.run("peer", precision="bf16", budget=cache),
        "gradient cache, budget x 4": sides.run("peer", precision="bf16", budget=4 * cache),
        "gradient cache, eager attention": sides.run(
            "peer", precision="bf16", budget=cache, attention="eager"
        ),
    }
    plain = sides.run("ours", precision="fp32")
    steps = {f"peer bf16, {option}: seconds a step": seconds_a_step([one]) for option, one in peers.items()}
    return {
        f"{_name(configuration)}-over-options": min(steps.values()) / seconds_a_step([ours]),
        **steps,
        "ours bf16: seconds a step": seconds_a_step([ours]),
        "ours fp32: seconds a step": seconds_a_step([plain]),
        "ours bf16: final loss": final_loss(ours),
        "ours fp32: final loss": final_loss(plain),
    }


def _name(configuration: Configuration) -> str:
    return f"training-{configuration['kind']}-{configuration['batch_size']}"


def _times_faster(peer: Result, ours: Result) -> float:
    """To the peer's last quality, or as good as that; 0 where ours did not get there in as many steps."""
    quality = _AS_GOOD * peer["qualities"][max(peer["qualities"], key=int)]
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
        found[f"training-stage-{number}-{configuration['kind']}"] = statistics.median(
            result["step_seconds"][1:]
        )
    return found


def static(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """A static encoder beside StaticEmbedding with MultipleNegativesRankingLoss, fp32 on both sides."""
    sides = Comparison(seed, {**configuration, "measured_at": []}, folder)
    ours = sides.run("ours", precision="fp32")
    peer = seconds_a_step([sides.run("peer", precision="fp32")])
    worker = seconds_a_step([sides.run("peer", precision="fp32", workers=1, steps=configuration["few"])])
    step, bare = seconds_a_step([ours]), statistics.median(ours["step_seconds"][1:])
    epoch = configuration["num_pairs"] // configuration["batch_size"]
    return {
        "training-static-over-peer": peer / step,
        "training-static-over-peer-one-epoch": peer / (bare + ours["store_seconds"] / epoch),
        "texts/s": configuration["batch_size"] / step,
        "peer: texts/s": configuration["batch_size"] / peer,
        "peer with 1 worker: texts/s": configuration["batch_size"] / worker,
        "over peer without the store": peer / bare,
        "store, s": ours["store_seconds"],
    }
