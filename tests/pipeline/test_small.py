"""`--encoder small`: two stages, the same when it goes on, and static where time is short."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from llmagentos.config import Config
from llmagentos.encoder import StaticEncoder
from llmagentos.errors import ConfigError
from llmagentos.model import EmbeddingModel
from llmagentos.pipeline import train
from llmagentos.pipeline._small import small_config, why_static
from llmagentos.training import TrainingConfig

from ..cli import ENGLISH, TINY, run, write_texts

SMALL = (*TINY, "--set=encoder.heads=2", "--set=corpus.heldout_fraction=0.5", "--encoder=small")


def test_it_grows_on_its_table(tmp_path: Path) -> None:
    out = tmp_path / "model"
    done = run("train", write_texts(tmp_path), "--out", out, "--steps", "6", *SMALL)
    assert done.status == 0 and done.err == "", done
    assert "table 100%" in done.out and "training 100%" in done.out
    config = Config.from_file(out / "config.toml")
    assert (config.training.batch_size, config.views.preset) == (8, "crop")
    assert json.loads((out / "config.json").read_text())["model_type"] == "modernbert"
    assert load_file(out / "model.safetensors")["layers.1.attn.Wo.weight"].any()
    theirs = SentenceTransformer(str(out), device="cpu").encode(ENGLISH[:10])
    np.testing.assert_allclose(EmbeddingModel.load(out, device="cpu").encode(ENGLISH[:10]), theirs, atol=1e-5)


def test_what_it_goes_on_from_is_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, config = write_texts(tmp_path), Config().override([one[6:] for one in SMALL[:-1]])
    whole = train([texts], tmp_path / "whole", encoder="small", config=config, steps=4)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for stage in ("train_table", "starting_encoder"):  # before the table, and after it
        out = tmp_path / stage
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(f"llmagentos.pipeline._train.{stage}", stop)
            train([texts], out, encoder="small", config=config, steps=4)
        train([texts], out, encoder="small", config=config, steps=4, resume=True)
        weights = [(folder / "model.safetensors").read_bytes() for folder in (whole.path, out)]
        assert weights[0] == weights[1], stage


@pytest.mark.parametrize(
    ("minutes", "steps", "on_gpu", "grows"),
    [(20.0, None, False, False), (21.0, None, False, True), (1.0, None, True, True), (10.0, 5, False, True)],
)
def test_where_time_is_short_it_stays_with_static(
    minutes: float, steps: int | None, *, on_gpu: bool, grows: bool
) -> None:
    reason = why_static(minutes, steps, on_gpu=on_gpu)
    assert (reason == "") == grows
    assert grows or f"and there are {minutes:g} in all; to let it grow give more than 20" in reason


def test_it_says_that_it_stays_with_static(tmp_path: Path) -> None:
    out = tmp_path / "model"
    fast = ("--minutes=0.2", "--set=training.max_epochs=1")
    done = run("train", write_texts(tmp_path), "--out", out, *SMALL, *fast)
    assert done.status == 0, done
    assert "small 100% stays with static: in 20 minutes of two cores a branch" in done.out
    assert isinstance(EmbeddingModel.load(out).encoder, StaticEncoder)


def test_settings_that_are_given_stay() -> None:
    given = Config().override(["training.batch_size=7", "views.preset=span"])
    config = small_config(given, on_gpu=False)
    assert (config.training.batch_size, config.views.preset) == (7, "span")
    assert config.training.learning_rate and not TrainingConfig().learning_rate
    with pytest.raises(ConfigError, match=r"heads must divide half the width .* 512, got 7"):
        small_config(Config().override(["encoder.heads=7"]), on_gpu=False)


def test_a_gpu_takes_larger_batches() -> None:
    on_cpu, on_gpu = (small_config(Config(), on_gpu=there).training for there in (False, True))
    assert (on_cpu.batch_size, on_gpu.batch_size) == (256, 2048)
    assert on_cpu.table_rate == on_gpu.table_rate == 0


def test_heads_are_refused_before_the_text_is_read(tmp_path: Path) -> None:
    texts, heads = tmp_path / "missing", "--set=encoder.heads=7"
    done = run("train", texts, "--out", tmp_path / "model", "--steps=2", *SMALL, heads)
    assert "heads must divide half the width of the encoder, which is 16, got 7; 8 is the" in done.sentence
