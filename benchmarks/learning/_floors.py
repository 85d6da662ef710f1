"""All floors on one half of every set: BM25, TF-IDF and Jaccard, and all-MiniLM-L6-v2 as it is."""

from collections.abc import Iterator, Mapping

from benchmarks._texts import read_rows
from benchmarks.learning._methods import Bm25, ByVectors, of_model, of_words
from benchmarks.learning._score import Scored, score, svm_floor
from benchmarks.learning._split import Half, Task, ToolTask
from benchmarks.learning._suite import CHINESE, STS_ZH, arxiv, intents, irc, metatool, sentences
from llmagentos.evaluation import Difference, Interval, STSTask
from llmagentos.evaluation._floors import floors as floors_of_task

CHARACTERS = "character Jaccard"


def floors(half: Half, *, with_minilm: bool) -> dict[str, float]:
    """The floors of the semantic suite and sentence pairs, `learning-TASK-METHOD`, x 100, with intervals
    and how much was removed.
    """
    found: dict[str, float] = {}
    tasks: dict[str, Task] = {}
    abstracts: ByVectors | None = None
    for source, make in (("arxiv", arxiv), ("irc", irc), ("metatool", metatool)):
        split = make()
        own = split.tasks[half]
        words = of_words(row["text"] for row in split.training)
        abstracts = abstracts or words
        ranked = score(Bm25(), own)
        found |= named("bm25", ranked) | named("tfidf", score(words, own))
        found |= {f"{source}, near-duplicates removed": split.removed[half]}
        found |= {f"{source}, rows to train on": len(split.training)}
        found |= {f"{name}, items": len(one.values) for name, one in ranked.items()}
        tasks |= own
    assert abstracts is not None
    english, *chinese = sentences(half).items()
    found |= named("tfidf", score(abstracts, dict([english])))
    found |= named("characters", score(of_words(chinese_texts(), "char"), dict(chinese)))
    for name, task in (english, *chinese):
        found |= overlaps(name, task)
        tasks[name] = task
    if with_minilm:
        from benchmarks.learning._kept import minilm

        model = of_model(minilm(), "minilm")
        found |= named("minilm", score(model, tasks))
        found |= plain_means(model, tasks)
    found |= plain_means(Bm25(), tasks)
    return found


def intent_floors(half: Half, *, with_minilm: bool) -> dict[str, float]:
    """The floors of Banking77 and CLINC150 as `learning-TASK-METHOD`, x 100, with intervals."""
    found: dict[str, float] = {}
    tasks = intents(half)
    for name, task in tasks.items():
        if task.way == "all":
            found |= named("svm", {name: svm_floor(task)})
        else:
            found |= named("tfidf", score(of_words(task.train_texts), {name: task}))
    if with_minilm:
        from benchmarks.learning._kept import minilm

        found |= named("minilm", score(of_model(minilm(), "minilm"), tasks))
    return found


def named(method: str, scores: Mapping[str, Scored]) -> dict[str, float]:
    """`learning-TASK-METHOD` with its interval."""
    return with_intervals({f"learning-{task}-{method}": one for task, one in scores.items()})


def with_intervals(scores: Mapping[str, Scored]) -> dict[str, float]:
    """Scores by the names of their figures, each with its interval."""
    found: dict[str, float] = {}
    for name, one in scores.items():
        found |= with_interval(name, one.interval())
    return found


def with_interval(name: str, found: Interval | Difference) -> dict[str, float]:
    """A score or a difference x 100, and its interval beside it."""
    return {name: 100 * found.value, f"{name} low": 100 * found.low, f"{name} high": 100 * found.high}


def overlaps(name: str, task: STSTask) -> dict[str, float]:
    """What `llmagentos evaluate` shows as floors of sentence pairs: fitted on the sentences themselves."""
    found: dict[str, float] = {}
    for floor in floors_of_task(task):
        sample = floor.samples["spearman"]
        one = Scored(sample.values, sample.gold)
        if name in STS_ZH and floor.label == CHARACTERS:
            found |= named("jaccard", {name: one})
        else:
            found[f"{name}, {floor.label} of the sentences"] = one.value
    return found


def jaccard_floor(tasks: Mapping[str, Task]) -> dict[str, Scored]:
    """Sets of characters in common, for sentence pairs."""
    found: dict[str, Scored] = {}
    for name, task in tasks.items():
        assert isinstance(task, STSTask)
        samples = {floor.label: floor.samples["spearman"] for floor in floors_of_task(task)}
        found[name] = Scored(samples[CHARACTERS].values, samples[CHARACTERS].gold)
    return found


def plain_means(method: Bm25 | ByVectors, tasks: Mapping[str, Task]) -> dict[str, float]:
    """MetaTool as `../shared/score.py` counts it: every request the same."""
    label = "bm25" if isinstance(method, Bm25) else "minilm"
    return {
        f"{name}, {label}, mean over requests": score(method, {name: task.ranking})[name].value
        for name, task in tasks.items()
        if isinstance(task, ToolTask)
    }


def chinese_texts() -> Iterator[str]:
    """The Chinese corpora, for the frequencies of characters."""
    for name in CHINESE:
        for row in read_rows(name):
            yield row["text"]
