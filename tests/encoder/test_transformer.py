"""Transformer encoders: the same vectors as sentence-transformers, and what happens inside."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, processors
from torch.nn import functional
from transformers import BertConfig, BertModel, CanineTokenizer, PreTrainedTokenizerBase, T5Config, T5Model

from llmagentos.encoder import Encoder, TransformerEncoder, load_encoder
from llmagentos.encoder._transformer import special_tokens
from llmagentos.errors import ModelError

from .tiny import KINDS, SIZES, TEXTS, ragged, tiny_bert, wordpiece


def unit_vectors(encoder: Encoder) -> torch.Tensor:
    with torch.no_grad():
        return functional.normalize(encoder(*ragged(encoder, TEXTS)), dim=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_equals_sentence_transformers(
    folders: dict[str, Path], kind: str, pooling: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(folders[kind], tmp_path / kind)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
                for i, (path, name) in enumerate(modules)
            ]
        )
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"embedding_dimension": 32, "pooling_mode": pooling, "include_prompt": True})
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 24}))
    encoder = load_encoder(folder)
    assert isinstance(encoder, TransformerEncoder) and not encoder.training
    assert (encoder.pooling, encoder.max_seq_length, encoder.dimension) == (pooling, 24, 32)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, normalize_embeddings=True)
    torch.testing.assert_close(unit_vectors(encoder), torch.from_numpy(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_folder_is_pooled_by_the_mean_and_cut_where_the_backbone_ends(
    folders: dict[str, Path], kind: str
) -> None:
    encoder = load_encoder(folders[kind])
    assert isinstance(encoder, TransformerEncoder)
    assert (encoder.pooling, encoder.max_seq_length) == ("mean", 64)
    assert encoder.max_tokens == {"bert": 62, "modernbert": 62, "qwen3": 63}[kind]
    expected = SentenceTransformer(str(folders[kind]), device="cpu").encode(TEXTS, normalize_embeddings=True)
    torch.testing.assert_close(unit_vectors(encoder), torch.from_numpy(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_change_nothing(folders: dict[str, Path], kind: str) -> None:
    """In training mode without dropout, so that the gradient goes through as well."""
    results = []
    for budget in (1, 100, 8192):
        encoder = load_encoder(folders[kind], micro_batch_tokens=budget)
        h = encoder(*ragged(encoder, TEXTS))
        weights = [p for p in encoder.parameters() if p.requires_grad]
        results.append((h, *torch.autograd.grad(h.square().sum(), weights)))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-3, atol=1e-4)


def test_the_pooler_that_no_embedding_uses_is_not_trained(folders: dict[str, Path]) -> None:
    encoder = load_encoder(folders["bert"])
    encoder(*ragged(encoder, TEXTS)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad == ("pooler" not in name), name


def test_no_texts_and_texts_of_no_tokens(folders: dict[str, Path]) -> None:
    encoder = load_encoder(folders["bert"])
    nothing = torch.zeros(0, dtype=torch.int64)
    assert encoder(nothing, torch.tensor([0])).shape == (0, 32)
    assert encoder(nothing, torch.tensor([0, 0])).norm() > 0  # [CLS] [SEP]

    backbone, tokenizer = tiny_bert()
    tokenizer.backend_tokenizer.post_processor = None
    bare = TransformerEncoder(backbone, tokenizer)
    h = bare(torch.tensor([5, 6]), torch.tensor([0, 0, 2, 2]))
    assert torch.equal(h[[0, 2]], torch.zeros(2, 32)) and h[1].norm() > 0


def test_special_tokens_are_found_with_any_vocabulary() -> None:
    """This one gives no token for any text but "xy", and one special token before it."""
    tokenizer = Tokenizer(models.BPE({"[PAD]": 0, "[CLS]": 1, "x": 2, "y": 3, "xy": 4}, [("x", "y")]))
    tokenizer.add_special_tokens(["[PAD]", "[CLS]"])
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    assert special_tokens(tokenizer, "tiny") == ([1], [])


def test_a_tokenizer_that_knows_no_text_is_refused() -> None:
    tokenizer = Tokenizer(models.BPE({"[CLS]": 0}, []))
    tokenizer.add_special_tokens(["[CLS]"])
    with pytest.raises(
        ModelError, match="special tokens of tiny's tokenizer cannot be told from those of a text"
    ):
        special_tokens(tokenizer, "tiny")


def test_lower_case_is_what_the_folder_says(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["qwen3"], tmp_path / "model")
    (folder / "modules.json").write_text(
        '[{"path": "", "type": "sentence_transformers.models.Transformer"}, '
        '{"path": "p", "type": "sentence_transformers.models.Pooling"}]'
    )
    (folder / "p").mkdir()
    (folder / "p" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    encoder = load_encoder(folder)
    assert encoder.tokenizer.encode("The CAT").ids == encoder.tokenizer.encode("the cat").ids


def test_slow_tokenizers_are_refused() -> None:
    backbone, _ = tiny_bert()
    slow: Callable[[], PreTrainedTokenizerBase] = CanineTokenizer
    with pytest.raises(
        ModelError, match=r"a slow one \(CanineTokenizer\).*choose a model that has a tokenizer.json"
    ):
        TransformerEncoder(backbone, slow(), name="tiny")


def test_a_tokenizer_of_another_model_is_refused() -> None:
    backbone = BertModel(BertConfig(vocab_size=50, **SIZES))
    with pytest.raises(ModelError, match=r"has \d+ tokens but the backbone only 50 rows"):
        TransformerEncoder(backbone, wordpiece())


def test_encoder_decoders_are_refused() -> None:
    config = T5Config(vocab_size=500, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    with pytest.raises(ModelError, match=r"an encoder-decoder \(t5\)"):
        TransformerEncoder(T5Model(config), wordpiece())
