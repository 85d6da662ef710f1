"""The commands, as a person types them."""

import gzip
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from sentence_transformers import SentenceTransformer

from llmagentos.config import Config
from llmagentos.model import EmbeddingModel

from .cli import CHINESE, ENGLISH, TINY, run, write_texts
from .encoder.tiny import save_models


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static model of English and Chinese, trained through the command line."""
    folder = tmp_path_factory.mktemp("model")
    texts = write_texts(folder, [*ENGLISH, *CHINESE])
    done = run("train", texts, "--out", folder / "model", "--steps", "20", *TINY)
    assert done.status == 0, done
    return folder / "model"


def _jsonl(texts: list[str]) -> bytes:
    rows = [json.dumps({"id": number, "text": text}) for number, text in enumerate(texts)]
    return "\n".join(rows).encode()


def _csv(texts: list[str]) -> bytes:
    return ("id,text\n" + "".join(f'{number},"{text}"\n' for number, text in enumerate(texts))).encode()


def _markdown(texts: list[str]) -> bytes:
    return "".join(f"# Heading {number}\n\n{text}\n\n" for number, text in enumerate(texts)).encode()


def _parquet(texts: list[str]) -> bytes:
    sink = Path.cwd() / "rows.parquet"
    pq.write_table(pa.table({"text": texts}), sink)
    return sink.read_bytes()


FORMS: dict[str, Callable[[list[str]], bytes]] = {
    "a.txt": lambda texts: "\n".join(texts).encode(),
    "a.md": _markdown,
    "a.jsonl": _jsonl,
    "a.csv": _csv,
    "a.parquet": _parquet,
    "a.txt.gz": lambda texts: gzip.compress("\n\n".join(texts).encode()),
    "a.jsonl.zst": lambda texts: zstandard.compress(_jsonl(texts)),
    "folder/deeper/a.jsonl.gz": lambda texts: gzip.compress(_jsonl(texts)),
}


@pytest.mark.parametrize("texts", [ENGLISH[:24], CHINESE[:24]], ids=["english", "chinese"])
@pytest.mark.parametrize("name", [*FORMS, "-"])
def test_every_form_of_input_trains(
    name: str, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About 1 KB of each."""
    monkeypatch.chdir(tmp_path)
    given, stdin = name, b""
    if name == "-":
        stdin = _jsonl(texts)
    else:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(FORMS[name](texts))
        given = name.partition("/")[0]
    done = run("train", given, "--out", "model", "--steps", "5", *TINY, stdin=stdin)
    assert done.status == 0, done
    manifest = json.loads(Path("model/manifest.json").read_bytes())
    assert manifest["documents_kept"] == len(texts), manifest
    vectors = EmbeddingModel.load("model").encode(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert not Path("model.partial").exists()


def test_a_trained_folder_is_the_same_model_everywhere(model: Path) -> None:
    texts = [*ENGLISH[:10], *CHINESE[:10], "", "zzz 没见过"]
    theirs = SentenceTransformer(str(model), device="cpu").encode(texts)
    assert np.abs(EmbeddingModel.load(model, device="cpu").encode(texts) - theirs).max() <= 1e-5


def test_train_says_where_everything_is(tmp_path: Path) -> None:
    # A tenth of 54 texts are too few to measure; half of them are not.
    texts = write_texts(tmp_path)
    out = tmp_path / "model"
    done = run("train", texts, "--out", out, "--steps", "5", *TINY, "--set", "corpus.heldout_fraction=0.5")
    assert done.status == 0 and done.err == "", done
    assert "training 100%" in done.out and "BM25" in done.out
    assert str(out / "report.html") in done.out and (out / "report.html").exists()
    assert f"llmagentos evaluate {out} --baseline minilm" in done.out
    config = Config.from_file(out / "config.toml")
    assert config.training.batch_size == 8 and config.corpus.heldout_fraction == 0.5
    # The report can be made again from what is in the folder.
    again = run("evaluate", out, "--json", tmp_path / "scores.json", "--html", tmp_path / "scores.html")
    assert again.status == 0 and "BM25" in again.out
    assert json.loads((tmp_path / "scores.json").read_text())["results"]
    assert (tmp_path / "scores.html").read_text().startswith("<!doctype html>")


def test_guards_are_measured_before_and_after(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    rows = [f"{number % 5}\t{one}\t{other}" for number, (one, other) in enumerate(pairwise(ENGLISH[:12]))]
    pairs.write_text("\n".join(["score\tsentence1\tsentence2", *rows, ""]), encoding="utf-8")
    texts, out = write_texts(tmp_path), tmp_path / "model"
    half = ("--set", "corpus.heldout_fraction=0.5")
    done = run("train", texts, "--out", out, "--steps", "5", "--task", pairs, *TINY, *half)
    assert done.status == 0, done
    results = json.loads((out / "report.json").read_text(encoding="utf-8"))["results"]
    assert [one["kind"] for one in results] == ["retrieval", "sts"]
    assert "before training" in [one["label"] for one in results[1]["comparisons"]]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "held-out queries" in page and "uniformity of held-out texts" in page
    missing = run("train", texts, "--out", tmp_path / "other", "--task", tmp_path / "none.tsv", *TINY)
    assert missing.status == 2 and "none.tsv" in missing.sentence and not (tmp_path / "other").exists()


def test_guards_alone_make_a_report(tmp_path: Path) -> None:
    labels = tmp_path / "labels.tsv"
    labels.write_text("label\ttext\n" + "".join(f"{n % 2}\t{t}\n" for n, t in enumerate(ENGLISH[:20])))
    short = ("--minutes=1", "--set=training.max_epochs=1")
    done = run("train", write_texts(tmp_path), "--out", tmp_path / "model", *short, *TINY, "--task", labels)
    assert done.status == 0 and "accuracy" in done.out, done
    assert "guards   0% time for labels" in done.out  # so that the minutes hold
    assert "which is all that training.max_epochs allows" in done.out
    assert "Hardly trained" not in done.out
    assert (tmp_path / "model" / "report.html").exists()


def test_train_says_what_it_left_out_and_how_it_was_made(tmp_path: Path) -> None:
    rows = [json.dumps({"𠮷": text}) for text in ENGLISH]
    (tmp_path / "in.jsonl").write_text("\n".join([*rows, "broken", rows[0]]), encoding="utf-8")
    out = tmp_path / "runs[v1]"
    tiny = [one for one in TINY if "vocabulary_size" not in one]
    done = run("train", tmp_path / "in.jsonl", "--out", out, "--steps", "5", "--text-field", "𠮷", *tiny)
    assert done.status == 0, done
    assert "Left out: broken JSON line (1), exact duplicate (1)" in done.out
    assert "Hardly trained" not in done.out
    assert f"  model   {out}\n" in done.out and f"llmagentos evaluate {out} --baseline minilm" in done.out
    text = (out / "config.toml").read_text(encoding="utf-8")
    assert "train INPUT... --encoder static --steps 5 --config config.toml\n" in text
    config = Config.from_toml(text)
    assert config.views.preset == "crop" and config.views.crop_max == 0.5 and config.views.word_swap == 0.0
    again = run("train", tmp_path / "in.jsonl", "--out", tmp_path / "again", "--steps", "5", "--config",
                out / "config.toml")  # fmt: skip
    assert again.status == 0, again
    weights = [(path / "model.safetensors").read_bytes() for path in (out, tmp_path / "again")]
    assert weights[0] == weights[1]


def test_a_transformer_on_little_text_gets_longer_crops(tmp_path: Path) -> None:
    bert = save_models(tmp_path / "models")["bert"]
    out = tmp_path / "model"
    done = run("train", write_texts(tmp_path), "--out", out, "--encoder", bert, "--steps", "3", *TINY)
    assert done.status == 0, done
    assert Config.from_file(out / "config.toml").views.preset == "span"


def test_little_text_is_trained_on_and_told(tmp_path: Path) -> None:
    done = run("train", write_texts(tmp_path), "--out", tmp_path / "model", "--steps", "3", *TINY)
    assert done.status == 0 and "Too few texts were held out" in done.out


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_embed_writes_a_row_a_text_in_order(model: Path, tmp_path: Path, suffix: str) -> None:
    rows = [{"id": "a", "title": "T", "text": ENGLISH[0]}, {"_id": "b", "text": CHINESE[0]}]
    lines = [json.dumps(row) for row in [*rows, rows[0]]]
    (tmp_path / "in.jsonl").write_text("\n".join([*lines, "broken", json.dumps({"text": "\ud800"})]))
    out = tmp_path / f"vectors{suffix}"
    done = run("embed", model, tmp_path / "in.jsonl", "--out", out)
    assert done.status == 0 and "4 vectors of 16 numbers" in done.out, done
    assert "broken JSON line (1)" in done.out
    texts = [ENGLISH[0], CHINESE[0], ENGLISH[0], "?"]
    expected = EmbeddingModel.load(model).encode(texts)
    if suffix == ".npy":
        np.testing.assert_array_equal(np.load(out, allow_pickle=False), expected)
    else:
        table = pq.read_table(out)
        assert table.column_names == ["id", "title", "text", "vector"]
        assert table.column("id").to_pylist() == ["a", "b", "a", "in.jsonl:5"]
        assert table.column("title").to_pylist() == ["T", "", "T", ""]
        assert table.column("text").to_pylist() == texts
        vectors = np.array(table.column("vector").to_pylist(), np.float32)
        np.testing.assert_array_equal(vectors, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", out.name]


def test_embed_reads_standard_input_and_another_field(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "vectors.npy"
    stdin = b'{"body": "one"}\n{"body": "two"}\n'
    assert run("embed", model, "-", "--out", out, "--text-field", "body", stdin=stdin).status == 0
    assert np.load(out).shape == (2, 16)


def test_views_shows_what_was_changed(tmp_path: Path) -> None:
    texts = write_texts(tmp_path, ["[red]A <b>bold</b> claim[/red] about the quick brown fox.", *ENGLISH])
    page = tmp_path / "views.html"
    settings = ("--set", "views.preset=seed", "--set", "views.word_replacement=0")
    rates = ("--set", "views.word_deletion=0.4", "--set", "tokens.vocabulary_size=300")
    shown = run("views", texts, "-n", "2", "--html", page, *settings, *rates)
    assert shown.status == 0, shown
    assert (
        "seed: sentence_reordering 0.5, word_swap 0.1, word_deletion 0.4, character_noise 0.05" in shown.out
    )
    assert "[red]A <b>bold</b> claim[/red] about" in shown.out  # the text itself, no markup
    assert "word_deletion:" in shown.out and "[-" in shown.out and "view b" in shown.out
    assert "\n3  " not in shown.out
    html = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;bold&lt;/b&gt;" in html and "<b>bold" not in html
    assert "<del>" in html and "word_deletion 0.4" in html and "http" not in html
    # The same views every time.
    assert run("views", texts, "-n", "2", *settings, *rates).out in shown.out


def test_views_of_one_line_of_standard_input(model: Path) -> None:
    shown = run(
        "views",
        "-",
        "--encoder",
        model,
        "--set",
        "views.preset=dropout",
        stdin="这是没有标签的一句话。".encode(),
    )
    assert shown.status == 0 and "the same text twice" in shown.out and "unchanged" in shown.out


def test_views_with_too_little_text_for_related_words_says_the_two_ways_out(tmp_path: Path) -> None:
    sentence = run("views", write_texts(tmp_path), "--set", "views.preset=seed").sentence
    assert "set views.word_replacement=0 or give views.dictionary" in sentence


def test_views_with_a_dictionary(tmp_path: Path) -> None:
    (tmp_path / "words.tsv").write_text("fox\twolf\nthe\ta|this\n")
    settings = ("--set=views.preset=dropout", "--set=views.word_replacement=1")
    shown = run("views", write_texts(tmp_path), *settings, f"--set=views.dictionary={tmp_path / 'words.tsv'}")
    assert shown.status == 0 and "fox -> wolf" in shown.out


def test_corpus_build_and_stats_show_the_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    write_texts(folder, [*ENGLISH, *CHINESE, ENGLISH[0], "short"])
    (folder / "[b]picture.png").write_bytes(b"\0")
    built = run("corpus", "build", folder, "--out", tmp_path / "corpus")
    assert built.status == 0, built
    for shown in (built.out, run("corpus", "stats", tmp_path / "corpus").out):
        rows = [line.split() for line in shown.splitlines()]
        assert ["kept", "81", "languages:", "en", "54,", "zh", "27"] in rows, shown
        assert ["exact", "duplicate", "1", "texts/texts.txt:82"] in rows
        assert "shorter than 20 characters" in shown and "[b]picture.png" in shown


def test_related_words_are_kept_beside_the_corpus(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    assert run("corpus", "build", write_texts(tmp_path), "--out", corpus).status == 0
    too_small = run("corpus", "related", "fox", "--corpus", corpus).sentence
    assert "at least 1,000,000 words" in too_small
    assert "--corpus DIR" in run("corpus", "related", "fox").sentence
    (corpus / "related-words.tsv").write_text("fox\twolf|cat\n")
    found = run("corpus", "related", "Fox", "--corpus", corpus)
    assert found.status == 0 and found.out == "wolf, cat\n"
    assert "did you mean fox?" in run("corpus", "related", "foxx", "--corpus", corpus).sentence
