"""What a token is, by its id: one table a vocabulary, so that operations need not read text.

A token is (part of) a word or not, and it owes something to its place or not: a leading space (U+2581,
or U+0120 in byte-level BPE), or WordPiece's sign that the word goes on.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from llmagentos.tokens import UNSPACED, character_classes
from llmagentos.tokens import WORD as WORD_CLASS
from llmagentos.views._spelling import Spelling

WORD: Final = 1
"""Trait: begins with a letter or a digit, or is a part of a character ("'s" is none)."""
SPACED: Final = 2
"""Trait: brings the space in front of it."""
GOES_ON: Final = 4
"""Trait: goes on without a space where a space is the rule (WordPiece's "##")."""
BLANK: Final = 8
"""Trait: nothing but white space, and not just the space that a word brings: a line end, an indentation."""
JOIN: Final = SPACED | GOES_ON
"""Mask: how a token is joined to what stands before it."""


def token_traits(tokenizer: Tokenizer) -> NDArray[np.uint8]:
    """The traits of every token of a vocabulary.

    Args:
        tokenizer: V - 1 is its highest id.

    Returns:
        uint8 (V,); 0.1 s for 100,000 tokens.
    """
    spelling = Spelling(tokenizer)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    traits = np.zeros(max(vocabulary.values(), default=-1) + 1, dtype=np.uint8)
    for piece, number in vocabulary.items():
        marker = spelling.marker_of(piece)
        word = spelling.plain(piece.removeprefix(marker))
        is_word = word is None or character_classes(word[:1]).tolist() in ([WORD_CLASS], [UNSPACED])
        join = 0 if not marker else SPACED if marker == spelling.marker else GOES_ON
        if (word and not word.replace(spelling.marker or " ", " ").strip()) or spelling.is_blank_byte(piece):
            traits[number] = BLANK
        else:
            traits[number] = join | (WORD if is_word else 0)
    return traits
