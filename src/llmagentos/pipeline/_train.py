"""The whole line on one screen: unlabelled text in, a measured embedding model out.

inputs -> corpus -> tokens -> views -> encoder -> loss -> training -> model -> evaluation
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from llmagentos.config import Config
from llmagentos.corpus import Document, Skipped, harvest_python_docs, structural_pairs
from llmagentos.encoder import Encoder, StaticEncoder, load_encoder, memory_for
from llmagentos.errors import InputError
from llmagentos.evaluation import Task, evaluate, load_task
from llmagentos.loss import NTXentLoss
from llmagentos.model import EmbeddingModel, export_model
from llmagentos.pipeline._along import tell_others, train_along
from llmagentos.pipeline._heldout import heldout_task
from llmagentos.pipeline._items import find_pairs, items_of, share_of
from llmagentos.pipeline._preparing import made_trials, read_corpus, texts_aside, tokens_of
from llmagentos.pipeline._probe import candidates, matchings, usual_preset
from llmagentos.pipeline._progress import OnProgress, Update, silent
from llmagentos.pipeline._related_words import related_words_for
from llmagentos.pipeline._report import (
    Remembering,
    Story,
    measure,
    model_card,
    write_reports,
)
from llmagentos.pipeline._small import small_config, train_table, why_static
from llmagentos.pipeline._start import (
    STATIC_FOLDER,
    absolute,
    check_adaptable,
    check_teacher,
    encoder_name,
    put_dimensions_in_order,
    starting_encoder,
)
from llmagentos.pipeline._trained import TrainedModel
from llmagentos.pipeline._verdict import verdict_on
from llmagentos.pipeline._workspace import decided, publish, remember_settings, workspace
from llmagentos.training import (
    Budget,
    Metrics,
    Ranks,
    TrainingConfig,
    check_settings,
    interpolate,
    load_weights,
    prepare_encoder,
    train_encoder,
)
from llmagentos.views import ViewsConfig

# What the map, the neighbours and the files of the report take beyond the embedding of their texts.
_REPORT_SECONDS = 20.0
# A trial of MiniLM takes a minute on two cores.
_FEWEST_MINUTES_TO_PROBE = 5.0
# ... of a static encoder ten seconds.
_FEWEST_MINUTES_TO_PROBE_STATIC = 3.0
# The number of steps is fixed early, and a machine that others share slows down later: two runs of ten
# minutes took 10.3 and 10.8.
_SHARE_OF_TIME = 0.94
_USUAL_MINUTES = 10.0
# A Transformer embeds some 20 abstracts a second on two cores: 400 before and after take 40 s.
_MEASURED_TEXTS, _MEASURED_TEXTS_TRANSFORMER = 2_000, 400


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
        minutes: wall time of everything; turned into a number of steps early on. A run on
            little text ends earlier, after `training.max_epochs` epochs.
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
    encoder = encoder_name(encoder)
    config = config or Config()
    if config.encoder.teacher is not None:
        teacher = encoder_name(config.encoder.teacher)
        config = replace(config, encoder=replace(config.encoder, teacher=teacher))
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
        device = ranks.device
        if encoder == "small" and (reason := why_static(minutes or _USUAL_MINUTES, steps, device)):
            encoder = "static"
            on_progress(Update(stage="small", done=1, total=1, note=reason))
        is_small = encoder == "small"
        if is_small:
            config = small_config(config, device)
        elif encoder == "static":
            config = replace(config, encoder=config.encoder.resolved(grows=False))
        pretrained = None if encoder in ("static", "small") else load_encoder(encoder).to(device)
        transforms = is_small or not isinstance(pretrained, StaticEncoder | None)
        check_adaptable(encoder, pretrained, config)
        check_teacher(encoder, config)
        adapts = config.encoder.adapt_vocabulary
        training = config.training.resolved(pretrained=transforms, new_rows=adapts)
        check_settings(training, ranks)
        if pretrained is not None:  # refused before all the text is read, if it cannot be
            prepare_encoder(pretrained, training)
        config = replace(config, training=TrainingConfig(**asdict(training)))
        fewest = _FEWEST_MINUTES_TO_PROBE if transforms else _FEWEST_MINUTES_TO_PROBE_STATIC
        is_long = minutes is None or minutes >= fewest
        keeps_aside = decided(work, "texts kept aside", is_long and not adapts)
        # Beside the section of the same name, which has the settings of new encoders.
        started_with = {"inputs": _names(inputs), "--encoder": encoder, "texts kept aside": keeps_aside}
        remember_settings(work, {**started_with, **_kept(config).sections()})
        loss = NTXentLoss(**asdict(config.loss))

        corpus = read_corpus(inputs, work / "corpus", config, on_progress)
        corpus.write_heldout(work / "heldout.jsonl")
        limit = _MEASURED_TEXTS_TRANSFORMER if transforms else _MEASURED_TEXTS
        task = heldout_task(work / "heldout.jsonl", limit)
        measured = [*([] if task is None else [task]), *guards]
        aside = texts_aside(corpus, pretrained=pretrained is not None) if keeps_aside else []
        matched = matchings(aside, structural_pairs(corpus.training())) if aside else []
        # What is embedded twice at the end, before and after training.
        embedded = [] if task is None else [task.queries, task.documents]
        embedded += [side for one in matched for side in (one.queries, one.texts)]
        store = tokens_of(corpus, pretrained, aside, work / "store", config, on_progress)
        usual = replace(
            config.views, preset=config.views.preset or usual_preset(transforms=transforms and not adapts)
        )
        related = related_words_for(usual.resolved(), store, work)
        begins_as = "static" if is_small else encoder
        model = starting_encoder(begins_as, store, config, work, pretrained).to(device)
        untrainable = {document.text for document in aside}
        pairs = find_pairs(corpus, store, config, work, on_progress, aside=untrainable)
        share = share_of(pairs, config.views)
        recipes = candidates(
            config.views, share, transforms=transforms, mean_tokens=store.num_tokens / len(store)
        )
        trials = made_trials(
            model,
            recipes[:1] if is_small else recipes,
            lambda recipe: items_of(store, recipe, work, related),
            matched,
            loss,
            training,
            work,
            on_progress,
        )
        chosen = replace(usual, pairs=share)
        if trials:
            chosen = replace(config.views, preset=trials[0].preset, pairs=trials[0].pairs)
        items = items_of(store, chosen, work, related)
        # What is still open now is chosen alike every time: the size of the vocabulary, by the script.
        config = replace(
            config, views=ViewsConfig(**asdict(items.recipe)), training=TrainingConfig(**asdict(training))
        )

        if is_small:
            assert isinstance(model, StaticEncoder)
            deadline = None if steps else _deadline(began, minutes, model, embedded, guards)
            show = partial(_show_training, on_progress, "table", deadline)
            budget = steps, deadline
            train_table(model, items, loss, config, *budget, work, resume=resume, on_metrics=show)
            model = starting_encoder(encoder, store, config, work).to(device)
        deadline = None if steps else _deadline(began, minutes, model, embedded, guards)
        recipe = {
            "encoder": encoder,
            "corpus": corpus.manifest.fingerprint,
            "config": _kept(config).to_toml(),
        }
        slots = training.micro_batch_tokens
        tell_others(ranks, work, recipe, slots=slots, steps=steps, deadline=deadline, resume=resume)
        result = train_encoder(
            model,
            items,
            len(items),
            loss,
            training,
            Budget(steps=steps, deadline=deadline),
            work / "run",
            recipe=recipe,
            resume=resume,
            on_metrics=partial(_show_training, on_progress, "training", deadline),
            ranks=ranks,
        )

        if training.shard and ranks.size > 1:  # what was trained is in parts, and the checkpoint is whole
            model = starting_encoder(encoder, store, config, work).to(device)
            load_weights(result.checkpoint, model)
        is_new = pretrained is None
        start = starting_encoder(encoder, store, config, work) if is_new else load_encoder(encoder)
        interpolate(model, start, training.keep_start)
        if is_small:  # it has to be worth more than its table alone
            start = load_encoder(work / STATIC_FOLDER)
        start = start.to(device)
        verdict = verdict_on(model, start, matched, training, must_be_better=is_small) if matched else None
        if verdict is not None and not verdict.kept:
            model = start
        if is_new and isinstance(model, StaticEncoder) and not config.loss.dimensions:
            put_dimensions_in_order(model, store)  # beginnings that are trained are in order already
        after = Remembering(EmbeddingModel(model))
        before = Remembering(EmbeddingModel(start))
        report = measure(after, before, measured, on_progress) if measured else None
        story = Story(
            encoder=encoder,
            static=isinstance(model, StaticEncoder),
            config=config,
            corpus=corpus,
            store=store,
            trials=trials,
            verdict=verdict,
            titles_aside=any(document.title for document in aside),
            pairs={} if pairs is None or not items.recipe.pairs else pairs.num_by_kind,
            result=result,
            work=work,
        )
        finished = export_model(model, work / "model", card=model_card(story, report))
        write_reports(finished, story, task, report, before, after, on_progress)
        publish(finished, out)
    return TrainedModel(
        path=out,
        report=report,
        trials=trials,
        verdict=verdict,
        dropped=corpus.manifest.dropped,
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
    if minutes is not None and not (minutes > 0 and math.isfinite(minutes)):
        raise InputError(f"minutes must be a number > 0, got {minutes:g}; 5 is a good start (--minutes)")
    if steps is not None and steps <= 0:
        raise InputError(f"steps must be > 0, got {steps}; 1000 is a good start (--steps)")


def _deadline(
    began: float,
    minutes: float | None,
    model: Encoder,
    embedded: Sequence[Sequence[str]],
    guards: Sequence[Task],
) -> float:
    """When training has to end for the whole run to end in time."""
    reserve = _REPORT_SECONDS
    for texts in embedded:
        sample = list(texts[:32])
        started = time.monotonic()
        EmbeddingModel(model).encode(sample)
        reserve += 2 * (time.monotonic() - started) * len(texts) / len(sample)
    if guards:  # classifiers and floors take longer than vectors, and only doing it tells how long
        started = time.monotonic()
        evaluate(EmbeddingModel(model), guards)
        reserve += 2 * (time.monotonic() - started)
    return began + _SHARE_OF_TIME * 60 * (minutes or _USUAL_MINUTES) - reserve


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
