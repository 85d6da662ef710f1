"""Structural pairs beside views of single texts: a title and its text are two views of one thing.

Of the items of an epoch a share are pairs, the others texts of which two views are made. Item i is the text
i of the store, or behind the last text a pair: when there are fewer pairs than the share asks for they come
again, when there are more, later epochs have the others. They are shuffled once: in the order of the text one
epoch of arXiv's papers and Ubuntu's chat had nothing but titles, and the next nothing but replies.
"""

from typing import Final

import numpy as np

from llmagentos.tokens import PairStore, TokenBatch, concatenated
from llmagentos.views._crops import crop
from llmagentos.views._operations import delete
from llmagentos.views._permutation import permuted
from llmagentos.views._random import Ints, UInts, subkeys, text_keys
from llmagentos.views._recipe import Recipe
from llmagentos.views._units import UnitBatch
from llmagentos.views._views import ViewBatch, Views

# Words of the first side, as a title is the same in every epoch. arXiv cs, 800 steps of 1,024 from nothing,
# one seed, papers of 2019 (all, the fifth with the least words in common, without the words of the title):
# 93.9 / 84.5 / 30.1 with all words, 94.2 / 84.8 / 31.8 with 30% left out. On chat 20.6 linked
# messages were found with all words and 20.5 with 20% of both sides left out.
_LEFT_OUT: Final = 0.3


class PairedViews:
    """Makes the two sides of each item, each a pure function of (seed, epoch, index).

    Args:
        views: of the single texts; its recipe says the share of pairs.
        pairs: found beside the same store.

    Example:
        A share of 0.25 of 3 texts adds 1 pair to an epoch:

        >>> num_pairs_for(0.25, num_texts=3)
        1
    """

    def __init__(self, views: Views, pairs: PairStore) -> None:
        self.recipe: Recipe = views.recipe
        self._views, self._pairs = views, pairs
        alone = self.recipe.pairs == 1.0
        self._num_texts = 0 if alone else len(pairs.store)
        self._num_pairs = len(pairs) if alone else num_pairs_for(self.recipe.pairs, num_texts=self._num_texts)

    def __len__(self) -> int:
        """Items of an epoch."""
        return self._num_texts + self._num_pairs

    def views(self, indices: Ints, *, seed: int, epoch: int, max_tokens: int) -> ViewBatch:
        """Two sides of each item; those of single texts come first.

        Args:
            indices: int64 (N,), 0 to the number of items - 1.
            seed: any integer.
            epoch: any integer.
            max_tokens: most tokens of a side, >= 1; of a longer one a span that lies anywhere.

        Returns:
            N pairs; hash and group are those of the text that a pair is from. Of the first side of a
            structural pair 30% of the words are left out.
        """
        is_text = indices < self._num_texts
        texts = self._views.views(indices[is_text], seed=seed, epoch=epoch, max_tokens=max_tokens)
        items = indices[~is_text]
        places = (items - self._num_texts + epoch * self._num_pairs) % len(self._pairs)
        numbers = permuted(places, len(self._pairs), seed=seed, epoch=0)
        keys = text_keys(seed, epoch, items)
        first, second = (
            _cut(side, max_tokens, subkeys(keys, number))
            for number, side in enumerate(self._pairs.batch(numbers))
        )
        first = delete(first, _LEFT_OUT, subkeys(keys, 2))
        return ViewBatch(
            a=concatenated([texts.a, first.to_tokens()]),
            b=concatenated([texts.b, second.to_tokens()]),
            hashes=np.concatenate([texts.hashes, self._pairs.hashes[numbers]]),
            groups=np.concatenate([texts.groups, self._pairs.groups[numbers]]),
        )


def num_pairs_for(share: float, *, num_texts: int) -> int:
    """Pairs that are that share of an epoch, share in (0, 1)."""
    return max(1, round(num_texts * share / (1 - share)))


def _cut(side: TokenBatch, max_tokens: int, keys: UInts) -> UnitBatch:
    return crop(UnitBatch.from_tokens(side, max_tokens, None), 1.0, 1.0, max_tokens, keys)
