"""The whole line on one screen: unlabelled text in, a measured embedding model out.

inputs -> corpus -> tokens -> views -> encoder -> loss -> training -> model -> evaluation
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from llmagentos.config import Config
from llmagentos.corpus import Document, Skipped, harvest_python_docs
from llmagentos.encoder import Encoder, StaticEncoder, memory_for
from llmagentos.errors import InputError
from llmagentos.evaluation import Task, evaluate, load_task
from llmagentos.loss import NTXentLoss
from llmagentos.model import EmbeddingModel, export_model
from llmagentos.pipeline._along import tell_others, train_along
from llmagentos.pipeline._finished import finished
from llmagentos.pipeline._preparing import prepare
from llmagentos.pipeline._progress import OnProgress, Update, silent
from llmagentos.pipeline._report import (
    Remembering,
    Story,
    measure,
    model_card,
    write_reports,
)
from llmagentos.pipeline._settled import settle
from llmagentos.pipeline._small import train_table
from llmagentos.pipeline._start import absolute, starting_encoder
from llmagentos.pipeline._trained import TrainedModel
from llmagentos.pipeline._workspace import decided, publish, remember_settings, workspace
from llmagentos.training import Budget, Metrics, Ranks, load_weights, train_encoder

# What the map, the neighbours and the files of the report take beyond the embedding of their texts.
_REPORT_SECONDS = 20.0
# A trial of MiniLM takes a minute on two cores.
_FEWEST_MINUTES_TO_PROBE = 5.0
# ... of a static encoder ten seconds.
_FEWEST_MINUTES_TO_PROBE_STATIC = 3.0
# Six recipes of MiniLM took 99 s of a run of five minutes.
_SHARE_OF_TIME_TO_PROBE = 0.2
# What comes after training is an estimate, and a machine that others share slows down on the way. With 0.94 a
# run of 9.4 minutes ended after 8.6, and a demo of 4 after 3.5.
_SHARE_OF_TIME = 0.97
# A year and more; a number that the clock can add.
_MOST_MINUTES = 1e6
_USUAL_MINUTES = 10.0


def train(
    inputs: Iterable[str | Path] | Iterable[Document | Skipped],
    out: str | Path,
    *,
    encoder: str = "static",
    config: Config | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    tasks: Iterable[str | Path] = (),
    resume: bool = False,
    resumable: bool = True,
    on_progress: OnProgress = silent,
) -> TrainedModel:
    """Learn an embedding model from unlabelled text, and measure it on text held out.

    Args:
        inputs: files, folders or "-" (see `build_corpus`), or a stream of documents.
        out: a new folder for the model; appears complete at the end.
        encoder: "static" (from nothing), "small" (static, and a Transformer that grows on it), "minilm", a
            Hugging Face id, or a model folder.
        config: settings of all stages.
        minutes: wall time of everything, at most a million; turned into a number of steps early on, which
            is corrected on the way. A run on little text ends earlier, after `training.max_epochs` epochs.
        steps: number of steps, of `small` for each of its two stages; give this or `minutes`, or neither
            for ten minutes.
        tasks: guards, measured before and after training beside the held-out text; see `load_task`.
        resume: go on with a run that was killed.
        resumable: keep what was trained when the run stops early, for `resume`.
        on_progress: called as the run goes on.

    Returns:
        Where the model is, and its report. Of several processes (see `joined_ranks`) the first one does
        all but training alone, and only it has the report and the trials.

    Raises:
        LLMAgentOSError: with what to do; nothing half-written stays.
    """
    began = time.monotonic()
    out = Path(out) if Path(out).name else Path(out).resolve()  # "." has no name to put .partial behind
    _check_budget(minutes, steps)
    ranks = Ranks.of_run()
    if not ranks.is_first:
        return train_along(ranks, out)
    guards = [load_task(path) for path in tasks]  # refused before anything is read
    advice = "end what else takes memory, or choose a smaller encoder"
    with (
        workspace(out, resume=resume, resumable=resumable) as work,
        memory_for("the run", advice=advice),
    ):
        on_gpu = decided(work, "on a GPU", ranks.device.type != "cpu")
        time_or_steps = minutes or _USUAL_MINUTES, steps
        run = settle(encoder, config or Config(), *time_or_steps, ranks, on_progress, on_gpu=on_gpu)
        fewest = _FEWEST_MINUTES_TO_PROBE if run.transforms else _FEWEST_MINUTES_TO_PROBE_STATIC
        is_long = minutes is None or minutes >= fewest
        keeps_aside = decided(work, "texts kept aside", is_long and not run.adapts)
        # Beside the section of the same name, which has the settings of new encoders.
        started_with = {
            "inputs": _names(inputs),
            "--encoder": run.encoder,
            "texts kept aside": keeps_aside,
            "on a GPU": on_gpu,
        }
        remember_settings(work, {**started_with, **_kept(run.config).sections()})

        prepared = prepare(
            inputs,
            run,
            work,
            ranks.device,
            on_progress,
            keeps_aside=keeps_aside,
            trial_seconds=None if steps else _SHARE_OF_TIME_TO_PROBE * 60 * (minutes or _USUAL_MINUTES),
        )
        config, model, items = prepared.config, prepared.model, prepared.items
        loss = NTXentLoss(**asdict(config.loss))

        def deadline(model: Encoder, guards: Sequence[Task] = ()) -> float | None:
            if steps:
                return None
            guarding = 2 * _seconds_to_guard(model, guards, on_progress)
            return _deadline(began, minutes, model, prepared.embedded) - guarding

        if run.is_small:
            assert isinstance(model, StaticEncoder)
            ends = deadline(model)
            show = partial(_show_training, on_progress, "table", ends)
            train_table(model, items, loss, config, steps, ends, work, resume=resume, on_metrics=show)
            model = starting_encoder(run.encoder, prepared.store, config, work).to(ranks.device)
        ends = deadline(model, guards)
        recipe = {
            "encoder": run.encoder,
            "corpus": prepared.corpus.manifest.fingerprint,
            "config": _kept(config).to_toml(),
        }
        slots = run.training.micro_batch_tokens
        tell_others(ranks, work, recipe, slots=slots, steps=steps, deadline=ends, resume=resume)
        result = train_encoder(
            model,
            items,
            len(items),
            loss,
            run.training,
            Budget(steps=steps, deadline=ends),
            work / "run",
            recipe=recipe,
            resume=resume,
            on_metrics=partial(_show_training, on_progress, "training", ends),
            ranks=ranks,
        )
        if run.training.shard and ranks.size > 1:  # what was trained is in parts, and the checkpoint is whole
            model = starting_encoder(run.encoder, prepared.store, config, work).to(ranks.device)
            load_weights(result.checkpoint, model)

        model, start, verdict = finished(model, run, prepared, work)
        after, before = (Remembering(EmbeddingModel(one)) for one in (model, start))
        measured = [*([] if prepared.task is None else [prepared.task]), *guards]
        report = measure(after, before, measured, on_progress) if measured else None
        story = Story(
            encoder=run.encoder,
            static=isinstance(model, StaticEncoder),
            prepared=prepared,
            verdict=verdict,
            result=result,
            work=work,
        )
        exported = export_model(model, work / "model", card=model_card(story, report))
        write_reports(exported, story, report, before, after, on_progress)
        publish(exported, out)
    return TrainedModel(
        path=out,
        report=report,
        trials=prepared.trials,
        untried=prepared.untried,
        verdict=verdict,
        dropped=prepared.corpus.manifest.dropped,
        result=result,
        seconds=time.monotonic() - began,
    )


def demo(out: str | Path, *, minutes: float, on_progress: OnProgress = silent) -> TrainedModel:
    """Train on the documentation of the installed Python packages: real text that every machine has.

    Args:
        out: a new folder for the model.
        minutes: wall time of everything.
        on_progress: called as the run goes on.

    Returns:
        As `train`.
    """
    config = Config().override(["corpus.heldout_fraction=0.1"])
    # What is learned from changes with every package that is installed, so there is no going on.
    return train(
        harvest_python_docs(), out, config=config, minutes=minutes, resumable=False, on_progress=on_progress
    )


def _kept(config: Config) -> Config:
    """What a run that is resumed must have the same of: all but how much goes through the encoder at once."""
    return replace(config, training=replace(config.training, micro_batch_tokens=None))


def _names(inputs: object) -> list[str]:
    """Files and folders by their whole paths; a stream has none."""
    given = inputs if isinstance(inputs, list | tuple) else []
    return [absolute(one) for one in given if isinstance(one, str | Path)]


def _check_budget(minutes: float | None, steps: int | None) -> None:
    if minutes is not None and steps is not None:
        raise InputError("give minutes or steps, not both (--minutes, --steps)")
    if minutes is not None and not 0 < minutes <= _MOST_MINUTES:
        raise InputError(
            f"minutes must be > 0 and at most {_MOST_MINUTES:,.0f}, got {minutes:g}; 5 is a good start "
            "(--minutes)"
        )
    if steps is not None and steps <= 0:
        raise InputError(f"steps must be > 0, got {steps}; 1000 is a good start (--steps)")


def _deadline(
    began: float,
    minutes: float | None,
    model: Encoder,
    embedded: Sequence[Sequence[str]],
) -> float:
    """When training has to end for the whole run to end in time, but for guards."""
    reserve = _REPORT_SECONDS
    for texts in embedded[:1]:  # what is slow for once took 24 s from a run of 4 minutes
        EmbeddingModel(model).encode(list(texts[:8]))
    for texts in embedded:
        sample = list(texts[:32])
        started = time.monotonic()
        EmbeddingModel(model).encode(sample)
        reserve += 2 * (time.monotonic() - started) * len(texts) / len(sample)
    return began + _SHARE_OF_TIME * 60 * (minutes or _USUAL_MINUTES) - reserve


def _seconds_to_guard(model: Encoder, guards: Sequence[Task], on_progress: OnProgress) -> float:
    """How long guards take with one encoder; only trying tells, for classifiers and floors take longest."""
    if not guards:
        return 0.0
    started = time.monotonic()
    for done, guard in enumerate(guards):
        on_progress(Update(stage="guards", done=done, total=len(guards), note=f"time for {guard.name}"))
        evaluate(EmbeddingModel(model), [guard])
    on_progress(Update(stage="guards", done=1, total=1))
    return time.monotonic() - started


def _show_training(on_progress: OnProgress, stage: str, deadline: float | None, row: Metrics) -> None:
    seconds = (row.total_steps - row.step) * row.seconds / row.step
    if deadline is not None:  # before it has become a number of steps, that number is a bound only
        seconds = min(seconds, max(0.0, deadline - time.monotonic()))
    left = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    note = (
        f"loss {row.loss:.3f}  {row.texts_per_second:,.0f} texts/s  alignment {row.alignment:.2f}  "
        f"uniformity {row.uniformity:.2f}  {left} left"
    )
    on_progress(Update(stage=stage, done=row.step, total=row.total_steps, note=note))
