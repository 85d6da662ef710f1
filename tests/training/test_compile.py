"""Where layers cannot be compiled it is said; what compiling changes is in test_gpu.py."""

from dataclasses import replace

import pytest
import torch
from torch._dynamo.exc import InternalTorchDynamoError

from llmagentos.errors import ConfigError
from llmagentos.training import prepare_encoder
from llmagentos.training._compile import check_can_compile, compiled_layers
from llmagentos.training._ranks import ALONE

from ..encoder.tiny import word_tokenizer
from .small import CONFIG, bert, static


def test_not_on_a_cpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match=r"must be false on a CPU.*got true; leave it out"):
        check_can_compile(replace(CONFIG, compile=True), ALONE)


def test_an_encoder_without_layers_is_refused_before_it_is_trained() -> None:
    encoder = static(word_tokenizer())
    prepare_encoder(encoder, CONFIG)
    with pytest.raises(ConfigError, match=r"must be false for static, for it cannot be told.*leave it out"):
        prepare_encoder(encoder, replace(CONFIG, compile=True))


# What compiles imports what PyTorch itself calls deprecated.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
def test_a_machine_that_cannot_compile_is_told() -> None:
    encoder = bert()
    with (
        pytest.raises(ConfigError, match=r"compiling fails \(no cc here\), got true; install a C compiler"),
        compiled_layers(encoder),
    ):
        raise InternalTorchDynamoError("no cc\nhere")
    assert all(layer._compiled_call_impl is None for layer in encoder.layers)
