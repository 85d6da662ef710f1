"""What a run trains on: two views of each text, and the pairs of texts that were found beside them."""

from collections.abc import Set
from pathlib import Path
from typing import Final

from llmagentos.config import Config
from llmagentos.corpus import Corpus, structural_pairs
from llmagentos.errors import InputError
from llmagentos.pipeline._progress import OnProgress, Update
from llmagentos.pipeline._related_words import related_words_for
from llmagentos.tokens import PairStore, StoreProgress, TokenStore, build_pairs
from llmagentos.views import PairedViews, Views, ViewsConfig

_FOLDER: Final = "pairs"


def find_pairs(
    corpus: Corpus,
    store: TokenStore,
    config: Config,
    work: Path,
    on_progress: OnProgress,
    *,
    aside: Set[str] = frozenset(),
) -> PairStore | None:
    """The structural pairs of the training texts, found once a run.

    Args:
        corpus: its training documents.
        store: their tokens.
        config: its views and tokens.
        work: where the pairs are kept.
        on_progress: called as texts that are no documents are tokenised.
        aside: texts that are not trained on, with their titles.

    Returns:
        The pairs; None where there are none, or none are wanted.

    Raises:
        InputError: a share of them was asked for, and there are none.
    """
    if config.views.pairs == 0:
        return None
    folder = work / _FOLDER
    if folder.exists():  # from the run that is resumed
        return PairStore(folder, store)

    def show(progress: StoreProgress) -> None:
        on_progress(Update(stage="pairs", note=f"{progress.num_documents:,} titles and the like"))

    wanted = (
        pair
        for pair in structural_pairs(corpus.training())
        if not {pair.text, pair.first, pair.second} & aside
    )
    found = build_pairs(wanted, store, folder, protect=config.tokens.protect, on_progress=show)
    if found is None and config.views.pairs:
        raise InputError(
            f"views.pairs is {config.views.pairs:g}, but no text has a title, headings, questions with "
            "answers, a group with speakers, or reply_to (a title of more than five texts is none); leave "
            "views.pairs out to train on the texts alone"
        )
    kinds = {} if found is None else found.num_by_kind
    note = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items()) or "none found"
    on_progress(Update(stage="pairs", done=1, total=1, note=note))
    return found


def share_of(pairs: PairStore | None) -> float:
    """The share of pairs in an epoch in which each pair and each text comes once; 0 where there are none."""
    return 0.0 if pairs is None else len(pairs) / (len(pairs) + len(pairs.store))


def items_of(
    store: TokenStore, views: ViewsConfig, work: Path, related: dict[str, list[str]] | None = None
) -> Views | PairedViews:
    """What makes the items of a run, with the pairs that are in its working folder.

    Args:
        store: the texts.
        views: with the share of pairs settled.
        work: of `find_pairs`.
        related: words for replacement; if not given, those of the run.

    Returns:
        Its length is the number of items in an epoch.
    """
    if related is None:
        related = related_words_for(views.resolved(), store, work)
    single = Views(store, views, related=related)
    return PairedViews(single, PairStore(work / _FOLDER, store)) if views.pairs else single
