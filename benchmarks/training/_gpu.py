"""The same comparison on a GPU, where there is one: tokens/s beside sentence-transformers in bf16.

The peer takes FlashAttention without padding: of the package flash-attn, or where that is not installed of
PyTorch, which has the same kernels (see `_flash`).
"""

import importlib.util
import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from benchmarks._figures import Configuration
from benchmarks.training._compare import Comparison, seconds_a_step
from benchmarks.training._flash import write_flash_attn
from llmagentos.encoder import TransformerEncoder, load_encoder


def gpu(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """One encoder at one batch size, ours compiled; the peer in its gradient cache where it has a budget."""
    if importlib.util.find_spec("flash_attn") is None:
        paths = [str(write_flash_attn(folder / "flash")), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    if "bert" in configuration:
        configuration = {**configuration, "encoder": str(write_random_bert(folder, configuration["bert"]))}
    sides = Comparison(seed, {**configuration, "measured_at": []}, folder)
    ours = sides.run("ours", precision="bf16", compile=True)
    told: dict[str, Any] = {"precision": "bf16", "attention": "flash_attention_2"}
    options = {f"peer, {workers} workers": {**told, "workers": workers} for workers in (0, 4, 8)}
    options["peer, 4 workers, compiled"] = {**told, "workers": 4, "compile": True}
    found = {option: seconds_a_step([sides.run("peer", **more)]) for option, more in options.items()}
    # Our texts are tokenised once, before, and the peer's in each step, by its workers beside the GPU.
    step, peers = seconds_a_step([ours | {"store_seconds": 0.0}]), min(found.values())
    tokens = statistics.median(ours["tokens"])
    return {
        f"{configuration['name']}-over-peer": peers / step,
        f"{configuration['name']}-tokens-per-second": tokens / step,
        **{f"{option}: seconds a step": seconds for option, seconds in found.items()},
        "over peer, with the token store": peers / seconds_a_step([ours]),
        "peer's tokens/s": tokens / peers,
        "ours: seconds a step": step,
        "ours: fastest step": min(ours["step_seconds"]),
        "ours: first step, with compiling": ours["step_seconds"][0],
        "share of peak": 100 * ours["flop_utilisation"],
        "recomputed": ours["recomputed"],
        "token store, texts/s": ours["stored"] / ours["store_seconds"],
        "ours: last loss": ours["losses"][-1],
    }


def write_random_bert(folder: Path, sizes: Mapping[str, Any]) -> Path:
    """A BERT with random weights and MiniLM's tokenizer, as a folder that both sides load."""
    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers has none
        tokenizer_object=load_encoder("minilm").tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=512,
    )
    config = BertConfig(vocab_size=len(tokenizer), **sizes)
    (bert := folder / "bert").mkdir()
    TransformerEncoder(BertModel(config), tokenizer, max_seq_length=512).save(bert)
    return bert
