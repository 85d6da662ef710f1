"""The whole line on one screen: unlabelled text in, a measured embedding model out.

inputs -> corpus -> tokens -> views -> encoder -> loss -> training -> model -> evaluation
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from llmagentos.config import Config
from llmagentos.corpus import (
    Corpus,
    Document,
    Progress,
    Skipped,
    build_corpus,
    harvest_python_docs,
    structural_pairs,
    write_whole,
)
from llmagentos.encoder import Encoder, StaticEncoder, load_encoder, memory_for
from llmagentos.errors import InputError
from llmagentos.evaluation import RetrievalTask
from llmagentos.loss import NTXentLoss
from llmagentos.model import EmbeddingModel, export_model
from llmagentos.pipeline._along import tell_others, train_along
from llmagentos.pipeline._heldout import heldout_task
from llmagentos.pipeline._items import find_pairs, items_of, share_of
from llmagentos.pipeline._probe import Trial, candidates, choose_views, matchings, probe_texts, usual_preset
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
from llmagentos.pipeline._start import absolute, check_adaptable, encoder_name, starting_encoder
from llmagentos.pipeline._trained import TrainedModel
from llmagentos.pipeline._workspace import decided, publish, remember_settings, workspace
from llmagentos.tokens import StoreProgress, TokenStore, build_store, extend_tokenizer, train_tokenizer
from llmagentos.training import (
    Budget,
    Metrics,
    Ranks,
    ResolvedTrainingConfig,
    TrainingConfig,
    check_settings,
    load_weights,
    prepare_encoder,
    train_encoder,
)
from llmagentos.views import PairedViews, Views, ViewsConfig

# What the map, the neighbours and the files of the report take beyond the embedding of their texts.
_REPORT_SECONDS = 20.0
_FEWEST_TO_PROBE = 2_000
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
        minutes: wall time of everything; turned into a number of steps after 20 steps. A run on
            little text ends earlier, after `training.max_epochs` epochs.
        steps: number of steps, of `small` for each of its two stages; give this or `minutes`, or neither
            for ten minutes.
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
    _check_budget(minutes, steps)
    ranks = Ranks.of_run()
    if not ranks.is_first:
        return train_along(ranks, out)
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
            config = small_config(config)
        pretrained = None if encoder in ("static", "small") else load_encoder(encoder).to(device)
        transforms = is_small or not isinstance(pretrained, StaticEncoder | None)
        check_adaptable(encoder, pretrained, config)
        adapts = config.encoder.adapt_vocabulary
        training = config.training.resolved(pretrained=transforms, new_rows=adapts)
        check_settings(training, ranks)
        if pretrained is not None:  # refused before all the text is read, if it cannot be
            prepare_encoder(pretrained, training)
        config = replace(config, training=TrainingConfig(**asdict(training)))
        fewest = _FEWEST_MINUTES_TO_PROBE if transforms else _FEWEST_MINUTES_TO_PROBE_STATIC
        is_long = minutes is None or minutes >= fewest
        may_try = decided(work, "trial of views", is_long and not is_small and not adapts)
        # Beside the section of the same name, which has the settings of new encoders.
        started_with = {"inputs": _names(inputs), "--encoder": encoder, "trial of views": may_try}
        remember_settings(work, {**started_with, **_kept(config).sections()})
        loss = NTXentLoss(**asdict(config.loss))

        corpus = _corpus(inputs, work / "corpus", config, on_progress)
        corpus.write_heldout(work / "heldout.jsonl")
        limit = _MEASURED_TEXTS_TRANSFORMER if transforms else _MEASURED_TEXTS
        task = heldout_task(work / "heldout.jsonl", limit)
        probed = _probed_texts(corpus, config) if may_try else []
        store = _tokens(corpus, pretrained, probed, work / "store", config, on_progress)
        usual = replace(
            config.views, preset=config.views.preset or usual_preset(transforms=transforms and not adapts)
        )
        related = related_words_for(usual.resolved(), store, work)
        begins_as = "static" if is_small else encoder
        model = starting_encoder(begins_as, store, config, work, pretrained).to(device)
        aside = {document.text for document in probed}
        pairs = find_pairs(corpus, store, config, work, on_progress, aside=aside)
        share = share_of(pairs, config.views)
        recipes = candidates(
            config.views, share, transforms=transforms, mean_tokens=store.num_tokens / len(store)
        )
        trials = _trials(
            model,
            recipes,
            lambda recipe: items_of(store, recipe, work, related),
            probed,
            corpus,
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
            deadline = None if steps else _deadline(began, minutes, model, task)
            show = partial(_show_training, on_progress, "table", deadline)
            budget = steps, deadline
            train_table(model, items, loss, config, *budget, work, resume=resume, on_metrics=show)
            model = starting_encoder(encoder, store, config, work).to(device)
        deadline = None if steps else _deadline(began, minutes, model, task)
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
        after = Remembering(EmbeddingModel(model))
        is_new = pretrained is None
        untrained = starting_encoder(encoder, store, config, work) if is_new else load_encoder(encoder)
        before = Remembering(EmbeddingModel(untrained.to(device)))
        report = None if task is None else measure(after, before, task, on_progress)
        story = Story(
            encoder=encoder,
            static=not transforms,
            config=config,
            corpus=corpus,
            store=store,
            trials=trials,
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


def _corpus(
    inputs: Iterable[str | Path] | Iterable[Document | Skipped],
    folder: Path,
    config: Config,
    on_progress: OnProgress,
) -> Corpus:
    if folder.exists():  # by the run that is resumed
        return Corpus.open(folder)

    def show(progress: Progress) -> None:
        note = f"{progress.documents:,} documents"
        on_progress(Update(stage="corpus", done=progress.bytes_read, total=progress.total_bytes, note=note))

    return build_corpus(inputs, folder, config.corpus, on_progress=show)


def _probed_texts(corpus: Corpus, config: Config) -> list[Document]:
    """Texts that decide between recipes; none where the user has decided, or text is too scarce."""
    settled = config.views.preset is not None and config.views.pairs is not None
    if settled or corpus.num_training < _FEWEST_TO_PROBE:
        return []
    return probe_texts(corpus.training())


def _tokens(
    corpus: Corpus,
    pretrained: Encoder | None,
    probed: Sequence[Document],
    folder: Path,
    config: Config,
    on_progress: OnProgress,
) -> TokenStore:
    if folder.exists():  # by the run that is resumed
        return TokenStore(folder)
    if pretrained is None or config.encoder.adapt_vocabulary:
        on_progress(Update(stage="tokenizer"))
        if pretrained is None:
            tokenizer = train_tokenizer(corpus.training(), config.tokens)
        else:
            tokenizer = extend_tokenizer(pretrained.tokenizer, corpus.training(), config.tokens)
        on_progress(
            Update(stage="tokenizer", done=1, total=1, note=f"{tokenizer.get_vocab_size():,} entries")
        )
    else:
        tokenizer = pretrained.tokenizer
    aside = {document.text for document in probed}

    def show(progress: StoreProgress) -> None:
        note = f"{progress.num_tokens:,} tokens"
        on_progress(Update(stage="tokens", done=progress.num_documents, total=corpus.num_training, note=note))

    texts = (document for document in corpus.training() if document.text not in aside)
    store = build_store(texts, tokenizer, folder, protect=config.tokens.protect, on_progress=show)
    if store.groups[0] != 0 and (store.groups == store.groups[0]).all():
        raise InputError(
            f"all {len(store):,} texts have the same group, so none is a negative of another and nothing can "
            "be learned; leave the field group out, or give each session its own"
        )
    return store


def _trials(
    model: Encoder,
    recipes: Sequence[ViewsConfig],
    items: Callable[[ViewsConfig], Views | PairedViews],
    probed: Sequence[Document],
    corpus: Corpus,
    loss: NTXentLoss,
    training: ResolvedTrainingConfig,
    work: Path,
    on_progress: OnProgress,
) -> list[Trial]:
    """What a short trial of each recipe reached, best first; nothing where there is nothing to choose."""
    path = work / "probe.json"
    if path.exists():  # from the run that is resumed
        with suppress(ValueError, TypeError):  # a damaged one is made again
            return [Trial(**values) for values in json.loads(path.read_text(encoding="utf-8"))]
    if not probed or len(recipes) < 2:
        return []
    trials = choose_views(
        model,
        recipes,
        items,
        matchings(probed, structural_pairs(corpus.training())),
        loss,
        training,
        work / "probe",
        on_trial=lambda trial: on_progress(Update(stage="probe", note=str(trial))),
    )
    write_whole(path, json.dumps([asdict(trial) for trial in trials]))
    return trials


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


def _deadline(began: float, minutes: float | None, model: Encoder, task: RetrievalTask | None) -> float:
    """When training has to end for the whole run to end in time."""
    reserve = _REPORT_SECONDS
    if task is not None:
        sample = [*task.queries[:32], *task.documents[:32]]
        started = time.monotonic()
        EmbeddingModel(model).encode(sample)
        # The held-out texts are embedded twice, before and after training.
        reserve += 2 * (time.monotonic() - started) * (len(task.queries) + len(task.documents)) / len(sample)
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
