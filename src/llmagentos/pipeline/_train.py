"""The whole line on one screen: unlabelled text in, a measured embedding model out.

    inputs -> corpus -> tokens -> views -> encoder -> loss -> training -> model -> evaluation
"""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from llmagentos.config import Config
from llmagentos.corpus import Corpus, Document, Skipped, build_corpus, harvest_python_docs
from llmagentos.encoder import Encoder, StaticEncoder, load_encoder
from llmagentos.evaluation import EvaluationReport
from llmagentos.loss import NTXentLoss
from llmagentos.model import EmbeddingModel, export_model
from llmagentos.pipeline._probe import choose_views, probe_texts
from llmagentos.pipeline._progress import OnProgress, Update, silent
from llmagentos.pipeline._report import Story, heldout_tasks, measure, model_card, write_reports
from llmagentos.pipeline._workspace import publish, workspace
from llmagentos.tokens import TokenStore, build_store, train_tokenizer
from llmagentos.training import Budget, Metrics, train_encoder
from llmagentos.views import Views


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """What `train` made.

    Attributes:
        path: the model folder; sentence-transformers loads it, and so does `EmbeddingModel.load`.
        report: its scores on held-out text, with floors and the encoder before training; None where
            the held-out part is too small to measure anything.
        seconds: of the whole run.
    """

    path: Path
    report: EvaluationReport | None
    seconds: float

    @property
    def html(self) -> Path:
        """The report as a page."""
        return self.path / "report.html"


def train(
    inputs: Iterable[str | Path] | Iterable[Document | Skipped],
    out: str | Path,
    *,
    encoder: str = "static",
    config: Config | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = False,
    on_progress: OnProgress = silent,
) -> TrainedModel:
    """Learn an embedding model from unlabelled text, and measure it on text held out.

    Args:
        inputs: files, folders or "-" (see `build_corpus`), or a stream of documents.
        out: a new folder for the model; appears complete at the end.
        encoder: "static" (from nothing), "minilm", a Hugging Face id, or a model folder.
        config: settings of all stages.
        minutes: wall time of everything; turned into a number of steps after 20 steps.
        steps: number of steps; give this or `minutes`, or neither for `training.max_epochs` epochs.
        resume: go on with a run that was killed.
        on_progress: called as the run goes on.

    Returns:
        Where the model is, and its report.

    Raises:
        LLMAgentOSError: with what to do; nothing half-written stays.
    """
    began = time.monotonic()
    config, out = config or Config(), Path(out)
    with workspace(out, resume=resume) as work:
        start = None if encoder == "static" else load_encoder(encoder)

        corpus = _corpus(inputs, work / "corpus", config, on_progress)
        config = replace(config, training=config.training.resolved(pretrained=start is not None))
        aside = probe_texts(corpus.training()) if start is not None and config.views.preset is None else []
        store = _tokens(corpus, start, {document.id for document in aside}, work / "store", config, on_progress)
        model = start or new_static_encoder(store, config)
        loss = NTXentLoss(config.loss.temperature)
        if aside:
            config = _probe(model, store, aside, loss, work, config, on_progress)
        views = Views(store, config.views)
        tasks = heldout_tasks(corpus, work / "heldout.jsonl")

        reserve = _seconds_to_finish(model, tasks)
        result = train_encoder(
            model,
            views,
            len(store),
            loss,
            config.training,
            Budget(steps=steps, deadline=None if minutes is None else began + 60 * minutes - reserve),
            work / "run",
            recipe={"encoder": encoder, "corpus": corpus.manifest.fingerprint, "config": config.to_toml()},
            resume=resume,
            on_metrics=lambda row: on_progress(_training_update(row)),
        )

        story = Story(encoder=encoder, config=config, corpus=corpus, store=store, result=result, work=work)
        before = load_encoder(encoder) if start is not None else new_static_encoder(store, config)
        report = measure(EmbeddingModel(model), EmbeddingModel(before), tasks, on_progress)
        finished = export_model(model, work / "model", card=model_card(story, report))
        write_reports(finished, story, report, EmbeddingModel(before), EmbeddingModel(model), on_progress)
        publish(finished, out)
    return TrainedModel(path=out, report=report, seconds=time.monotonic() - began)
