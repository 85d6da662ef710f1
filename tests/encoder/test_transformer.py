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
from transformers import (
    BertConfig,
    BertModel,
    CanineTokenizer,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5Model,
)

from llmagentos.encoder import Encoder, TransformerEncoder, load_encoder
from llmagentos.encoder._transformer import special_tokens
from llmagentos.errors import ModelError

from .tiny import KINDS, SIZES, TEXTS, fast_tokenizer, ragged, tiny_bert, tiny_gpt2, wordpiece


def unit_vectors(encoder: Encoder) -> torch.Tensor:
    with torch.no_grad():
        return functional.normalize(encoder(*ragged(encoder, TEXTS)), dim=1)


def their_unit_vectors(folder: Path) -> torch.Tensor:
    model = SentenceTransformer(str(folder), device="cpu")
    # Without a padding token sentence-transformers cannot pad, and here it reads what we have not exported.
    model.tokenizer.pad_token = model.tokenizer.pad_token or model.tokenizer.eos_token
    return torch.from_numpy(model.encode(TEXTS, normalize_embeddings=True))


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
    # The first of no tokens is a padding token there, and zero here.
    kept = [bool(encoder.tokenizer.encode(text).ids) or pooling != "cls" for text in TEXTS]
    ours, theirs = unit_vectors(encoder)[kept], their_unit_vectors(folder)[kept]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_folder_is_pooled_by_the_mean_and_cut_where_the_backbone_ends(
    folders: dict[str, Path], kind: str
) -> None:
    encoder = load_encoder(folders[kind])
    assert isinstance(encoder, TransformerEncoder)
    assert (encoder.pooling, encoder.max_seq_length) == ("mean", 64)
    assert encoder.max_tokens == {"bert": 62, "modernbert": 62, "qwen3": 63, "gpt2": 64}[kind]
    torch.testing.assert_close(unit_vectors(encoder), their_unit_vectors(folders[kind]), rtol=0, atol=1e-5)


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
    with pytest.raises(ModelError, match=r"needs \d+ rows but the backbone has only 50"):
        TransformerEncoder(backbone, wordpiece())


def gapped_tokenizer() -> Tokenizer:
    """Two tokens, but ids to 7."""
    return Tokenizer(models.WordLevel({"[UNK]": 0, "cat": 7}, unk_token="[UNK]"))


def test_a_vocabulary_with_gaps_needs_a_row_for_its_highest_id() -> None:
    tokenizer = fast_tokenizer(tokenizer_object=gapped_tokenizer(), unk_token="[UNK]")
    with pytest.raises(ModelError, match="needs 8 rows but the backbone has only 7"):
        TransformerEncoder(BertModel(BertConfig(vocab_size=7, **SIZES)), tokenizer)
    encoder = TransformerEncoder(BertModel(BertConfig(vocab_size=8, **SIZES)), tokenizer)
    assert encoder(torch.tensor([7]), torch.tensor([0, 1])).shape == (1, 32)


def test_a_tokenizer_without_padding_pads_with_another_special_token() -> None:
    backbone, tokenizer = tiny_gpt2()
    assert tokenizer.pad_token_id is None
    TransformerEncoder(backbone, tokenizer)
    assert tokenizer.pad_token == "</s>"

    backbone = GPT2Model(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=2))
    tokenizer = fast_tokenizer(tokenizer_object=gapped_tokenizer(), unk_token="[UNK]")
    TransformerEncoder(backbone, tokenizer)
    assert tokenizer.pad_token == "[UNK]"


def test_a_tokenizer_that_has_nothing_to_pad_with_is_refused() -> None:
    backbone = GPT2Model(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=2))
    tokenizer = fast_tokenizer(tokenizer_object=gapped_tokenizer())
    with pytest.raises(ModelError, match="tokenizer of tiny has no pad_token, eos_token or unk_token"):
        TransformerEncoder(backbone, tokenizer, name="tiny")


def test_positions_that_start_behind_padding_shorten_the_longest_text() -> None:
    """RoBERTa's first token stands at padding_idx + 1, so 64 positions hold 62 tokens."""
    tokenizer = wordpiece()
    assert tokenizer.model_max_length > 1e9
    backbone = RobertaModel(RobertaConfig(vocab_size=len(tokenizer), pad_token_id=1, **SIZES))
    encoder = TransformerEncoder(backbone, tokenizer).eval()
    assert (encoder.max_seq_length, encoder.max_tokens) == (62, 60)
    assert torch.isfinite(unit_vectors(encoder)).all()
    with pytest.raises((IndexError, RuntimeError)):
        TransformerEncoder(backbone, tokenizer, max_seq_length=63)(*ragged(encoder, TEXTS))


def test_encoder_decoders_are_refused() -> None:
    config = T5Config(vocab_size=500, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    with pytest.raises(ModelError, match=r"an encoder-decoder \(t5\)"):
        TransformerEncoder(T5Model(config), wordpiece())
