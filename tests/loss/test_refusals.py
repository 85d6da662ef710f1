"""What the loss is given: settings in their ranges, and keys of any whole numbers."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from llmagentos.errors import ConfigError
from llmagentos.loss import LossConfig, NTXentLoss, ntxent

from .reference import plain, views


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("temperature", 0.0, "> 0"),
        ("temperature", -0.5, "> 0"),
        ("temperature", 0.0049, ">= 0.005"),
        ("temperature", math.nan, "a finite number"),
        ("temperature", math.inf, "a finite number"),
        ("hardness", -0.1, ">= 0"),
        ("hardness", 100.1, "<= 100"),
        ("hardness", math.nan, "a finite number"),
        ("hardness", -math.inf, "a finite number"),
    ],
)
def test_settings_out_of_their_range_are_refused_everywhere(name: str, value: float, allowed: str) -> None:
    settings: dict[str, Any] = {"temperature": 0.05, "hardness": 0.0} | {name: value}
    message = rf"^{name} must be {allowed}, got {value:g}; .* is usual \(loss\.{name}\)$"
    with pytest.raises(ConfigError, match=message):
        NTXentLoss(**settings)
    with pytest.raises(ConfigError, match=message):
        ntxent(*views(3), **settings)
    with pytest.raises(ValidationError):
        LossConfig(**settings)


@pytest.mark.parametrize(("temperature", "hardness"), [(0.005, 0.0), (0.05, 100.0), (1e6, 0.0)])
def test_the_ends_of_the_ranges_are_allowed(temperature: float, hardness: float) -> None:
    config = LossConfig(temperature=temperature, hardness=hardness).resolved()
    loss = NTXentLoss(**asdict(config))
    assert loss(*views(3)).isfinite()


def test_the_message_says_what_to_do() -> None:
    with pytest.raises(ConfigError) as caught:
        NTXentLoss(-0.5)
    message = "temperature must be > 0, got -0.5; 0.02 to 0.1 is usual (loss.temperature)"
    assert str(caught.value) == message


def test_hashes_of_batch_and_queue_may_be_of_different_kinds() -> None:
    """NumPy joins uint64 and int64 to float64, in which these two hashes are one."""
    h_a, h_b = views(2)
    queue = views(1, seed=1)[0]
    hashes, queue_hashes = np.array([2**60, 2**60 + 1], np.uint64), np.array([2**60 + 1])
    found = ntxent(h_a, h_b, 0.2, hashes=hashes, queue=queue, queue_hashes=queue_hashes)
    same_kind = queue_hashes.astype(np.uint64)
    expected = ntxent(h_a, h_b, 0.2, hashes=hashes, queue=queue, queue_hashes=same_kind)
    assert found.item() == expected.item()


KEYS = np.array([3, 3, 0, 5, 0, 5])
WHOLE = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_keys_count_by_their_value_whatever_their_width(dtype: str, as_tensor: bool) -> None:
    """Two of 32 bits read as one of 64 would be three texts, of which two are the same."""
    h_a, h_b = views(6)
    left_out = torch.from_numpy(np.equal.outer(KEYS, KEYS))
    no_group = torch.from_numpy(np.logical_or.outer(KEYS == 0, KEYS == 0))
    array = KEYS.astype(dtype)
    keys = torch.from_numpy(array) if as_tensor else array
    hashed, grouped = ntxent(h_a, h_b, 0.2, hashes=keys), ntxent(h_a, h_b, 0.2, groups=keys)
    assert hashed.item() == pytest.approx(plain(h_a, h_b, 0.2, left_out=left_out).item(), rel=1e-12)
    expected = plain(h_a, h_b, 0.2, left_out=left_out & ~no_group)
    assert grouped.item() == pytest.approx(expected.item(), rel=1e-12)


def test_negative_keys_of_batch_and_queue_may_be_of_different_widths() -> None:
    h_a, h_b = views(2)
    queue = views(1, seed=1)[0]
    wide, narrow = np.array([-1, 7]), np.array([-1], np.int16)
    found = ntxent(h_a, h_b, 0.2, hashes=wide, queue=queue, queue_hashes=narrow)
    expected = ntxent(h_a, h_b, 0.2, hashes=wide, queue=queue, queue_hashes=narrow.astype(np.int64))
    assert found.item() == expected.item() < ntxent(h_a, h_b, 0.2, queue=queue).item()


@pytest.mark.parametrize("name", ["hashes", "groups", "queue_hashes"])
@pytest.mark.parametrize(
    "keys",
    [
        np.array([0.0, -0.0, 1.0]),
        np.array([True, False, True]),
        np.array(["a", "b", "c"]),
        torch.ones(3, dtype=torch.bfloat16),
        torch.ones(3, dtype=torch.bool),
    ],
    ids=lambda keys: str(keys.dtype),
)
def test_keys_that_are_no_whole_numbers_are_refused(name: str, keys: Tensor | npt.NDArray[Any]) -> None:
    """0.0 and -0.0 are equal, and their bits are not."""
    more: dict[str, Any] = {"hashes": np.arange(3), "queue": views(3)[0]} | {name: keys}
    with pytest.raises(ValueError, match=rf"^{name} must be whole numbers, got {keys.dtype}; hash what"):
        ntxent(*views(3), 0.2, **more)


@pytest.mark.parametrize("number", [0, 2, 6])
@pytest.mark.parametrize("name", ["hashes", "groups"])
def test_there_is_one_key_a_text(name: str, number: int) -> None:
    message = rf"^{name} must be 3 numbers, one for each text \(3 x 1 ranks\), got .* shape \({number},\)$"
    keys: dict[str, Any] = {name: np.arange(number)}
    with pytest.raises(ValueError, match=message):
        ntxent(*views(3), 0.2, **keys)


def test_there_is_one_key_a_text_of_the_queue() -> None:
    queue, hashes = views(5)[0], np.arange(3)
    with pytest.raises(ValueError, match=r"^queue_hashes must be 5 numbers, one for each text of the"):
        ntxent(*views(3), 0.2, hashes=hashes, queue=queue, queue_hashes=np.arange(4))
    with pytest.raises(ValueError, match=r"^queue_hashes must be 0 numbers"):
        ntxent(*views(3), 0.2, hashes=hashes, queue_hashes=np.arange(4))


def test_hashes_of_the_queue_say_nothing_without_those_of_the_texts() -> None:
    with pytest.raises(ValueError, match=r"^queue_hashes need hashes, got None; give those of the texts"):
        ntxent(*views(3), 0.2, queue=views(5)[0], queue_hashes=np.arange(5))


def test_dimensions_are_at_least_one() -> None:
    with pytest.raises(ConfigError, match=r"dimensions must be >= 1, got 0; .*\(loss.dimensions\)"):
        NTXentLoss(0.1, dimensions=(64, 0))


def test_a_temperature_that_is_open_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"open, and a loss needs a number; .* LossConfig.resolved\(\)"):
        NTXentLoss(**asdict(LossConfig()))
    assert NTXentLoss(**asdict(LossConfig().resolved())).temperature == 0.05
