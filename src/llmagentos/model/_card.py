"""The model card: what a model was made from, how, how good it is and where it fails, in plain words."""

import json
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class CardScore:
    """One measured figure with what it must be compared to.

    Attributes:
        task: What was measured, for example `title -> abstract, 2,000 held-out papers`.
        metric: For example `MRR@10` or `Spearman`, times 100.
        value: The score, times 100.
        low: Lower end of the 95% interval.
        high: Upper end of the 95% interval.
        floors: Score of each trivial method or peer on the same task, by name.
    """

    task: str
    metric: str
    value: float
    low: float
    high: float
    floors: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSource:
    """One source of training text.

    Attributes:
        name: File or set, without machine paths.
        documents: Documents used.
        drops: Documents left out, by reason.
    """

    name: str
    documents: int
    drops: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """All that the README.md of a model folder says.

    Attributes:
        name: Title of the card.
        summary: One or two sentences: what the model is for.
        languages: ISO 639-1 codes of the training text, such as `en` and `zh`.
        base_model: Hub id of the model it started from; "" = from nothing.
        sources: Training text.
        recipe: The resolved configuration as TOML.
        scores: Measured figures.
        limits: What the model cannot do, one sentence each.

    Example:
        >>> card = ModelCard(name="papers", summary="Finds papers.", languages=("en",))
        >>> card.render().splitlines()[1]
        'language: ["en"]'
    """

    name: str
    summary: str
    languages: tuple[str, ...] = ()
    base_model: str = ""
    sources: tuple[CardSource, ...] = ()
    recipe: str = ""
    scores: tuple[CardScore, ...] = ()
    limits: tuple[str, ...] = ()

    def render(self) -> str:
        """The card as Markdown with the YAML front matter that the Hugging Face hub reads."""
        sections = [
            self._front_matter(),
            f"# {self.name}\n\n{self.summary}",
            _USE,
            _section("Data", _data(self.sources)),
            _section("Recipe", f"```toml\n{self.recipe.strip()}\n```" if self.recipe.strip() else ""),
            _section("Scores", _scores(self.scores)),
            _section("Limits", "\n".join(f"- {limit}" for limit in self.limits)),
        ]
        return "\n\n".join(section for section in sections if section) + "\n"

    def _front_matter(self) -> str:
        entries: dict[str, str | list[str]] = {
            "language": list(self.languages),
            "library_name": "sentence-transformers",
            "pipeline_tag": "sentence-similarity",
            "base_model": self.base_model,
            "tags": ["sentence-transformers", "sentence-similarity", "feature-extraction", "llmagentos"],
        }
        # JSON values are valid YAML, whatever a name contains.
        lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in entries.items() if value]
        return "\n".join(["---", *lines, "---"])


_USE = """## Use

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("PATH OF THIS FOLDER")
vectors = model.encode(["first text", "second text"])  # rows of length 1
```"""


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _data(sources: tuple[CardSource, ...]) -> str:
    lines = []
    for source in sources:
        line = f"- {source.name}: {source.documents:,} documents used"
        if source.drops:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(source.drops.items()))
            line += f"; left out: {reasons}"
        lines.append(line)
    return "\n".join(lines)


def _scores(scores: tuple[CardScore, ...]) -> str:
    if not scores:
        return ""
    rows = [
        "All scores are times 100, with the 95% interval of a bootstrap. A score below one of the figures it "
        "is compared to is marked.",
        "",
        "| task | measure | this model | compared to |",
        "|---|---|---|---|",
    ]
    for score in scores:
        floors = "; ".join(f"{name} {value:.1f}" for name, value in score.floors.items())
        value = f"{score.value:.1f} ({score.low:.1f} to {score.high:.1f})"
        if any(score.value < floor for floor in score.floors.values()):
            value += ", below"
        rows.append(f"| {score.task} | {score.metric} | {value} | {floors} |".replace("\n", " "))
    return "\n".join(rows)
