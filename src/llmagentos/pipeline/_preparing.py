"""What a run has before it trains: a corpus, its tokens, pairs, and the trials that chose its recipe."""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from llmagentos.config import Config
from llmagentos.corpus import (
    Corpus,
    Document,
    PairKind,
    Progress,
    Skipped,
    build_corpus,
    structural_pairs,
    write_whole,
)
from llmagentos.encoder import Encoder
from llmagentos.errors import InputError
from llmagentos.evaluation import RetrievalTask
from llmagentos.loss import LossConfig
from llmagentos.pipeline._heldout import heldout_task
from llmagentos.pipeline._items import find_pairs, items_of, share_of
from llmagentos.pipeline._matching import Matching, matchings, texts_aside
from llmagentos.pipeline._probe import Candidate, Trial, candidates, choose_recipe
from llmagentos.pipeline._progress import OnProgress, Update
from llmagentos.pipeline._related_words import related_words_for
from llmagentos.pipeline._settled import Settled
from llmagentos.pipeline._start import starting_encoder
from llmagentos.tokens import (
    PairStore,
    StoreProgress,
    TokenStore,
    build_store,
    extend_tokenizer,
    train_tokenizer,
)
from llmagentos.training import ResolvedTrainingConfig
from llmagentos.views import PairedViews, Views, ViewsConfig

# A Transformer embeds some 20 abstracts a second on two cores: 400 before and after take 40 s.
_MEASURED_TEXTS, _MEASURED_TEXTS_TRANSFORMER = 2_000, 400


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Text that is ready.

    Attributes:
        corpus: all of it.
        task: its held-out part; None where that is too small.
        matched: what is matched of texts kept aside; empty where there are none.
        store: the tokens of the training texts.
        pairs: structural pairs beside them, or None.
        trials: of recipes, the chosen one first; empty where there was no choice.
        untried: recipes for whose trial there was no time.
        items: what is trained on.
        model: what the text is met with first, on the device of the run.
        config: of the run, with the views and the temperature that were chosen.
    """

    corpus: Corpus
    task: RetrievalTask | None
    matched: Sequence[Matching]
    store: TokenStore
    pairs: PairStore | None
    trials: Sequence[Trial]
    untried: Sequence[Candidate]
    items: Views | PairedViews
    model: Encoder
    config: Config

    @property
    def num_pairs(self) -> dict[PairKind, int]:
        """How many pairs of each kind are trained on."""
        return {} if self.pairs is None or not self.items.recipe.pairs else self.pairs.num_by_kind

    @property
    def titles_matched(self) -> bool:
        """Whether titles of texts kept aside chose among views, or said whether to keep the model."""
        return any("title" in one.kinds for one in self.matched)

    @property
    def embedded(self) -> list[Sequence[str]]:
        """What is embedded twice at the end, before and after training."""
        found = [] if self.task is None else [self.task.queries, self.task.documents]
        return [*found, *(side for one in self.matched for side in (one.queries, one.texts))]


def prepare(
    inputs: Iterable[str | Path] | Iterable[Document | Skipped],
    run: Settled,
    work: Path,
    device: torch.device,
    on_progress: OnProgress,
    *,
    keeps_aside: bool,
    trial_seconds: float | None,
) -> Prepared:
    """From text to what is trained on; what the run that is resumed has made already stays.

    Args:
        inputs: of `train`.
        run: what is trained.
        work: the working folder.
        device: on which to try recipes.
        on_progress: called as it goes on.
        keeps_aside: keep texts aside, for trials and the verdict.
        trial_seconds: for trials, or None.

    Raises:
        InputError: of the stages.
    """
    corpus = read_corpus(inputs, work / "corpus", run.config, on_progress)
    corpus.write_heldout(work / "heldout.jsonl")
    limit = _MEASURED_TEXTS_TRANSFORMER if run.transforms else _MEASURED_TEXTS
    aside = texts_aside(corpus, transforms=run.begins_as_transformer) if keeps_aside else []
    matched = matchings(aside, structural_pairs(corpus.training())) if aside else []
    untrainable = {document.text for document in aside}
    store = tokens_of(corpus, run.pretrained, untrainable, work / "store", run.config, on_progress)
    model = starting_encoder(run.begins_as, store, run.config, work, run.pretrained).to(device)
    pairs = find_pairs(corpus, store, run.config, work, on_progress, aside=untrainable)
    asked, loss = run.config.views, run.config.loss
    recipes = candidates(
        asked,
        loss.temperature,
        share_of(pairs),
        # What reads new words has yet to learn them, as a table has.
        transforms=run.begins_as_transformer and not run.adapts,
        mean_tokens=store.num_tokens / len(store),
    )
    if pairs is not None and not any(one.pairs for one in recipes):
        share = share_of(pairs)
        few = f"{100 * share:.3g}% of all items, too few to be usual"
        note = f"{few}; --set views.pairs={share:.2g} trains on them"
        on_progress(Update(stage="pairs", done=1, total=1, note=note))
    related = related_words_for(replace(asked, preset=recipes[0].preset).resolved(), store, work)

    def items_with(recipe: Candidate) -> Views | PairedViews:
        return items_of(store, replace(asked, preset=recipe.preset, pairs=recipe.pairs), work, related)

    trials = made_trials(
        model, recipes, items_with, loss, matched, run.begins_with, work, trial_seconds, on_progress
    )
    tried = {trial.recipe for trial in trials}
    recipe = trials[0].recipe if trials else recipes[0]
    items = items_with(recipe)
    return Prepared(
        corpus=corpus,
        task=heldout_task(work / "heldout.jsonl", limit),
        matched=matched,
        store=store,
        pairs=pairs,
        trials=trials,
        untried=[one for one in recipes if one not in tried] if matched and len(recipes) > 1 else [],
        items=items,
        model=model,
        # What is still open now is chosen alike every time: the size of the vocabulary, by the script.
        config=replace(
            run.config,
            views=ViewsConfig(**asdict(items.recipe)),
            loss=replace(loss, temperature=recipe.temperature),
        ),
    )


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


def tokens_of(
    corpus: Corpus,
    pretrained: Encoder | None,
    aside: Collection[str],
    folder: Path,
    config: Config,
    on_progress: OnProgress,
) -> TokenStore:
    """The training texts of a run as tokens in `folder`, but for those that are kept aside.

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

    def show(progress: StoreProgress) -> None:
        note = f"{progress.num_tokens:,} tokens"
        on_progress(Update(stage="tokens", done=progress.num_documents, total=corpus.num_training, note=note))

    texts = (document for document in corpus.training() if document.text not in aside)
    store = build_store(texts, tokenizer, folder, protect=config.tokens.protect, on_progress=show)
    if store.groups[0] != 0 and (store.groups == store.groups[0]).all():
        raise InputError(
            f"all texts ({len(store):,}) are of one group, or passages of one text, so none is a negative of "
            "another and nothing can be learned; give more texts, or each session a group of its own"
        )
    return store


def made_trials(
    model: Encoder,
    recipes: Sequence[Candidate],
    items: Callable[[Candidate], Views | PairedViews],
    loss: LossConfig,
    matched: Sequence[Matching],
    training: ResolvedTrainingConfig,
    work: Path,
    seconds: float | None,
    on_progress: OnProgress,
) -> list[Trial]:
    """What a short trial of each recipe reached, the chosen one first; none where there is no choice."""
    path = work / "probe.json"
    if path.exists():  # from the run that is resumed
        with suppress(ValueError, TypeError, KeyError):  # a damaged one is made again
            rows = json.loads(path.read_text(encoding="utf-8"))
            found = [
                Trial(**row | {"recipe": Candidate(**row["recipe"]), "over_usual": tuple(row["over_usual"])})
                for row in rows
            ]
            if {trial.recipe for trial in found} <= set(recipes):  # another version had others
                return found
    if not matched or len(recipes) < 2:
        return []
    trials = choose_recipe(
        model,
        recipes,
        items,
        loss,
        matched,
        training,
        work / "probe",
        seconds=seconds,
        on_trial=lambda trial: on_progress(Update(stage="probe", note=str(trial))),
    )
    write_whole(path, json.dumps([asdict(trial) for trial in trials]))
    return trials
