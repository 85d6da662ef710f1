"""arXiv's halves: who is held out, near-duplicates, classes, and titles of few words in common."""

from pathlib import Path

from benchmarks.learning._arxiv import arxiv_split, categories, fifth_of_least_overlap, without_words
from benchmarks.learning._split import Half, NeighbourTask, write_rows
from llmagentos.corpus import CorpusConfig, Document, build_corpus, read_documents
from llmagentos.evaluation import RetrievalTask


def paper(number: int, text: str = "", category: str = "cs.X") -> dict[str, str]:
    return {
        "_id": f"p{number}",
        "title": f"Title {number}",
        "text": text or f"words of {number} alone w{number} v{number} u{number}",
        "primary": category,
        "created": "2018-01-01",
    }


OLD, NEW = [paper(number) for number in range(40)], [paper(number) for number in range(100, 130)]


def test_three_parts_share_nothing() -> None:
    split = arxiv_split(OLD, NEW, number=10, each=1)
    trained = {row["text"] for row in split.training}
    parts = []
    numbers: dict[Half, range] = {"choose": range(100, 130), "report": range(40)}
    for half, among in numbers.items():
        task = split.tasks[half]["arxiv-title"]
        assert isinstance(task, RetrievalTask) and len(task.queries) == 10
        assert {int(query.split()[1]) for query in task.queries} <= set(among)
        parts.append(set(task.documents))
    assert len(trained) == 30 and not trained & parts[0] and not trained & parts[1]
    assert split.removed == {"choose": 0, "report": 0}


def test_reported_papers_are_those_that_the_pipeline_holds_out(tmp_path: Path) -> None:
    task = arxiv_split(OLD, NEW, number=10, each=1).tasks["report"]["arxiv-title"]
    assert isinstance(task, RetrievalTask)
    documents = [Document(id=one["_id"], text=one["text"], title=one["title"]) for one in OLD]
    config = CorpusConfig(heldout_key="id", heldout_documents=10)
    corpus = build_corpus(documents, tmp_path / "corpus", config)
    corpus.write_heldout(tmp_path / "heldout.jsonl")
    read = list(read_documents([tmp_path / "heldout.jsonl"]))
    assert {one.title for one in read if isinstance(one, Document)} == set(task.queries)


def test_near_duplicates_leave_the_held_out_papers() -> None:
    clean = arxiv_split(OLD, NEW, number=10, each=1)
    task = clean.tasks["report"]["arxiv-title"]
    assert isinstance(task, RetrievalTask)
    copied = task.documents[3]
    old = [
        one if one["text"] != clean.training[0]["text"] else {**one, "text": copied + " Again!"}
        for one in OLD
    ]
    new = [{**one, "text": task.documents[5]} if one["_id"] in {"p100"} else one for one in NEW]
    split = arxiv_split(old, new, number=30, each=1)  # all new papers are candidates
    assert split.removed["choose"] == 1
    split = arxiv_split(old, NEW, number=10, each=1)
    assert split.removed == {"choose": 0, "report": 1}
    assert len(split.training) == 30 and copied + " Again!" in {row["text"] for row in split.training}
    kept = split.tasks["report"]["arxiv-title"]
    assert isinstance(kept, RetrievalTask) and copied not in kept.documents


def test_classes_are_balanced() -> None:
    papers = [
        paper(number, category="a" if number < 5 else "b" if number < 8 else "c") for number in range(10)
    ]
    task = categories(papers, 3)
    assert isinstance(task, NeighbourTask)
    assert task.labels == ("a",) * 3 + ("b",) * 3


def test_the_fifth_of_least_overlap_asks_among_all() -> None:
    papers = [{**paper(number), "title": f"words alone of{number}"} for number in range(10)]
    papers[4]["title"], papers[7]["title"] = "nothing shared", "nothing either"
    task = fifth_of_least_overlap(papers)
    assert task.queries == ("nothing shared", "nothing either")
    assert len(task.documents) == 10 and task.relevant == ({"4": 1}, {"7": 1})


def test_words_of_the_title_go_whatever_their_case() -> None:
    assert without_words("Deep nets: a net is DEEP.", "Deep Nets") == ": a net is ."


def test_rows_are_read_by_the_package(tmp_path: Path) -> None:
    split = arxiv_split(OLD, NEW, number=10, each=1)
    found = list(read_documents([write_rows(split.training, tmp_path / "papers.jsonl")]))
    assert [(one.id, one.title, one.text, one.time) for one in found if isinstance(one, Document)] == [
        (row["id"], row["title"], row["text"], row["time"]) for row in split.training
    ]
