"""What a run has before it trains: a corpus, its tokens, and the trials that chose its views."""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from llmagentos.config import Config
from llmagentos.corpus import (
    Corpus,
    Document,
    Progress,
    Skipped,
    build_corpus,
    write_whole,
)
from llmagentos.encoder import Encoder
from llmagentos.errors import InputError
from llmagentos.loss import NTXentLoss
from llmagentos.pipeline._probe import Matching, Trial, choose_views, probe_texts
from llmagentos.pipeline._progress import OnProgress, Update
from llmagentos.tokens import StoreProgress, TokenStore, build_store, extend_tokenizer, train_tokenizer
from llmagentos.training import ResolvedTrainingConfig
from llmagentos.views import PairedViews, Views, ViewsConfig

_FEWEST_TEXTS: Final = 2_000
# With 200 an interval of mean reciprocal rank is 4 points wide (`small` on an H100: +1.8 [-0.2, +3.8]).
_TEXTS_ASIDE, _MOST_TEXTS_ASIDE = 200, 1_000


def read_corpus(
    inputs: Iterable[str | Path] | Iterable[Document | Skipped],
    folder: Path,
    config: Config,
    on_progress: OnProgress,
) -> Corpus:
    """The corpus of a run, built in `folder`, or there already from the run that is resumed."""
    if folder.exists():
        return Corpus.open(folder)

    def show(progress: Progress) -> None:
        note = f"{progress.documents:,} documents"
        on_progress(Update(stage="corpus", done=progress.bytes_read, total=progress.total_bytes, note=note))

    return build_corpus(inputs, folder, config.corpus, on_progress=show)


def texts_aside(corpus: Corpus, *, pretrained: bool) -> list[Document]:
    """Texts that decide between recipes, and whether the model is kept; none where text is too scarce.

    Args:
        corpus: of the run.
        pretrained: a pretrained encoder has to embed them, after each trial anew.

    Returns:
        200; for what is new 2% of the texts, from 200 to 1,000.
    """
    if corpus.num_training < _FEWEST_TEXTS:
        return []
    most = _TEXTS_ASIDE if pretrained else _MOST_TEXTS_ASIDE
    return probe_texts(corpus.training(), max(_TEXTS_ASIDE, min(most, corpus.num_training // 50)))


def tokens_of(
    corpus: Corpus,
    pretrained: Encoder | None,
    probed: Sequence[Document],
    folder: Path,
    config: Config,
    on_progress: OnProgress,
) -> TokenStore:
    """The training texts of a run as tokens in `folder`, but for the texts that are probed with.

    Raises:
        InputError: all texts have the same group.
    """
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


def made_trials(
    model: Encoder,
    recipes: Sequence[ViewsConfig],
    items: Callable[[ViewsConfig], Views | PairedViews],
    matched: Sequence[Matching],
    loss: NTXentLoss,
    training: ResolvedTrainingConfig,
    work: Path,
    on_progress: OnProgress,
) -> list[Trial]:
    """What a short trial of each recipe reached, the chosen one first; none where there is no choice."""
    path = work / "probe.json"
    if path.exists():  # from the run that is resumed
        with suppress(ValueError, TypeError, KeyError):  # a damaged one is made again
            rows = json.loads(path.read_text(encoding="utf-8"))
            return [Trial(**row | {"over_usual": tuple(row["over_usual"])}) for row in rows]
    if not matched or len(recipes) < 2:
        return []
    trials = choose_views(
        model,
        recipes,
        items,
        matched,
        loss,
        training,
        work / "probe",
        on_trial=lambda trial: on_progress(Update(stage="probe", note=str(trial))),
    )
    write_whole(path, json.dumps([asdict(trial) for trial in trials]))
    return trials
