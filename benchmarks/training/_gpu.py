"""The same comparison on a GPU, where there is one: tokens/s beside sentence-transformers in bf16.

The peer takes FlashAttention without padding: of the package flash-attn, or where that is not installed of
PyTorch, which has the same kernels (see `_flash`).
"""

import importlib.util
import os
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from benchmarks._figures import Configuration
from benchmarks.training._compare import Comparison, Result, seconds_a_step
from benchmarks.training._flash import write_flash_attn
from llmagentos.encoder import TransformerEncoder, load_encoder


def gpu(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Each encoder at each batch size; the peer in its gradient cache where a batch does not fit."""
    if importlib.util.find_spec("flash_attn") is None:
        paths = [str(write_flash_attn(folder / "flash")), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    found: dict[str, float] = {}
    for name, steps_of in configuration["steps_of"].items():
        encoder = "minilm" if name == "minilm" else str(write_random_bert(folder, configuration))
        for size, steps in steps_of.items():
            place = folder / f"{name}-{size}"
            place.mkdir()
            told = {**configuration, "encoder": encoder, "batch_size": int(size), "steps": steps}
            sides = Comparison(seed, {**told, "measured_at": []}, place)
            cache = {"budget": configuration["budgets"][name]} if int(size) > 256 else {}
            peer = {"precision": "bf16", "attention": "flash_attention_2", **cache}
            ours = {
                "compiled": sides.run("ours", precision="bf16", compile=True),
                "not compiled": sides.run("ours", precision="bf16"),
            }
            peers = {
                "": sides.run("peer", **peer),
                ", 8 workers": sides.run("peer", **peer, workers=8),
            }
            found |= _figures(name, int(size), ours, peers)
    return found


def _figures(name: str, size: int, ours: dict[str, Result], peers: dict[str, Result]) -> dict[str, float]:
    # Without the token store, which is made once and not on the GPU: each epoch after the first is so.
    step = seconds_a_step([ours["compiled"] | {"store_seconds": 0.0}])
    plain = seconds_a_step([ours["not compiled"] | {"store_seconds": 0.0}])
    of_peers = {option: seconds_a_step([one]) for option, one in peers.items()}
    tokens = ours["compiled"]["tokens_per_second"] * step
    return {
        f"gpu-{name}-{size}-over-peer": of_peers[""] / step,
        f"gpu-{name}-{size}-over-best": min(of_peers.values()) / step,
        f"{name}, {size}: over the peer, not compiled": of_peers[""] / plain,
        f"{name}, {size}: our tokens/s": tokens / step,
        f"{name}, {size}: our tokens/s, not compiled": tokens / plain,
        f"{name}, {size}: share of peak": 100 * ours["compiled"]["flop_utilisation"],
        f"{name}, {size}: recomputed": ours["compiled"]["recomputed"],
        f"{name}, {size}: first step, s": ours["compiled"]["step_seconds"][0],
        f"{name}, {size}: first step, not compiled, s": ours["not compiled"]["step_seconds"][0],
        f"{name}, {size}: token store, texts/s": ours["compiled"]["stored"]
        / ours["compiled"]["store_seconds"],
        **{f"{name}, {size}: peer's tokens/s{option}": tokens / s for option, s in of_peers.items()},
        f"{name}, {size}: our last loss": ours["compiled"]["losses"][-1],
        f"{name}, {size}: peer's last loss": peers[""]["losses"][-1],
    }


def write_random_bert(folder: Path, configuration: Configuration) -> Path:
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
    config = BertConfig(vocab_size=len(tokenizer), **configuration["bert"])
    (bert := folder / "bert").mkdir()
    TransformerEncoder(BertModel(config), tokenizer, max_seq_length=512).save(bert)
    return bert
