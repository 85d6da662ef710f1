"""A run that is killed at any moment leaves nothing half-written, and goes on to the same model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from llmagentos.config import Config
from llmagentos.corpus import Document
from llmagentos.errors import InputError, LostProcessError, OutOfMemoryError, OutputError
from llmagentos.model import EmbeddingModel
from llmagentos.pipeline import Update, _preparing, _related_words, _train, demo, train
from llmagentos.tokens import TokenStore
from llmagentos.training._step import StepGradient
from llmagentos.views import Spelling, ViewsConfig

from ..cli import CHINESE, ENGLISH, write_texts
from ..dying import killed_at
from ..encoder.tiny import save_models
from ..training.small import make_texts

STEPS = 7
CONFIG = Config().override(
    [
        "training.batch_size=8",
        "training.checkpoint_steps=2",
        "training.learning_rate=1e-3",
        "encoder.dimension=16",
        "tokens.vocabulary_size=300",
        "views.preset=paragraph",
        "corpus.heldout_fraction=0.4",
    ]
)
# In the order of a run. A corpus and a store are being written when their progress is told.
MOMENTS = [
    *(("corpus", 0), ("tokenizer", 0), ("tokens", 0)),
    *(("training", 1), ("training", 5), ("evaluation", 0), ("report", 1)),
]


def _killed_at(
    moment: tuple[str, float], texts: Path, out: Path, encoder: str, *, resume: bool = False
) -> None:
    killed_at(moment, texts, out, encoder, CONFIG, STEPS, resume=resume)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"), [*ENGLISH, *CHINESE])


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_models(tmp_path_factory.mktemp("models"))["bert"])


@pytest.fixture(scope="module")
def uninterrupted(texts: Path, bert: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    for encoder, name in (("static", "static"), (bert, "bert")):
        train([texts], folder / name, encoder=encoder, config=CONFIG, steps=STEPS)
    return {"static": folder / "static", bert: folder / "bert"}


def _assert_same(model: Path, expected: Path) -> None:
    assert (model / "model.safetensors").read_bytes() == (expected / "model.safetensors").read_bytes()
    names = {path.relative_to(expected) for path in expected.rglob("*") if "tensorboard" not in path.parts}
    assert names == {path.relative_to(model) for path in model.rglob("*") if "tensorboard" not in path.parts}
    assert not model.with_name(f"{model.name}.partial").exists()
    assert [path for path in model.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[0]}-{moment[1]}")
def test_a_killed_run_goes_on_to_the_same_model(
    moment: tuple[str, float], texts: Path, uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "model"
    _killed_at(moment, texts, out, "static")
    train([texts], out, config=CONFIG, steps=STEPS, resume=True)
    _assert_same(out, uninterrupted["static"])


@pytest.mark.parametrize("moment", [MOMENTS[0], MOMENTS[2]], ids=lambda moment: f"{moment[0]}-{moment[1]}")
def test_a_run_killed_before_its_first_checkpoint_can_be_started_anew(
    moment: tuple[str, float], texts: Path, uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "model"
    _killed_at(moment, texts, out, "static")
    train([texts], out, config=CONFIG, steps=STEPS)
    _assert_same(out, uninterrupted["static"])


def test_a_run_with_a_checkpoint_is_not_thrown_away(texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    _killed_at(("training", 5), texts, out, "static")
    with pytest.raises(OutputError, match="go on with --resume, or remove that folder"):
        train([texts], out, config=CONFIG, steps=STEPS)
    assert list((tmp_path / "model.partial" / "run" / "checkpoints").glob("step-*"))


# As if the text were long enough for vectors of words, for trials and for a verdict; and the trials brief.
ENOUGH = {
    "llmagentos.pipeline._start._FEWEST_TOKENS": 100,
    "llmagentos.pipeline._matching._FEWEST_TEXTS": 100,
    "llmagentos.pipeline._probe._STEPS_STATIC": 4,
}


def test_a_run_with_word_vectors_trials_and_a_verdict_goes_on_to_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENOUGH.items():
        monkeypatch.setattr(name, value)
    texts = tmp_path / "texts.jsonl"
    rows = [
        {"id": str(n), "title": text.split(".")[0], "text": text} for n, text in enumerate(make_texts(400))
    ]
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = replace(CONFIG, views=ViewsConfig())
    expected = train([texts], tmp_path / "whole", config=config, steps=STEPS)
    assert len(expected.trials) == 4 and expected.verdict is not None
    for stage, done in (("probe", 0), ("evaluation", 0)):
        out = tmp_path / f"killed at {stage}"
        killed_at((stage, done), texts, out, "static", config, STEPS, constants=ENOUGH)
        kept = out.with_name(f"{out.name}.partial")
        assert (kept / "word-vectors.npy").exists() and (kept / "probe.json").exists() == (stage != "probe")
        resumed = train([texts], out, config=config, steps=STEPS, resume=True)
        assert (resumed.trials, resumed.verdict) == (expected.trials, expected.verdict)
        _assert_same(out, expected.path)


def test_a_transformer_killed_twice_goes_on_to_the_same_model(
    texts: Path, bert: str, uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "model"
    _killed_at(("training", 3), texts, out, bert)
    _killed_at(("training", 6), texts, out, bert, resume=True)
    train([texts], out, encoder=bert, config=CONFIG, steps=STEPS, resume=True)
    _assert_same(out, uninterrupted[bert])
    assert not np.array_equal(
        load_file(out / "model.safetensors")["encoder.layer.0.output.dense.weight"],
        load_file(f"{bert}/model.safetensors")["encoder.layer.0.output.dense.weight"],
    )


def test_a_resumed_model_is_the_same_in_sentence_transformers(
    texts: Path, bert: str, uninterrupted: dict[str, Path]
) -> None:
    for folder in uninterrupted.values():
        theirs = SentenceTransformer(str(folder), device="cpu").encode([*ENGLISH, *CHINESE])
        ours = EmbeddingModel.load(folder, device="cpu").encode([*ENGLISH, *CHINESE])
        assert np.abs(ours - theirs).max() <= 1e-5


def test_a_run_that_cannot_go_on_keeps_what_it_found(texts: Path, tmp_path: Path) -> None:
    out, work = tmp_path / "model", tmp_path / "model.partial"
    _killed_at(("tokens", 0), texts, out, "static")  # the corpus is built, and there is no checkpoint yet
    other = CONFIG.override(["loss.hardness=1"])
    with pytest.raises(InputError, match=r"hardness was 0\.0 and is now 1\.0; go on with the same"):
        train([texts], out, config=other, steps=STEPS, resume=True)
    assert (work / "corpus" / "manifest.json").exists()


def test_another_encoder_is_refused_also_before_the_first_checkpoint(
    texts: Path, bert: str, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    _killed_at(("tokens", 0), texts, out, "static")
    with pytest.raises(InputError, match=r"--encoder was 'static' and is now .*bert.*; go on with the same"):
        train([texts], out, encoder=bert, config=CONFIG, steps=STEPS, resume=True)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), LostProcessError("process 0 lost the others")])
def test_a_run_that_is_stopped_after_it_has_read_all_goes_on_from_there(
    texts: Path,
    uninterrupted: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched, pytest.raises(type(error)):
        patched.setattr(_train, "train_encoder", stopped)
        train([texts], tmp_path / "model", config=CONFIG, steps=STEPS)
    assert (tmp_path / "model.partial" / "store").exists()
    _goes_on_from_what_was_read(texts, tmp_path / "model", uninterrupted["static"], monkeypatch)


def test_a_step_without_memory_keeps_what_was_read(
    texts: Path, uninterrupted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with monkeypatch.context() as patched, pytest.raises(OutOfMemoryError) as caught:
        patched.setattr(StepGradient, "_loss", no_room)
        train([texts], tmp_path / "model", config=CONFIG, steps=STEPS)
    message = str(caught.value)
    assert "with 8 pairs of texts; lower training.batch_size" in message
    assert message.endswith("model.partial: go on with the same command and --resume, or remove it")
    _goes_on_from_what_was_read(texts, tmp_path / "model", uninterrupted["static"], monkeypatch)


@pytest.mark.parametrize(
    "where",
    ["_train.train_encoder", "_train.NTXentLoss", "_preparing.starting_encoder", "_settled.check_settings"],
)
def test_memory_that_runs_out_after_all_was_read_keeps_that(
    texts: Path,
    uninterrupted: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched, pytest.raises(OutOfMemoryError) as caught:
        patched.setattr(f"llmagentos.pipeline.{where}", no_room)
        train([texts], tmp_path / "model", config=CONFIG, steps=STEPS)
    advice = "memory ran out for the run; end what else takes memory, or choose a smaller encoder"
    if where == "_settled.check_settings":  # before anything was read
        assert str(caught.value) == advice and not list(tmp_path.glob("model*"))
        return
    kept = f"what was done is kept in {tmp_path / 'model.partial'}"
    assert str(caught.value) == f"{advice}; {kept}: go on with the same command and --resume, or remove it"
    with pytest.raises(OutputError, match="go on with --resume, or remove that folder"):
        train([texts], tmp_path / "model", config=CONFIG, steps=STEPS)
    _goes_on_from_what_was_read(texts, tmp_path / "model", uninterrupted["static"], monkeypatch)


def _goes_on_from_what_was_read(
    texts: Path, out: Path, expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(*_: object, **__: object) -> None:
        raise AssertionError("all that had been read is read again")

    with monkeypatch.context() as patched:
        for name in ("build_corpus", "build_store", "train_tokenizer"):
            patched.setattr(_preparing, name, again)
        train([texts], out, config=CONFIG, steps=STEPS, resume=True)
    _assert_same(out, expected)


def test_folders_of_others_are_not_touched(texts: Path, tmp_path: Path) -> None:
    work = tmp_path / "mine.partial"
    work.mkdir()
    (work / "thesis.txt").write_text("years of work")
    for resume in (False, True):
        with pytest.raises(OutputError, match=r"mine\.partial is in the way and is not of a run; move it"):
            train([texts], tmp_path / "mine", config=CONFIG, steps=STEPS, resume=resume)
    assert (work / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file.partial").write_text("no folder")
    with pytest.raises(OutputError, match=r"file\.partial is in the way"):
        train([texts], tmp_path / "file", config=CONFIG, steps=STEPS)


def test_two_runs_do_not_work_in_one_folder(texts: Path, tmp_path: Path) -> None:
    refusals: list[str] = []

    def start_another(update: Update) -> None:
        if update.stage == "training" and not refusals:
            for resume in (False, True):
                with pytest.raises(OutputError) as refused:
                    train([texts], tmp_path / "model", config=CONFIG, steps=STEPS, resume=resume)
                refusals.append(str(refused.value))

    train([texts], tmp_path / "model", config=CONFIG, steps=STEPS, on_progress=start_another)
    assert len(refusals) == 2
    assert all("another run is at work in" in one and "kept" not in one for one in refusals)
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_related_words_are_learned_once_a_run(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[int] = []

    def learn(store: TokenStore, spelling: Spelling) -> dict[str, list[str]]:
        learned.append(len(store))
        return {"fox": ["dog", "cat"], "river": ["fence"]}

    monkeypatch.setattr(_related_words, "learn_related_words", learn)
    config = CONFIG.override(["views.word_replacement=0.5"])

    def stop(update: Update) -> None:
        if update.stage == "training" and update.done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([texts], tmp_path / "model", config=config, steps=STEPS, on_progress=stop)
    train([texts], tmp_path / "model", config=config, steps=STEPS, resume=True)
    assert len(learned) == 1


def test_a_demo_that_is_stopped_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        _train, "harvest_python_docs", lambda: (Document(id=text, text=text) for text in ENGLISH)
    )

    def stop(update: Update) -> None:
        if update.stage == "training" and update.done >= 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path / "demo", minutes=5, on_progress=stop)
    assert not list(tmp_path.iterdir())


def test_a_demo_that_is_refused_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "demo.partial").mkdir()
    (tmp_path / "demo.partial" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="is in the way"):
        demo(tmp_path / "demo", minutes=5)
    assert (tmp_path / "demo.partial" / "thesis.txt").exists()


def test_text_without_related_words_is_trained_on(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_related_words, "learn_related_words", lambda store, spelling: {})
    config = CONFIG.override(["views.word_replacement=0.5"])
    assert train([texts], tmp_path / "model", config=config, steps=STEPS).result.steps == STEPS


def test_rates_that_suit_the_views_of_a_transformer(texts: Path, bert: str, tmp_path: Path) -> None:
    config = Config().override(
        ["views.crop_min=0.6", "training.batch_size=8"]
    )  # crops end at 0.5, spans at 0.8
    assert train([texts], tmp_path / "model", encoder=bert, config=config, steps=2).result.steps == 2


def test_a_finished_run_has_nothing_to_go_on_with(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(OutputError, match=r"it is finished, so there is nothing to go on with$"):
        train([texts], tmp_path / "model", config=CONFIG, resume=True)
    (tmp_path / "model.partial").mkdir()  # killed while it was cleaning up
    with pytest.raises(OutputError, match=r"model\.partial is left over and can be removed$"):
        train([texts], tmp_path / "model", config=CONFIG, resume=True)
    with pytest.raises(InputError, match="there is no unfinished run in"):
        train([texts], tmp_path / "other", config=CONFIG, resume=True)
