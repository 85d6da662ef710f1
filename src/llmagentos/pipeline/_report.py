"""What a finished run says of itself: scores on held-out text, a page, a model card."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from llmagentos.config import Config
from llmagentos.evaluation import (
    Encodes,
    EvaluationReport,
    RetrievalTask,
    Task,
    TaskResult,
    evaluate,
    nearest_neighbours,
    rank_changes,
    text_map,
    write_report,
)
from llmagentos.loss import alignment, uniformity
from llmagentos.model import CardScore, CardSource, ModelCard
from llmagentos.pipeline._preparing import Prepared
from llmagentos.pipeline._probe import told
from llmagentos.pipeline._progress import OnProgress, Update
from llmagentos.pipeline._verdict import Verdict
from llmagentos.training import TrainingResult, read_metrics

_MAPPED_TEXTS: Final = 2_000
_MAP_COLOURS: Final = 8
_MEASURED_PAIRS: Final = 2_000
_SHOWN_NEIGHBOURS: Final = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """A finished training run, as the reports tell it."""

    encoder: str
    static: bool
    prepared: Prepared
    verdict: Verdict | None
    result: TrainingResult
    work: Path


class Remembering:
    """An encoder that embeds every text once, for the scores, the neighbours and the map.

    Args:
        model: anything with `encode`.
    """

    def __init__(self, model: Encodes) -> None:
        self._model = model
        self._vectors: dict[str, npt.NDArray[np.floating]] = {}

    def encode(self, texts: Sequence[str], /) -> npt.NDArray[np.floating]:
        """One row a text, (n, D)."""
        new = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if new:
            self._vectors.update(zip(new, self._model.encode(new), strict=True))
        return np.stack([self._vectors[text] for text in texts])


def measure(
    model: Encodes, before: Encodes, tasks: Sequence[Task], on_progress: OnProgress
) -> EvaluationReport:
    """Scores of the model on held-out text and guards, beside floors and the encoder before training."""
    return evaluate(
        model,
        tasks,
        label="this model",
        baselines={"before training": before},
        on_progress=lambda done, total, what: on_progress(
            Update(stage="evaluation", done=done, total=total, note=what)
        ),
    )


def model_card(story: Story, report: EvaluationReport | None) -> ModelCard:
    """The README.md of the model folder."""
    manifest, store = story.prepared.corpus.manifest, story.prepared.store
    is_new = story.encoder in ("static", "small")
    names = ", ".join(Path(one.path).name or one.path for one in manifest.inputs[:5]) or "a stream of texts"
    more = len(manifest.inputs) - 5
    return ModelCard(
        name=f"LLMAgentOS {'static' if story.static and is_new else Path(story.encoder).name}",
        summary=(
            f"Embeds texts for search, clustering and comparison. Learned without labels from "
            f"{store.num_documents:,} texts ({store.num_tokens:,} tokens) by contrastive "
            f"learning, in {story.result.seconds / 60:.1f} minutes of training."
        ),
        languages=tuple(sorted(language for language in manifest.languages if language)),
        base_model=_base_model(story.encoder),
        sources=(
            CardSource(
                name=names + (f" and {more} more" if more > 0 else ""),
                documents=manifest.num_training,
                drops=manifest.dropped,
            ),
        ),
        recipe=_without_paths(story.prepared.config).to_toml(),
        scores=() if report is None else tuple(_card_score(result) for result in report.results),
        limits=(
            _titles(story),
            *(
                ("all-MiniLM-L6-v2 was itself trained on scientific titles and abstracts.",)
                if story.encoder == "minilm"
                else ()
            ),
            *((_not_kept(story.verdict),) if story.verdict and not story.verdict.kept else ()),
            *(
                (f"Its first vectors of words came in part from {Path(teacher).name}.",)
                if (teacher := story.prepared.config.encoder.teacher)
                else ()
            ),
            "It knows the language and the subjects of its training text; on others, measure before use.",
            *(
                ("It adds up word vectors: the order of words, and so who did what to whom, is lost.",)
                if story.static
                else ()
            ),
            "Held-out texts come from the same source as the training texts; other sources score lower.",
        ),
    )


def _not_kept(verdict: Verdict) -> str:
    kinds = f" at {' and '.join(verdict.fell)}" if verdict.fell else ""
    if verdict.must_be_better:
        how = f"was worse{kinds}" if kinds else "was not better beyond chance"
        return f"A Transformer that grew on this table {how}, so it is the table alone."
    return f"Training made it worse{kinds}, so this is what the run started from."


def _titles(story: Story) -> str:
    if number := story.prepared.num_pairs.get("title"):
        return (
            f"{number:,} titles were trained on beside their texts, so that finding a text by "
            "its title is what it was trained for."
        )
    if story.prepared.titles_matched:
        chose = "chose among kinds of views" if story.prepared.trials else "said whether to keep the model"
        return f"Titles were not trained on; those of texts kept aside {chose}."
    return "Titles were not used in training; the texts alone were."


def _base_model(encoder: str) -> str:
    if encoder in ("static", "small"):
        return ""
    if encoder == "minilm":
        return "sentence-transformers/all-MiniLM-L6-v2"
    # A folder of this machine says nothing to others.
    return "" if os.path.isdir(os.path.expanduser(encoder)) else encoder


def _without_paths(config: Config) -> Config:
    """A folder of this machine says nothing to others."""
    teacher = config.encoder.teacher
    named = replace(config.encoder, teacher=None if teacher is None else Path(teacher).name)
    return replace(config, encoder=named)


def _card_score(result: TaskResult) -> CardScore:
    score = result.score(result.primary)
    return CardScore(
        task=f"{result.task}, {result.size}",
        metric=result.primary,
        value=score.value,
        low=score.low,
        high=score.high,
        floors={one.label: one.score(result.primary).value for one in result.comparisons},
    )


def write_reports(
    folder: Path,
    story: Story,
    report: EvaluationReport | None,
    before: Encodes,
    after: Encodes,
    on_progress: OnProgress,
) -> None:
    """Put what a person or a judge wants to see beside the model's own files.

    config.toml, heldout.jsonl, manifest.json (of the corpus), metrics.jsonl, tensorboard/, and where anything
    was measured report.json and report.html.
    """
    (folder / "config.toml").write_text(_with_command(story), encoding="utf-8")
    shutil.copy(story.prepared.corpus.path / "manifest.json", folder / "manifest.json")
    shutil.copy(story.work / "heldout.jsonl", folder / "heldout.jsonl")
    shutil.copy(story.work / "run" / "metrics.jsonl", folder / "metrics.jsonl")
    shutil.copytree(story.work / "run" / "tensorboard", folder / "tensorboard")
    if report is None:
        return
    report.write_json(folder / "report.json")
    on_progress(Update(stage="report", done=0, total=1, note="map and neighbours"))
    facts = _facts(story)
    shown: dict[str, Any] = {}
    if (task := story.prepared.task) is not None:
        facts |= _geometry(before, after, task)
        texts = list(task.documents[:_MAPPED_TEXTS])
        shown = {
            "changes": rank_changes(before, after, task),
            "neighbours": nearest_neighbours(before, after, texts, num_queries=_SHOWN_NEIGHBOURS),
            "text_map": text_map(after.encode(texts), _labels(task.queries[:_MAPPED_TEXTS])),
        }
    write_report(
        folder / "report.html",
        title="What the model learned",
        report=report,
        facts=facts,
        metrics=[asdict(row) for row in read_metrics(story.work / "run" / "metrics.jsonl")],
        **shown,
    )
    on_progress(Update(stage="report", done=1, total=1))


def _with_command(story: Story) -> str:
    """The configuration, and what the command line said beside it."""
    num_entries = story.prepared.store.tokenizer.get_vocab_size()
    lines = [
        f"encoder {story.encoder}, {story.result.steps} steps, {num_entries} "
        "entries in the tokenizer, learned from:",
        *(json.dumps(one.path, ensure_ascii=False) for one in story.prepared.corpus.manifest.inputs),
        f"in the same way: llmagentos train INPUT... --encoder {story.encoder} --steps {story.result.steps} "
        "--config config.toml",
    ]
    return "".join(f"# {line}\n" for line in lines) + "\n" + story.prepared.config.to_toml()


def _facts(story: Story) -> dict[str, object]:
    manifest, training = story.prepared.corpus.manifest, story.prepared.config.training
    return {
        "encoder": story.encoder,
        "texts for training": manifest.num_training,
        "texts held out": manifest.num_heldout,
        "tokens": story.prepared.store.num_tokens,
        "left out": ", ".join(f"{count:,} {reason}" for reason, count in manifest.dropped.items())
        or "nothing",
        "views": story.prepared.config.views.preset or "",
        **(
            {"pairs": ", ".join(f"{number:,} {kind}" for kind, number in story.prepared.num_pairs.items())}
            if story.prepared.num_pairs
            else {}
        ),
        **(
            {"why this recipe": recipes}
            if (recipes := told(story.prepared.trials, story.prepared.untried))
            else {}
        ),
        **({"verdict": str(story.verdict)} if story.verdict else {}),
        "steps": story.result.steps,
        "epochs": round(story.result.epochs, 1),
        "texts a step": story.result.batch_size,
        "minutes of training": round(story.result.seconds / 60, 1),
        "temperature": story.prepared.config.loss.temperature,
        "learning rate": training.learning_rate,
        "seed": training.seed,
        "titles": _titles(story),
    }


def _geometry(before: Encodes, after: Encodes, task: RetrievalTask) -> dict[str, str]:
    """Alignment and uniformity of held-out queries and their texts, before and after training."""
    import torch  # 1 s

    texts = [list(part[:_MEASURED_PAIRS]) for part in task.parts]
    sides = [[torch.from_numpy(model.encode(part)) for part in texts] for model in (before, after)]
    measured = {
        "alignment of held-out pairs": [alignment(*pair).item() for pair in sides],
        "uniformity of held-out texts": [uniformity(documents).item() for _, documents in sides],
    }
    return {name: f"{old:.2f} before, {new:.2f} after training" for name, (old, new) in measured.items()}


def _labels(titles: Sequence[str]) -> list[str]:
    """A colour for each text: the top-level name of titles such as `json.dumps: ...`, if they are such."""
    heads = [title.partition(":")[0].partition(".")[0].strip() for title in titles]
    names, counts = np.unique(heads, return_counts=True)
    common = set(names[np.argsort(-counts)[:_MAP_COLOURS]])
    if counts.max(initial=0) < len(titles) / 50:
        return ["held-out texts"] * len(titles)
    return [head if head in common else "others" for head in heads]
