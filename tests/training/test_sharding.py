"""What a sharded run refuses, and that a process alone has nothing to share. See also test_two.py."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from llmagentos.errors import ConfigError
from llmagentos.tokens import TokenStore
from llmagentos.training._sharding import check_can_shard, is_sharded, split_like, whole

from .small import CONFIG, same_weights, static, train


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queue_size": 64}, r"no queue: .*set training\.queue_size=0, got 64, or training\.shard=false"),
        ({"precision": "fp16"}, r"no fp16; set training\.precision=bf16, or training\.shard=false"),
    ],
)
def test_what_cannot_be_sharded(change: dict[str, Any], message: str) -> None:
    check_can_shard(CONFIG)
    check_can_shard(replace(CONFIG, precision="bf16"))
    with pytest.raises(ConfigError, match=message):
        check_can_shard(replace(CONFIG, **change))


def test_alone_it_changes_nothing(store: TokenStore, tmp_path: Path) -> None:
    encoders = [static(store.tokenizer) for _ in range(2)]
    for shard, encoder in enumerate(encoders):
        train(encoder, store, tmp_path / str(shard), config=replace(CONFIG, shard=bool(shard)))
        assert not is_sharded(encoder)
    assert same_weights(*encoders)


def test_a_plain_tensor_is_whole() -> None:
    tensor = torch.ones(3)
    assert whole(tensor) is tensor and split_like(tensor, torch.zeros(3)) is tensor
