"""The four diagnostics against their definitions, at chance and at collapse."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from llmagentos.loss import alignment, dimension_deviation, effective_rank, uniformity


@pytest.fixture
def random_rows() -> Tensor:
    return torch.randn(600, 16, generator=torch.Generator().manual_seed(0))


def test_definitions(random_rows: Tensor) -> None:
    z = functional.normalize(random_rows.double(), dim=1).numpy()
    first, second = z[:300], z[300:]
    assert alignment(random_rows[:300], random_rows[300:]).item() == pytest.approx(
        float(np.mean(np.sum((first - second) ** 2, 1))), rel=1e-5
    )
    distances = ((z[:, None] - z[None]) ** 2).sum(2)[np.triu_indices(len(z), 1)]
    assert uniformity(random_rows).item() == pytest.approx(np.log(np.exp(-2 * distances).mean()), rel=1e-5)
    singular = np.linalg.svd(z, compute_uv=False)
    p = singular / singular.sum()
    assert effective_rank(random_rows).item() == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)
    assert effective_rank(random_rows.T).item() <= 16
    assert dimension_deviation(random_rows).item() == pytest.approx(4 * z.std(0).mean(), rel=1e-5)


def test_at_chance(random_rows: Tensor) -> None:
    assert alignment(random_rows[:300], random_rows[300:]).item() == pytest.approx(2, abs=0.1)
    assert uniformity(random_rows).item() == pytest.approx(-4 + 8 / 16, abs=0.1)
    assert effective_rank(random_rows).item() == pytest.approx(16, abs=0.3)
    assert dimension_deviation(random_rows).item() == pytest.approx(1, abs=0.02)


def test_at_collapse(random_rows: Tensor) -> None:
    collapsed = torch.ones(600, 16) + 1e-4 * random_rows
    assert alignment(collapsed[:300], collapsed[300:]).item() == pytest.approx(0, abs=1e-6)
    assert uniformity(collapsed).item() == pytest.approx(0, abs=1e-4)
    assert effective_rank(collapsed).item() == pytest.approx(1, abs=0.05)
    assert dimension_deviation(collapsed).item() == pytest.approx(0, abs=1e-3)


def test_they_keep_no_graph(random_rows: Tensor) -> None:
    h = random_rows.requires_grad_()
    values = (alignment(h[:300], h[300:]), uniformity(h), effective_rank(h), dimension_deviation(h))
    assert not any(value.requires_grad for value in values)


def test_half_precision(random_rows: Tensor) -> None:
    h = random_rows.bfloat16()
    assert uniformity(h).item() == pytest.approx(uniformity(random_rows).item(), abs=0.02)
    assert effective_rank(h).item() == pytest.approx(16, abs=0.3)
