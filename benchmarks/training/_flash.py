"""The package flash-attn as transformers wants it, made of PyTorch's own FlashAttention-2.

flash-attn has no wheels, and compiling it takes an hour. PyTorch has the same kernels (from the same source),
so a folder that holds a package of that name lets sentence-transformers leave padding out as it does with it.
"""

from pathlib import Path

_PACKAGE = '''"""FlashAttention-2 for texts of different lengths, from PyTorch."""

import torch


def flash_attn_varlen_func(
    q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k,
    dropout_p=0.0, softmax_scale=None, causal=False,
):
    return torch.ops.aten._flash_attention_forward(
        q, k, v, cu_seqlens_q, cu_seqlens_k, int(max_seqlen_q), int(max_seqlen_k),
        dropout_p, causal, False, scale=softmax_scale,
    )[0]


def flash_attn_func(*args, **kwargs):
    raise NotImplementedError


def flash_attn_with_kvcache(*args, **kwargs):
    raise NotImplementedError
'''

_PADDING = '''"""Nothing is padded, so nobody calls these."""


def pad_input(*args, **kwargs):
    raise NotImplementedError


def unpad_input(*args, **kwargs):
    raise NotImplementedError
'''


def write_flash_attn(folder: Path) -> Path:
    """A folder for PYTHONPATH with the package in it."""
    package, info = folder / "flash_attn", folder / "flash_attn-2.7.4+pytorch.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text(_PACKAGE, encoding="utf-8")
    (package / "bert_padding.py").write_text(_PADDING, encoding="utf-8")
    metadata = "Metadata-Version: 2.1\nName: flash-attn\nVersion: 2.7.4+pytorch\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (info / "top_level.txt").write_text("flash_attn\n", encoding="utf-8")
    return folder
