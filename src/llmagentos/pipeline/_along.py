"""The other processes of a run: they wait until the first has prepared the text, and train along."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from llmagentos.config import Config
from llmagentos.encoder import StaticEncoder, memory_for
from llmagentos.loss import NTXentLoss
from llmagentos.pipeline._items import items_of
from llmagentos.pipeline._start import starting_encoder
from llmagentos.pipeline._trained import TrainedModel
from llmagentos.tokens import TokenStore
from llmagentos.training import Budget, Ranks, train_encoder


def tell_others(
    ranks: Ranks,
    work: Path,
    recipe: dict[str, Any],
    *,
    slots: int,
    steps: int | None,
    deadline: float | None,
    resume: bool,
) -> None:
    """Tell the other processes that all is ready for training, and with what.

    Args:
        ranks: of the run.
        work: its working folder, with the token store; the others must see it as well.
        recipe: of `train_encoder`, with the full configuration.
        slots: `training.micro_batch_tokens`, which is no part of that.
        steps: of `Budget`.
        deadline: of `Budget`.
        resume: of `train_encoder`.
    """
    told = {
        "work": str(work.absolute()),
        "slots": slots,
        "steps": steps,
        "deadline": deadline,
        "resume": resume,
    }
    ranks.tell(json.dumps({**told, "recipe": recipe}))


@memory_for("a process of the run", advice="end what else takes memory, or start fewer processes")
def train_along(ranks: Ranks, out: Path) -> TrainedModel:
    """What a process does that is not the first of its run.

    Args:
        ranks: of the run.
        out: where the first puts the model.

    Returns:
        What came of the training; without a report, which the first one has.
    """
    told = json.loads(ranks.tell())
    work, recipe = Path(told["work"]), told["recipe"]
    config = Config.from_toml(recipe["config"])
    store = TokenStore(work / "store")
    model = starting_encoder(recipe["encoder"], store, config, work).to(ranks.device)
    training = config.training.resolved(pretrained=not isinstance(model, StaticEncoder))
    items = items_of(store, config.views, work)
    result = train_encoder(
        model,
        items,
        len(items),
        NTXentLoss(**asdict(config.loss)),
        replace(training, micro_batch_tokens=told["slots"]),
        Budget(steps=told["steps"], deadline=told["deadline"]),
        work / "run",
        recipe=recipe,
        resume=told["resume"],
        ranks=ranks,
    )
    return TrainedModel(
        path=out,
        report=None,
        trials=[],
        untried=[],
        verdict=None,
        dropped={},
        result=result,
        seconds=result.seconds,
    )
