"""That the check of shapes is on, and that it catches what it has to."""

import numpy as np
import pytest
from jaxtyping import Float, jaxtyped

from tools import checked

Vectors = Float[np.ndarray, "N D"]


@jaxtyped(typechecker=checked)
def paired(a: Vectors, b: Vectors, *, scale: float = 1.0) -> Float[np.ndarray, " N"]:
    products: Vectors = scale * a * b
    return np.asarray(products.sum(axis=1 if scale > 0 else 0))


def test_shapes_that_agree_pass() -> None:
    assert paired(np.ones((2, 3)), b=np.ones((2, 3))).tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("a", "b", "scale", "what"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), 1.0, "parameters of .*paired[^@]*parameter 'b'"),
        (np.ones((2, 3), dtype=np.int64), np.ones((2, 3)), 1.0, "parameters of .*paired[^@]*parameter 'a'"),
        (np.ones((2, 3)), np.ones((2, 3)), -1.0, "return value of .*paired"),
    ],
)
def test_shapes_that_do_not_agree_are_an_error(a: Vectors, b: Vectors, scale: float, what: str) -> None:
    with pytest.raises(TypeError, match=what):
        paired(a, b, scale=scale)


def test_the_stages_are_checked() -> None:
    from llmagentos.tokens import TokenBatch

    with pytest.raises(TypeError, match="parameter 'tokens'"):
        TokenBatch(tokens=np.zeros(2), offsets=np.array([0, 2]), flags=np.zeros(2, dtype=np.uint8))
