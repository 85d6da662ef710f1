"""Tiny models with random weights, saved the way real ones are, so that the real loading code runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    Gemma2Config,
    Gemma2Model,
    GPT2Config,
    GPT2Model,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    RobertaConfig,
    RobertaModel,
)

from llmagentos.encoder import Encoder, Pooling, TransformerEncoder

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "",
    "对比学习不需要标签。模型从大量文本中学习有用的表示！",
    "A",
    "word " * 300,
    "Contrastive learning needs no labels, only two views of each text.",
    "北京 and Shanghai: 2 cities",
]

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}


# The class is untyped in transformers.
fast_tokenizer: Callable[..., PreTrainedTokenizerFast] = PreTrainedTokenizerFast


def train_tokenizer(tokenizer: Tokenizer, special: Sequence[str]) -> Tokenizer:
    trainer: trainers.WordPieceTrainer | trainers.BpeTrainer
    if isinstance(tokenizer.model, models.WordPiece):
        trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=list(special), show_progress=False)
    else:
        trainer = trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=list(special),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def wordpiece() -> PreTrainedTokenizerFast:
    """As BERT has it, and cutting and padding on its own, as all-MiniLM-L6-v2 is saved."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    train_tokenizer(tokenizer, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    return fast_tokenizer(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )


def byte_level(prefix: str, suffix: str) -> PreTrainedTokenizerFast:
    """As ModernBERT and Qwen3 have it; byte-level tokens know every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    train_tokenizer(tokenizer, ["<pad>", "<s>", "</s>"])
    if prefix or suffix:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{prefix} $A {suffix}".strip(), special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    return fast_tokenizer(tokenizer_object=tokenizer, pad_token="<pad>", padding_side="right")


def tiny_bert() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    tokenizer = wordpiece()
    return BertModel(BertConfig(vocab_size=len(tokenizer), pad_token_id=0, **SIZES)), tokenizer


def tiny_modernbert(*, local_attention: int = 128) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    tokenizer = byte_level("<s>", "</s>")
    ids: dict[str, Any] = {
        "pad_token_id": 0,
        "cls_token_id": 1,
        "bos_token_id": 1,
        "sep_token_id": 2,
        "eos_token_id": 2,
    }
    config = ModernBertConfig(vocab_size=len(tokenizer), local_attention=local_attention, **ids, **SIZES)
    return ModernBertModel(config), tokenizer


def tiny_qwen3() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    tokenizer = byte_level("", "</s>")
    config = Qwen3Config(
        vocab_size=len(tokenizer), pad_token_id=0, num_key_value_heads=2, head_dim=8, **SIZES
    )
    return Qwen3Model(config), tokenizer


def tiny_gpt2() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """No special tokens around a text and none to pad with."""
    plain = byte_level("", "")
    tokenizer = fast_tokenizer(tokenizer_object=plain.backend_tokenizer, eos_token="</s>", bos_token="</s>")
    sizes = {"n_inner" if name == "intermediate_size" else name: size for name, size in SIZES.items()}
    return GPT2Model(GPT2Config(vocab_size=len(tokenizer), **sizes)), tokenizer


def tiny_roberta() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The first token stands at position 1, behind that of padding."""
    tokenizer = wordpiece()
    return RobertaModel(RobertaConfig(vocab_size=len(tokenizer), pad_token_id=0, **SIZES)), tokenizer


def tiny_mpnet() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Has an attention of its own, with relative positions."""
    tokenizer = wordpiece()
    return MPNetModel(MPNetConfig(vocab_size=len(tokenizer), pad_token_id=0, **SIZES)), tokenizer


def tiny_gemma2(*, softcap: float | None) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    tokenizer = byte_level("", "</s>")
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=1,
        num_key_value_heads=2,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=4,
        attn_logit_softcapping=softcap,
        **SIZES,
    )
    return Gemma2Model(config), tokenizer


Build = Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerFast]]

KINDS: dict[str, Build] = {
    "bert": tiny_bert,
    "modernbert": tiny_modernbert,
    "qwen3": tiny_qwen3,
    "gpt2": tiny_gpt2,
}


PACKABLE: dict[str, Build] = {
    "bert": tiny_bert,
    "modernbert, window of 4": lambda: tiny_modernbert(local_attention=8),
    "qwen3": tiny_qwen3,
    "gpt2": tiny_gpt2,
    "roberta": tiny_roberta,
    "gemma2, window of 4, no softcap": lambda: tiny_gemma2(softcap=None),
}
NOT_PACKABLE: dict[str, Build] = {"mpnet": tiny_mpnet, "gemma2": lambda: tiny_gemma2(softcap=1.0)}

LENGTHS = [3, 40, 17, 1, 25, 9]


def encoder_of(
    build: Build, pooling: Pooling = "mean", *, micro_batch_tokens: int = 2048
) -> TransformerEncoder:
    """With weights so large that each token shows in the result, and without dropout."""
    torch.manual_seed(0)
    backbone, tokenizer = build()
    for parameter in backbone.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return TransformerEncoder(
        backbone, tokenizer, pooling=pooling, micro_batch_tokens=micro_batch_tokens
    ).eval()


def some_texts(encoder: TransformerEncoder) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(5, encoder.backbone.config.vocab_size, (sum(LENGTHS),), generator=generator)
    return tokens, torch.tensor([0, *LENGTHS]).cumsum(0)


def gradient(encoder: TransformerEncoder, h: Tensor) -> Tensor:
    """Of a sum in which each number of h counts differently, with respect to all weights."""
    weights = [p for p in encoder.parameters() if p.requires_grad]
    total = (h * torch.linspace(-1, 2, h.numel()).view(h.shape)).sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(total, weights)])


def ragged(encoder: Encoder, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Tokens and offsets of texts, as the views stage gives them."""
    ids = [e.ids for e in encoder.tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    offsets = np.cumsum([0, *map(len, ids)])
    return torch.tensor([i for text in ids for i in text], dtype=torch.int64), torch.from_numpy(offsets)


def save_models(root: Path) -> dict[str, Path]:
    """One plain Hugging Face folder of each kind."""
    for kind, build in KINDS.items():
        torch.manual_seed(0)
        backbone, tokenizer = build()
        backbone.save_pretrained(root / kind)
        tokenizer.save_pretrained(root / kind)
    return {kind: root / kind for kind in KINDS}


def word_tokenizer() -> Tokenizer:
    """A small tokenizer without special tokens, for static encoders."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return train_tokenizer(tokenizer, ["[UNK]"])
