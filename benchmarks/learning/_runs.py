"""The runs behind the units: a source, what is trained on it, and what is asked of it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from benchmarks._command import train
from benchmarks._tasks import sts
from benchmarks.learning._floors import chinese_texts, jaccard_floor
from benchmarks.learning._forms import least_cosine_of_forms
from benchmarks.learning._kept import minilm
from benchmarks.learning._methods import Bm25, of_model, of_words
from benchmarks.learning._score import Scored, score, svm_floor
from benchmarks.learning._split import LabelledTask, Split, Task, write_rows
from benchmarks.learning._suite import CHINESE, STSB, TECHDOCS, arxiv, intents, irc, metatool, sentences
from benchmarks.learning._trained import Others, by, named_task, trained
from llmagentos import EmbeddingModel
from llmagentos.evaluation import Encodes, STSTask

Against = Mapping[str, Sequence[str]]
"""By task, the names of what it is compared with."""


def as_it_is() -> Callable[[Mapping[str, Task]], Mapping[str, Scored]]:
    """all-MiniLM-L6-v2."""
    return by(of_model(minilm(), "minilm"))


def _others(split: Split) -> Others:
    words = of_words(row["text"] for row in split.training)
    return {"bm25": by(Bm25()), "tfidf": by(words), "minilm": as_it_is()}


def on_arxiv(
    name: str, folder: Path, asked: Sequence[str], against: Against, options: Sequence[str]
) -> dict[str, float]:
    """Papers; `asked` are the tasks that are measured."""
    split = arxiv()
    tasks = {**split.tasks["report"], "stsb": sts(STSB["report"]), **intents("report")}
    rows = write_rows(split.training, folder / "papers.jsonl")
    wanted = {task: tasks[task] for task in asked}
    return trained(name, folder, [rows], wanted, _others(split), against, *options)


def on_irc(name: str, folder: Path, options: Sequence[str]) -> dict[str, float]:
    """Chat."""
    split = irc()
    others = _others(split)
    rows = write_rows(split.training, folder / "messages.jsonl")
    return trained(name, folder, [rows], split.tasks["report"], others, {"irc": list(others)}, *options)


def on_technical(name: str, folder: Path, against: Against, options: Sequence[str]) -> dict[str, float]:
    """Technical documents and chat, asked about requests of other kinds."""

    def svm(tasks: Mapping[str, Task]) -> dict[str, Scored]:
        return {name: svm_floor(task) for name, task in tasks.items() if isinstance(task, LabelledTask)}

    messages = write_rows(irc().training, folder / "messages.jsonl")
    others: Others = {"minilm": as_it_is(), "svm": svm}
    return trained(name, folder, [*TECHDOCS, messages], intents("report"), others, against, *options)


def on_metatool(name: str, folder: Path, options: Sequence[str], *, alone: bool) -> dict[str, float]:
    """Tools and a quarter of the requests, alone or with technical documents and chat."""
    split = metatool()
    others = _others(split)
    rows = write_rows(split.training, folder / "requests.jsonl")
    inputs: list[str | Path] = [rows]
    if not alone:
        inputs += [*TECHDOCS, write_rows(irc().training, folder / "messages.jsonl")]
    return trained(name, folder, inputs, split.tasks["report"], others, {"metatool": list(others)}, *options)


def on_chinese(
    name: str, folder: Path, asked: Sequence[str], against: Against, options: Sequence[str]
) -> dict[str, float]:
    """The Chinese corpora."""
    tasks = {task: one for task, one in sentences("report").items() if task in asked}
    others: Others = {
        "characters": by(of_words(chinese_texts(), "char")),
        "jaccard": jaccard_floor,
        "minilm": as_it_is(),
    }
    found = trained(name, folder, CHINESE, tasks, others, against, *options)
    model, task = EmbeddingModel.load(folder / "model"), tasks["stsb-zh"]
    assert isinstance(task, STSTask)
    return found | {f"learning-{name}-forms": least_cosine_of_forms(model, [*task.left, *task.right])}


def small_beside_static(
    name: str, folder: Path, split: Split, asked: str, options: Sequence[str]
) -> dict[str, float]:
    """`small` and `static` on the same text for as long, on the corpus's own retrieval task and on STS-B."""
    tasks: dict[str, Task] = {asked: split.tasks["report"][asked], "stsb": sts(STSB["report"])}
    rows = write_rows(split.training, folder / "rows.jsonl")
    train([rows], folder / "static", *options)
    static = by(of_model(EmbeddingModel.load(folder / "static"), "static"))
    against = {task: ["static"] for task in tasks}
    found = trained(name, folder, [rows], tasks, {"static": static}, against, *options, "--encoder", "small")
    return found | transformer_kept(folder / "model")


def transformer_kept(folder: Path) -> dict[str, float]:
    """Whether the model of a run of `small` is more than its table."""
    return {"a Transformer is kept": float((folder / "config.json").exists())}


def of_peer(name: str, model: Encodes, asked: Sequence[str]) -> dict[str, float]:
    """What a peer that was trained on papers scores."""
    tasks = {**arxiv().tasks["report"], "stsb": sts(STSB["report"])}
    return named_task(f"peer-{name}", score(of_model(model, name), {task: tasks[task] for task in asked}))


def probed(
    corpus: str, folder: Path, recipes: Mapping[str, Sequence[str]], options: Sequence[str]
) -> dict[str, float]:
    """The default beside recipes that are set by hand, on one of the four corpora.

    Args:
        corpus: arxiv, irc, technical (technical documents, asked about requests), chinese.
        folder: to work in.
        recipes: settings by name.
        options: of every run.

    Returns:
        The mean over the corpus's tasks for each recipe and for the default, and by how much that lies over
        the best recipe.
    """
    inputs: Sequence[str | Path]
    tasks: Mapping[str, Task]
    if corpus in ("arxiv", "irc"):
        split = {"arxiv": arxiv, "irc": irc}[corpus]()
        inputs, tasks = [write_rows(split.training, folder / "rows.jsonl")], split.tasks["report"]
    elif corpus == "technical":
        inputs = TECHDOCS
        tasks = {name: task for name, task in intents("report").items() if name.endswith("-knn")}
    else:
        inputs, tasks = CHINESE, {name: one for name, one in sentences("report").items() if name != "stsb"}
    found: dict[str, float] = {}
    means: dict[str, float] = {}
    for recipe, settings in {**recipes, "default": ()}.items():
        out = folder / recipe
        train(inputs, out, *options, *(part for setting in settings for part in ("--set", setting)))
        scores = score(of_model(EmbeddingModel.load(out), recipe), tasks)
        found |= {f"{task}, {recipe}": one.value for task, one in scores.items()}
        means[recipe] = fmean(one.value for one in scores.values())
    best = max(means[recipe] for recipe in recipes)
    found |= {f"learning-probe-{corpus}-{recipe}": mean for recipe, mean in means.items()}
    return found | {f"learning-probe-{corpus}-over-best": means["default"] - best}
