"""What makes no sense is refused: one sentence with what to do, status 2, nothing half-written."""

import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llmagentos.model import EmbeddingModel

from .cli import ENGLISH, TINY, run, write_texts
from .dying import run_with_file_limit


def _tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a command in a folder with texts.txt; it must refuse and leave the folder as it was."""
    write_texts(tmp_path)
    monkeypatch.chdir(tmp_path)

    def refuse(*arguments: str | Path, stdin: bytes = b"") -> str:
        before = _tree(tmp_path)
        sentence = run(*arguments, stdin=stdin).sentence
        assert _tree(tmp_path) == before
        return sentence

    return refuse


TRAIN = ("train", "texts.txt", "--out", "new/model", "--steps", "5", *TINY)


def test_a_missing_file(refused: Callable[..., str]) -> None:
    for command in ("train", "corpus build"):
        sentence = refused(*command.split(), "text.txt", "--out", "new/out")
        assert "there is no file or folder text.txt; did you mean texts.txt?" in sentence
    assert "did you mean" in refused("views", "text.txt")
    assert "check the spelling of the whole path" in refused("train", "no/where.txt", "--out", "out")
    assert "is not a corpus" in refused("corpus", "stats", "nowhere")


def test_a_folder_with_nothing_readable(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"\x89PNG\0")
    sentence = refused("train", "pictures", "--out", "new/model")
    assert "pictures has nothing that can be read, found: file type not read: .png (1)" in sentence
    assert "has nothing that can be read" in refused("views", "pictures")


def test_a_text_field_that_does_not_exist(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in ENGLISH))
    sentence = refused("train", "a.jsonl", "--out", "new/model", "--text-field", "bodies")
    assert "no row of a.jsonl has a field 'bodies'; fields seen: body; did you mean --text-field body?" in (
        sentence
    )
    assert "fields seen: body" in refused("views", "a.jsonl")


@pytest.mark.parametrize("texts", [[ENGLISH[0]], [ENGLISH[0]] * 5, ["short", "tiny"]])
def test_a_corpus_of_one_text(refused: Callable[..., str], tmp_path: Path, texts: list[str]) -> None:
    write_texts(tmp_path, texts)
    for command in (TRAIN, ("corpus", "build", "texts.txt", "--out", "new/corpus")):
        assert "at least 2 different documents are needed" in refused(*command)


def test_two_texts_of_which_one_is_held_out(refused: Callable[..., str], tmp_path: Path) -> None:
    write_texts(tmp_path, ENGLISH[:2])
    sentence = refused("train", "texts.txt", "--out", "new/model", "--steps", "5")
    assert "at least 2 texts, got 1; give more text" in sentence


def test_empty_standard_input(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "at least 2 different documents are needed, 0 left" in refused("train", "-", "--out", "new/model")
    assert "there is no text in -" in refused("views", "-")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("loss.temperature=0", "temperature must be > 0, got 0; 0.02 to 0.1 is usual (loss.temperature)"),
        ("loss.temprature=1", "there is no setting loss.temprature; did you mean loss.temperature?"),
        ("training.batch_size=none", "batch_size must be a valid integer"),
        ("views.crop_min=0.9", "views.crop_min must be at most views.crop_max"),
    ],
)
def test_settings(refused: Callable[..., str], setting: str, sentence: str) -> None:
    assert sentence in refused(*TRAIN, "--set", setting)


def test_a_configuration_that_cannot_be_read(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("loss.temperature 3")
    assert "missing.toml cannot be read" in refused(*TRAIN, "--config", "missing.toml")
    assert "in bad.toml: the configuration is not TOML" in refused(*TRAIN, "--config", "bad.toml")
    assert "cannot be read" in refused("corpus", "build", "texts.txt", "--out", "c", "--config", ".")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--minutes", "0"], "minutes must be > 0 and at most 1,000,000, got 0"),
        (["--minutes", "-1"], "minutes must be > 0 and at most 1,000,000, got -1"),
        (["--minutes", "nan"], "minutes must be > 0 and at most 1,000,000, got nan"),
        (["--minutes", "inf"], "minutes must be > 0 and at most 1,000,000, got inf"),
        (["--minutes", "1e308"], "minutes must be > 0 and at most 1,000,000, got 1e+308"),
        (["--steps", "0"], "steps must be > 0, got 0"),
        (["--steps", "-5"], "steps must be > 0, got -5"),
        (["--steps", "5", "--minutes", "1"], "give minutes or steps, not both"),
    ],
)
def test_budgets(refused: Callable[..., str], arguments: list[str], sentence: str) -> None:
    assert sentence in refused("train", "texts.txt", "--out", "new/model", *arguments)
    if len(arguments) == 2 and arguments[0] == "--minutes":
        assert sentence in refused("demo", "--out", "new/model", *arguments)


def test_an_out_that_exists(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "precious").write_text("mine")
    for command in (
        ["train", "texts.txt", "--out", "there"],
        ["train", "texts.txt", "--out", "there", "--resume"],
        ["train", "texts.txt", "--out", "texts.txt"],
        ["corpus", "build", "texts.txt", "--out", "there"],
    ):
        assert "exists already" in refused(*command)
    (tmp_path / "v.npy").touch()
    assert "v.npy exists already" in refused("embed", "minilm", "texts.txt", "--out", "v.npy")
    assert "must end in .npy or .parquet" in refused("embed", "minilm", "texts.txt", "--out", "v.csv")


def test_resume_with_nothing_to_go_on_with(refused: Callable[..., str]) -> None:
    assert "there is no unfinished run in new/model.partial" in refused(*TRAIN, "--resume")


@pytest.mark.parametrize("out", ["docs/model", "docs/deeper/model", "../{name}/docs/model"])
def test_an_out_inside_an_input_folder(refused: Callable[..., str], tmp_path: Path, out: str) -> None:
    (tmp_path / "docs").mkdir()
    write_texts(tmp_path / "docs")
    out = out.format(name=tmp_path.name)
    for command in (["train"], ["corpus", "build"]):
        assert "lies inside the input docs" in refused(*command, "docs", "--out", out)
    assert "lies inside the input docs" in refused("embed", "minilm", "docs", "--out", f"{out}.parquet")
    assert "exists already" in refused("train", "docs", "--out", "docs")


def test_an_out_that_cannot_be_made(refused: Callable[..., str]) -> None:
    # A file where a folder is due: as root, permissions refuse nothing.
    assert "texts.txt/model cannot be written" in refused("train", "texts.txt", "--out", "texts.txt/model")
    assert "cannot be written" in refused("corpus", "build", "texts.txt", "--out", "texts.txt/corpus")
    assert "cannot be written" in refused("train", "texts.txt", "--out", "/proc/model")


def test_names_that_cannot_be(refused: Callable[..., str], tmp_path: Path) -> None:
    text = "This is a text where a path belongs. " * 10
    for command in (
        ["train", text, "--out", "new/model"],
        ["train", "texts.txt", "--out", text],
        [*TRAIN, "--encoder", text],
        ["evaluate", text],
        ["evaluate", "minilm", "--task", text],
        ["views", text],
    ):
        assert "This is a text where a path belongs" in refused(*command)
    assert "nouser" in refused("train", "~nouser/x.txt", "--out", "new/model")
    assert "nouser" in refused(*TRAIN, "--encoder", "~nouser/x")
    for out in ("/", "bad\udcff"):
        assert "--out must be a new name in UTF-8" in refused("train", "texts.txt", "--out", out)
    assert "cannot be its own baseline" in refused(
        "evaluate", "minilm", "--task", _task(Path("t.tsv")), "--baseline", "minilm"
    )


def test_an_unknown_encoder(refused: Callable[..., str]) -> None:
    assert "no folder nobody/nothing" in refused(*TRAIN, "--encoder", "nobody/nothing")
    assert "no-such-model" in refused("views", "texts.txt", "--encoder", "no-such-model")
    assert "no-such-model" in refused("embed", "no-such-model", "texts.txt", "--out", "v.npy")
    assert "no model folder at a/b/c" in refused("evaluate", "a/b/c", "--task", _task(Path("t.tsv")))


def test_a_model_folder_with_pickles_only(refused: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": 1}))
    assert "never loaded" in refused("embed", "old", "texts.txt", "--out", "v.npy")


def _task(path: Path, rows: str = "5\ta cat\tthe cat\n0\ta cat\tthe sea\n") -> Path:
    path.write_text(f"score\tsentence1\tsentence2\n{rows}")
    return path


def test_a_malformed_task(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert "has no heldout.jsonl; say what to measure with --task" in refused("evaluate", "model")
    for row in ('{"text": "no title"}', "[1]", "{broken"):
        (tmp_path / "model" / "heldout.jsonl").write_text(row)
        assert "heldout.jsonl is damaged" in refused("evaluate", "model")
    _task(tmp_path / "bad.tsv", "high\ta\tb\n")
    assert "bad.tsv, line 2" in refused("evaluate", "model", "--task", "bad.tsv")
    assert "there is no task at no.tsv" in refused("evaluate", "model", "--task", "no.tsv")
    assert "is not a task" in refused("evaluate", "model", "--task", "texts.txt")


@pytest.mark.parametrize("num_bytes", [100, 1_000, 2_500, 5_000, 9_000, 20_000, 40_000, 80_000, 10**8])
def test_training_on_a_full_disk(tmp_path: Path, num_bytes: int) -> None:
    """A limit on the size of files is met at every stage in turn."""
    texts = write_texts(tmp_path)
    held = ("--set", "corpus.heldout_fraction=0.5")
    done = run_with_file_limit(
        num_bytes, "train", texts, "--out", tmp_path / "new" / "model", "--steps", "5", *TINY, *held
    )
    if done.status == 0:
        assert num_bytes >= 20_000
        assert EmbeddingModel.load(tmp_path / "new" / "model").dimension == 16
        assert not (tmp_path / "new" / "model.partial").exists()
        return
    assert num_bytes < 10**8, done
    assert any(word in done.sentence for word in ("full", "too large", "free some space")), done
    assert not (tmp_path / "new" / "model").exists()
    if (tmp_path / "new").exists():  # a checkpoint was written before the disk was full
        assert (tmp_path / "new" / "model.partial" / "run" / "checkpoints").is_dir()
        resumed = run(
            "train", texts, "--out", tmp_path / "new" / "model", "--steps", "5", *TINY, *held, "--resume"
        )
        assert resumed.status == 0, resumed


@pytest.mark.parametrize("command", ["corpus", "npy", "parquet", "html"])
def test_other_commands_on_a_full_disk(tmp_path: Path, command: str) -> None:
    texts = write_texts(tmp_path, [f"{text} {copy}" for copy in range(20) for text in ENGLISH])
    out = tmp_path / "new" / f"out.{command}"
    if command == "corpus":
        done = run_with_file_limit(500, "corpus", "build", texts, "--out", out)
    elif command == "html":
        settings = ("--set", "tokens.vocabulary_size=300")
        done = run_with_file_limit(60_000, "views", texts, "-n", "200", "--html", out, *settings)
    else:
        model = tmp_path / "model"
        assert run("train", texts, "--out", model, "--steps", "2", *TINY).status == 0
        done = run_with_file_limit(3_000, "embed", model, texts, "--out", out)
    assert "full" in done.sentence
    assert not out.exists() and not [name for name in _tree(tmp_path) if "partial" in name]


def test_training_on_a_small_file_system(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this user may not mount a file system")
    try:
        texts = write_texts(tmp_path)
        big = ("--set", "encoder.dimension=512")
        done = run("train", texts, "--out", disk / "new" / "model", "--steps", "5", *TINY, *big)
        assert "checkpoint" in done.sentence or "full" in done.sentence
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_run_keeps_its_checkpoint_and_says_how_to_go_on(tmp_path: Path, name: str) -> None:
    if signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        pytest.skip("these tests run under nohup or in the background of a script, and so would the command")
    texts = write_texts(tmp_path)
    arguments = [
        *("train", str(texts), "--out", str(tmp_path / "model")),
        *("--steps", "4000", "--set=training.max_epochs=10000", *TINY),
    ]
    command = [sys.executable, "-m", "llmagentos", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    checkpoints = tmp_path / "model.partial" / "run" / "checkpoints"
    while not list(checkpoints.glob("step-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err == (
        f"llmagentos: stopped; what was done is kept in {tmp_path / 'model.partial'}; "
        "go on with the same command and --resume\n"
    )
    assert list(checkpoints.glob("step-*")) and not (tmp_path / "model").exists()
    again = run(*arguments).sentence
    assert "an unfinished run is in" in again and "go on with --resume" in again


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    assert run("corpus", "build", write_texts(tmp_path), "--out", tmp_path / "corpus").status == 0
    command = [sys.executable, "-m", "llmagentos", "corpus", "stats", str(tmp_path / "corpus")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()  # as `| head -0` does
        assert process.wait(timeout=60) in (0, 1)
        assert process.stderr.read() == ""
