"""Whether a comparison of two loss curves says what it should."""

from tests.training.golden import STEPS
from tools.golden_compare import ROOT, curve, first_difference


def test_the_same_tree_gives_the_same_bits() -> None:
    first, second = curve(ROOT), curve(ROOT)
    assert len(first) == STEPS and first_difference(first, second) is None


def test_the_first_other_bit_is_named() -> None:
    assert first_difference([2.0, 1.5, 1.0], [2.0, 1.25, 0.5]) == "step 2: loss 1.5 here, 1.25 there"
