"""From what was trained to the model: a part of its start again, or all of it where that was better."""

from pathlib import Path

from llmagentos.encoder import Encoder, StaticEncoder, load_encoder
from llmagentos.pipeline._preparing import Prepared
from llmagentos.pipeline._settled import Settled
from llmagentos.pipeline._start import STATIC_FOLDER, put_dimensions_in_order, starting_encoder
from llmagentos.pipeline._verdict import Verdict, verdict_on
from llmagentos.training import interpolate


def finished(
    trained: Encoder, run: Settled, prepared: Prepared, work: Path
) -> tuple[Encoder, Encoder, Verdict | None]:
    """Interpolate, judge, and put dimensions in order.

    Args:
        trained: after training; changed.
        run: what was trained.
        prepared: what it was trained on.
        work: the working folder.

    Returns:
        The model; what "before training" means, which is the table where a Transformer grew on one; and what
        texts kept aside say, None where there are none.
    """
    is_new = run.pretrained is None
    store, config = prepared.store, prepared.config
    start = starting_encoder(run.encoder, store, config, work) if is_new else load_encoder(run.encoder)
    interpolate(trained, start, run.training.keep_start)
    if run.is_small:  # it has to be worth more than its table alone
        start = load_encoder(work / STATIC_FOLDER)
    start = start.to(trained.device)
    verdict = (
        verdict_on(trained, start, prepared.matched, run.training, must_be_better=run.is_small)
        if prepared.matched
        else None
    )
    model = trained if verdict is None or verdict.kept else start
    if is_new and isinstance(model, StaticEncoder) and not config.loss.dimensions:
        put_dimensions_in_order(model, store)  # beginnings that are trained are in order already
    return model, start, verdict
