"""The forms that one Chinese text is written in: traditional, in full width, in half width."""

from collections.abc import Sequence

from opencc import OpenCC

from benchmarks.learning._methods import of_model
from llmagentos.evaluation import Encodes

TRADITIONAL = ("s2t", "s2tw", "s2hk")  # OpenCC's, Taiwan's and Hong Kong's characters, without their words
_WIDE = {chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)}
FULL_WIDTH = str.maketrans(_WIDE | {" ": "\u3000"})
HALF_WIDTH = str.maketrans({wide: narrow for narrow, wide in _WIDE.items()} | {"。": "｡"})


def forms(texts: Sequence[str]) -> dict[str, list[str]]:
    """Texts in simplified characters, in each of their other forms.

    Examples:
        >>> found = forms(["学习AI。"])
        >>> found["s2t"], found["full"], found["half"]
        (['學習AI。'], ['学习ＡＩ。'], ['学习AI｡'])
    """
    found = {standard: list(map(OpenCC(standard).convert, texts)) for standard in TRADITIONAL}
    return found | {
        "full": [text.translate(FULL_WIDTH) for text in texts],
        "half": [text.translate(HALF_WIDTH) for text in texts],
    }


def least_cosine_of_forms(model: Encodes, texts: Sequence[str]) -> float:
    """The least cosine of any text and any of its forms; 1 where all have one vector.

    Args:
        model: to ask.
        texts: simplified.
    """
    vectors = of_model(model, "forms")
    return float(min(vectors.of_pairs(texts, others).min() for others in forms(texts).values()))
