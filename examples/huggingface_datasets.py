"""Views inside Hugging Face datasets: made whenever rows are read (lazy), or written down once.

Run it:  python examples/huggingface_datasets.py     (needs: pip install datasets)

Lazy is what training wants: every epoch sees new views, and the dataset holds nothing but numbers.
"""

from datasets import Dataset

from llmagentos.views import Views, ViewsConfig, ViewTransform

TEXTS = [
    f"The {animal} crosses the {place} at {hour} o'clock. It waits there for a while, and then it goes home."
    for hour in range(1, 5)
    for animal in ("old grey cat", "neighbour's dog", "fox")
    for place in ("quiet street", "garden", "frozen river")
]


def lazy(views: Views) -> None:
    """Rows hold the places of texts; the transform turns places into two columns of strings."""
    transform = ViewTransform(views, seed=7)
    dataset = Dataset.from_dict({"index": range(len(TEXTS))}).with_transform(transform)
    for epoch in range(3):
        transform.epoch = epoch
        print(f"  epoch {epoch}: {dataset[0]}")
    # A view depends on (seed, epoch, place) and on nothing else, so order and batches do not matter.
    shuffled = dataset.shuffle(seed=1)
    row = list(shuffled.with_format(None)["index"]).index(0)
    print(f"  shuffled, the first text is row {row} with the same views: {shuffled[row] == dataset[0]}")


def written_down(views: Views) -> None:
    """For a tool that wants columns: one epoch of pairs, saved like any dataset; made in batches of 1,000."""

    def pairs(_: dict[str, list[str]], indices: list[int]) -> dict[str, list[str]]:
        anchors, positives = zip(*views.strings(indices, seed=7, epoch=0), strict=True)
        return {"anchor": list(anchors), "positive": list(positives)}

    dataset = Dataset.from_dict({"text": TEXTS}).map(pairs, with_indices=True, batched=True)
    print(f"  {dataset.num_rows} rows of {', '.join(dataset.column_names)}")
    print(f"  {dataset[0]}")


def main() -> None:
    """Run both; their views of one text in one epoch are the same."""
    views = Views(TEXTS, ViewsConfig(preset="span"))
    for show in (lazy, written_down):
        print(f"\n{show.__name__}: {show.__doc__}")
        show(views)


if __name__ == "__main__":
    main()
