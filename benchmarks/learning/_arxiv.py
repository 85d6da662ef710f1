"""arXiv: the category of an abstract by its neighbours, and abstracts by titles of few words in common."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from benchmarks._tasks import retrieval
from benchmarks._texts import hashed
from benchmarks.learning._near import near_duplicates
from benchmarks.learning._split import Half, NeighbourTask, Split, Task
from llmagentos.evaluation import RetrievalTask
from llmagentos.evaluation._floors import bm25_words

Paper = Mapping[str, str]  # _id, title, text, primary, created

_WORD = re.compile(r"\w+")


def arxiv_split(
    until_2018: Iterable[Paper], of_2019: Iterable[Paper], *, number: int = 2_000, each: int = 80
) -> Split:
    """Choose on papers of 2019, report on the papers that the pipeline holds out of those up to 2018.

    Args:
        until_2018: papers to train on; those with the smallest SHA-256 of their id report.
        of_2019: papers of which those with the smallest SHA-256 choose.
        number: papers held out a half, before near-duplicates go.
        each: papers a category for 10-NN.

    Returns:
        Tasks arxiv-knn, arxiv-title, arxiv-hard and arxiv-untitled; training rows have titles.
    """
    ordered = sorted(until_2018, key=_sha256)
    reported, training = ordered[:number], ordered[number:]
    chosen = sorted(of_2019, key=_sha256)[:number]
    texts = [paper["text"] for paper in chosen + reported]
    near = near_duplicates(texts, (paper["text"] for paper in training))
    first = texts[: len(chosen)]
    near |= near_duplicates(first, (paper["text"] for paper in reported))
    halves: dict[Half, list[Paper]] = {
        "choose": [paper for place, paper in enumerate(chosen) if place not in near],
        "report": [paper for place, paper in enumerate(reported, len(chosen)) if place not in near],
    }
    return Split(
        tasks={half: arxiv_tasks(papers, each) for half, papers in halves.items()},
        training=tuple(
            {"id": one["_id"], "title": one["title"], "text": one["text"], "time": one["created"]}
            for one in training
        ),
        removed={
            "choose": len(chosen) - len(halves["choose"]),
            "report": len(reported) - len(halves["report"]),
        },
    )


def arxiv_tasks(papers: Sequence[Paper], each: int) -> dict[str, Task]:
    """The four tasks of one half."""
    pairs = [(paper["title"], paper["text"]) for paper in papers]
    untitled = [(title, without_words(text, title)) for title, text in pairs]
    return {
        "arxiv-knn": categories(papers, each),
        "arxiv-title": retrieval("title -> abstract", pairs),
        "arxiv-hard": fifth_of_least_overlap(papers),
        "arxiv-untitled": retrieval("title -> abstract without the words of its title", untitled),
    }


def categories(papers: Sequence[Paper], each: int) -> NeighbourTask:
    """Primary categories with at least `each` papers, and so many of each, those of the smallest hashes."""
    groups: defaultdict[str, list[Paper]] = defaultdict(list)
    for paper in sorted(papers, key=lambda paper: hashed(paper["_id"])):
        groups[paper["primary"]].append(paper)
    kept = [paper for _, group in sorted(groups.items()) if len(group) >= each for paper in group[:each]]
    return NeighbourTask(
        name="primary category, 10-NN",
        texts=tuple(paper["text"] for paper in kept),
        labels=tuple(paper["primary"] for paper in kept),
    )


def fifth_of_least_overlap(papers: Sequence[Paper]) -> RetrievalTask:
    """Title -> abstract among all papers, for the fifth whose titles share the least with their abstracts."""
    order = sorted(papers, key=lambda paper: (overlap(paper["title"], paper["text"]), hashed(paper["_id"])))
    asked = {paper["_id"] for paper in order[: len(papers) // 5]}
    whole = retrieval(
        "title -> abstract, the fifth of least overlap", [(paper["title"], paper["text"]) for paper in papers]
    )
    kept = [place for place, paper in enumerate(papers) if paper["_id"] in asked]
    return RetrievalTask(
        name=whole.name,
        source=whole.source,
        queries=tuple(whole.queries[place] for place in kept),
        documents=whole.documents,
        document_ids=whole.document_ids,
        relevant=tuple(whole.relevant[place] for place in kept),
        primary=whole.primary,
    )


def overlap(title: str, text: str) -> float:
    """The share of a title's words, as BM25 sees them, that its text has; 0 for a title without words.

    Examples:
        >>> overlap("The cats of Rome", "Rome has many a cat.")
        0.5
    """
    asked, there = (set(words) for words in bm25_words([title, text]))
    return len(asked & there) / max(1, len(asked))


def without_words(text: str, title: str) -> str:
    """A text without the words of its title, whatever their case.

    Examples:
        >>> without_words("Cats sleep; the cat of Rome does not.", "Cats of Rome")
        'sleep; the cat does not.'
    """
    words = set(_WORD.findall(title.lower()))
    left = _WORD.sub(lambda match: "" if match[0].lower() in words else match[0], text)
    return " ".join(left.split())


def _sha256(paper: Paper) -> bytes:
    return hashlib.sha256(paper["_id"].encode()).digest()
