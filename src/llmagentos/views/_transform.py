"""Fresh views wherever somebody else's loop asks for rows: a transform for Hugging Face datasets.

    texts = ["...", ...]
    transform = ViewTransform(Views(texts))
    dataset = Dataset.from_dict({"index": range(len(texts))}).with_transform(transform)
    dataset[:2]  # {"anchor": [two first views], "positive": [two second views]}

The dataset holds places and the transform makes the strings, so an epoch costs no memory and the views do
not depend on batches, workers or order.
"""

from collections.abc import Mapping, Sequence

from llmagentos.errors import InputError
from llmagentos.views._views import Views


class ViewTransform:
    """From rows with the place of a text to rows with two views of it.

    Args:
        views: of plain strings.
        seed: any integer.
        index: column with the place of the text in the texts of `views`.
        columns: names of the two views, different; "anchor" and "positive" are what losses on pairs expect.

    Raises:
        InputError: both columns have one name.

    Attributes:
        epoch: set it before each epoch (a trainer's callback can); each epoch has views of its own.

    Example:
        >>> transform = ViewTransform(Views(["one text of some words", "another text"]))
        >>> rows = transform({"index": [1, 0]})
        >>> list(rows), len(rows["anchor"])
        (['anchor', 'positive'], 2)
    """

    def __init__(
        self,
        views: Views,
        *,
        seed: int = 0,
        index: str = "index",
        columns: tuple[str, str] = ("anchor", "positive"),
    ) -> None:
        if len(set(columns)) != 2:
            raise InputError(f"the two views need two different columns, got {columns!r}")
        self.epoch = 0
        self._views = views
        self._seed = seed
        self._index = index
        self._columns = columns

    def __call__(self, rows: Mapping[str, Sequence[int]]) -> dict[str, list[str]]:
        """Make the views of some rows.

        Args:
            rows: columns of N values each.

        Returns:
            The two columns of N strings.

        Raises:
            InputError: there is no such column, or a place is none of a text.
        """
        if self._index not in rows:
            raise InputError(
                f"the rows have no column {self._index!r}, only {', '.join(rows) or 'none'}; add one with "
                "the place of each text, 0, 1, 2, ..."
            )
        pairs = self._views.strings(rows[self._index], seed=self._seed, epoch=self.epoch)
        return {name: [pair[side] for pair in pairs] for side, name in enumerate(self._columns)}
