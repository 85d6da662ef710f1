"""The same comparison on a GPU, where there is one: tokens/s beside sentence-transformers in bf16.

The peer takes FlashAttention without padding, so the package flash-attn has to be installed.
"""

import importlib.util
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from benchmarks._figures import Configuration
from benchmarks.training._compare import Comparison, seconds_a_step
from llmagentos.encoder import TransformerEncoder, load_encoder


def gpu(seed: int, configuration: Configuration, folder: Path) -> dict[str, float]:
    """Each encoder at each batch size; the peer in its gradient cache where a batch does not fit."""
    if importlib.util.find_spec("flash_attn") is None:
        raise RuntimeError("the peer needs flash-attn to leave padding out; pip install flash-attn")
    encoders = {"minilm": "minilm", "bert-300m": str(write_random_bert(folder / "bert", configuration))}
    found: dict[str, float] = {}
    for name, encoder in encoders.items():
        for size in configuration["batch_sizes"]:
            place = folder / f"{name}-{size}"
            place.mkdir()
            sides = Comparison(seed, {**configuration, "encoder": encoder, "batch_size": size}, place)
            budget = {"budget": configuration["budget"]} if size > 256 else {}
            ours = seconds_a_step([sides.run("ours", precision="bf16")])
            options = {"attention": "flash_attention_2", **budget}
            peer = seconds_a_step([sides.run("peer", precision="bf16", **options)])
            found |= {
                f"gpu-{name}-{size}-over-peer": peer / ours,
                f"{name}, {size}: our texts/s": size / ours,
                f"{name}, {size}: peer's texts/s": size / peer,
            }
    return found


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
    folder.mkdir()
    TransformerEncoder(BertModel(config), tokenizer, max_seq_length=512).save(folder)
    return folder
