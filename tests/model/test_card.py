"""The card: valid front matter, and every figure beside what it must be compared to."""

from typing import Any

import yaml

from llmagentos.model import CardScore, CardSource, ModelCard

CARD = ModelCard(
    name="Papers: a 'static' model",
    summary="Finds the abstract to a title.",
    languages=("en", "zh"),
    base_model="owner/model",
    sources=(
        CardSource(name="abstracts.jsonl", documents=107_000, drops={"too short": 3, "duplicate": 1200}),
        CardSource(name="zh.jsonl", documents=5),
    ),
    recipe="[loss]\ntemperature = 0.05\n",
    scores=(
        CardScore(task="STS", metric="Spearman", value=63.44, low=61, high=65, floors={"word TF-IDF": 69.9}),
        CardScore(
            task="search", metric="MRR@10", value=93.0, low=92, high=94, floors={"BM25": 91, "none": 1}
        ),
    ),
    limits=("It knows no word order.",),
)


def front_matter(text: str) -> dict[str, Any]:
    _, matter, _ = text.split("---\n", 2)
    loaded: dict[str, Any] = yaml.safe_load(matter)
    return loaded


def test_front_matter_is_what_the_hub_reads() -> None:
    assert front_matter(CARD.render()) == {
        "language": ["en", "zh"],
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "base_model": "owner/model",
        "tags": ["sentence-transformers", "sentence-similarity", "feature-extraction", "llmagentos"],
    }


def test_unknown_things_are_left_out() -> None:
    text = ModelCard(name="m", summary="s").render()
    assert {"language", "base_model"}.isdisjoint(front_matter(text))
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# m", "## Use"]


def test_data_recipe_and_limits() -> None:
    text = CARD.render()
    assert "- abstracts.jsonl: 107,000 documents used; left out: 1,200 duplicate, 3 too short" in text
    assert "- zh.jsonl: 5 documents used\n" in text
    assert "```toml\n[loss]\ntemperature = 0.05\n```" in text
    assert "- It knows no word order." in text


def test_a_score_below_its_floor_is_marked() -> None:
    text = CARD.render()
    assert "| STS | Spearman | 63.4 (61.0 to 65.0), below | word TF-IDF 69.9 |" in text
    assert "| search | MRR@10 | 93.0 (92.0 to 94.0) | BM25 91.0; none 1.0 |" in text
