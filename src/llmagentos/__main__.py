"""The command line. Each command imports what it needs when it runs, so that --help is instant."""

import errno
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer import Argument, Option

from llmagentos.errors import InputError, LLMAgentOSError, OutputError

if TYPE_CHECKING:
    from rich.console import Console

    from llmagentos.config import Config
    from llmagentos.evaluation import RetrievalTask

_MEASURED_TEXTS = 2_000
# How often OpenMP's threads look whether there is work before they sleep; left alone they keep the processor
# from whoever else needs it. 60 steps of static on two cores: 11.7 s in either case, and beside another such
# run 49.8 s left alone and 23.5 s with 3,000.
_SPINS = "3000"

app = typer.Typer(
    help="Unlabelled text in, a measured embedding model out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
corpus_app = typer.Typer(help="Clean, deduplicate and split text; look at the result.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus")

_Inputs = Annotated[
    list[str],
    Argument(
        metavar="INPUT...",
        help="Files or folders of .txt .md .rst .jsonl .csv .parquet (also .gz .zst), or - for "
        "standard input.",
        show_default=False,
    ),
]
_ConfigFile = Annotated[Path | None, Option("--config", help="A TOML file of settings.", show_default=False)]
_Set = Annotated[
    list[str] | None,
    Option("--set", metavar="section.key=value", help="One setting; may be repeated.", show_default=False),
]
_TextField = Annotated[
    str | None, Option(metavar="NAME", help="Key or column that holds the text.", show_default="text")
]
_Model = Annotated[str, Argument(metavar="MODEL", help="A model folder, minilm, or a Hugging Face id.")]


@app.command()
def demo(
    out: Annotated[Path, Option(help="Folder for the model.")] = Path("runs/demo"),
    minutes: Annotated[float, Option(help="Wall time of everything.")] = 4.0,
) -> None:
    """The whole path on text found on this machine, with a report at the end."""
    from llmagentos.pipeline import demo as run
    from llmagentos.pipeline import print_summary, progress_bars

    console = _console()
    console.print(
        "Learning from the documentation of the Python packages installed here. No labels, no download."
    )
    _check_out(out, [])
    out = _free_name(out if out.name else out.resolve())
    with progress_bars(console) as show:
        trained = run(out, minutes=minutes, on_progress=show)
    print_summary(console, trained, timed=True)


@app.command()
def train(
    inputs: _Inputs,
    out: Annotated[Path, Option(help="New folder for the model.", show_default=False)],
    encoder: Annotated[
        str,
        Option(
            help="static or small (both from nothing; small is a Transformer on top and needs more time), "
            "minilm, a Hugging Face id, or a model folder."
        ),
    ] = "static",
    minutes: Annotated[float | None, Option(help="Wall time of everything.", show_default=False)] = None,
    steps: Annotated[int | None, Option(help="Number of steps instead.", show_default=False)] = None,
    config: _ConfigFile = None,
    settings: _Set = None,
    text_field: _TextField = None,
    adapt_vocabulary: Annotated[
        bool,
        Option(
            "--adapt-vocabulary",
            help="Add the words of the text that the model's tokenizer lacks, and train them fastest.",
        ),
    ] = False,
    task: Annotated[
        list[str] | None,
        Option(
            metavar="PATH",
            help="Measure on this too, before and after (as evaluate takes it); may be repeated.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with a run that was stopped.")] = False,
    ray: Annotated[
        str | None,
        Option(metavar="ADDRESS", help="Train on this Ray cluster (auto, local).", show_default=False),
    ] = None,
) -> None:
    """Learn an embedding model from unlabelled text, and measure it on text held out."""
    _check_out(out, inputs)
    given = [*(settings or []), *(["encoder.adapt_vocabulary=true"] if adapt_vocabulary else [])]
    loaded = _config(config, given, text_field)
    how: dict[str, Any] = {
        "encoder": encoder,
        "config": loaded,
        "minutes": minutes,
        "steps": steps,
        "tasks": task or (),
        "resume": resume,
    }
    if ray is not None:
        from llmagentos.pipeline import train_on_ray

        with _tells_how_to_go_on(out):
            train_on_ray(ray, inputs, out, **how)
        report = out / "report.html"
        print(f"The model is in {out}" + (f", its report in {report}" if report.exists() else ""))
        return
    from llmagentos.pipeline import print_summary, progress_bars
    from llmagentos.pipeline import train as run
    from llmagentos.training import joined_ranks

    console = _console()
    with _tells_how_to_go_on(out), joined_ranks() as ranks, progress_bars(console) as show:
        trained = run(inputs, out, **how, on_progress=show)
    if ranks.is_first:
        print_summary(console, trained, timed=steps is None)


@app.command()
def evaluate(
    model: _Model,
    task: Annotated[
        list[str] | None,
        Option(
            metavar="PATH",
            help="A folder (BEIR layout), a .tsv (STS or labels) or FILE.jsonl:title; may be repeated. "
            "Default: the model's own held-out text.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        Option(metavar="MODEL|bm25", help="Compare with; may be repeated.", show_default=False),
    ] = None,
    json: Annotated[Path | None, Option(help="Write the scores here.", show_default=False)] = None,
    html: Annotated[Path | None, Option(help="Write a page here.", show_default=False)] = None,
) -> None:
    """Scores with intervals, beside trivial floors and other models."""
    from llmagentos.evaluation import evaluate as measure
    from llmagentos.evaluation import load_task, write_report
    from llmagentos.model import EmbeddingModel

    tasks = [load_task(path) for path in task] if task else [_own_task(model)]
    loaded = EmbeddingModel.load(model)
    named = [name for name in baseline or [] if name in ("bm25", "tfidf")]
    if model in (baseline or []):
        raise InputError(f"{model} cannot be its own baseline; leave out --baseline {model}")
    others = {name: EmbeddingModel.load(name) for name in baseline or [] if name not in named}
    console = _console()
    with console.status("") as status:
        report = measure(
            loaded,
            tasks,
            label=model,
            baselines=[*named, *others.items()],
            on_progress=lambda done, total, what: status.update(f"{done} of {total}: {what}"),
        )
    console.print(report)
    if json is not None:
        report.write_json(json)
    if html is not None:
        write_report(html, title=f"Evaluation of {model}", report=report, facts={"model": model})


@app.command()
def embed(
    model: _Model,
    input: Annotated[str, Argument(metavar="INPUT", help="A file or folder of text, or -.")],
    out: Annotated[Path, Option(help="FILE.npy or FILE.parquet.", show_default=False)],
    text_field: _TextField = None,
) -> None:
    """Write the vector of every text: rows of a .npy, or id, title, text and vector in a .parquet."""
    if out.suffix not in (".npy", ".parquet"):
        raise OutputError(f"--out must end in .npy or .parquet, got {out}; for example {out}.npy")
    if out.exists():
        raise OutputError(f"{out} exists already; choose another --out, or remove it first")
    _check_out(out, [input] if out.suffix == ".parquet" else [])
    settings = _config(None, None, text_field).corpus
    from llmagentos.corpus import read_documents
    from llmagentos.model import EmbeddingModel, write_embeddings
    from llmagentos.pipeline import counted

    documents = read_documents([input], settings)  # says at once that a file is missing
    loaded = EmbeddingModel.load(model)
    console = _console()
    with console.status("") as status:
        written = write_embeddings(
            loaded, documents, out, on_progress=lambda count: status.update(f"{count:,} texts")
        )
    vectors = "1 vector" if written.num_texts == 1 else f"{written.num_texts:,} vectors"
    console.print(f"{vectors} of {loaded.dimension} numbers in {out}", soft_wrap=True, markup=False)
    if written.skipped:
        without = f"Without a vector, because they are no text: {counted(written.skipped)}"
        console.print(without, soft_wrap=True, markup=False)


@app.command()
def views(
    input: Annotated[str, Argument(metavar="INPUT", help="A file or folder of text, or -.")],
    encoder: Annotated[
        str, Option(help="Whose tokenizer: static (trained on the input), minilm, or another.")
    ] = "static",
    n: Annotated[int, Option("--n", "-n", min=1, max=1000, help="Number of texts.")] = 5,
    html: Annotated[Path | None, Option(help="Also write a page here.", show_default=False)] = None,
    config: _ConfigFile = None,
    settings: _Set = None,
    text_field: _TextField = None,
) -> None:
    """Show what augmentation does to your text: the original, two views, and what changed."""
    loaded = _config(config, settings, text_field)
    from llmagentos.pipeline import show_views, write_views_page

    console = _console()
    with console.status("reading, learning tokens, making views"):
        shown = show_views(input, loaded, encoder=encoder, num_texts=n)
    console.print(shown)
    if html is not None:
        write_views_page(shown, html)
        console.print(f"\nThe page is {html}", soft_wrap=True, markup=False)


@corpus_app.command("build")
def corpus_build(
    inputs: _Inputs,
    out: Annotated[Path, Option(help="New folder for the corpus.", show_default=False)],
    config: _ConfigFile = None,
    settings: _Set = None,
    text_field: _TextField = None,
) -> None:
    """Clean, deduplicate and split text into a folder with a manifest that counts every drop."""
    _check_out(out, inputs)
    loaded = _config(config, settings, text_field)
    from llmagentos.corpus import build_corpus
    from llmagentos.pipeline import Update, progress_bars

    console = _console()
    with progress_bars(console) as show:
        corpus = build_corpus(
            inputs,
            out,
            loaded.corpus,
            on_progress=lambda progress: show(
                Update(
                    stage="corpus",
                    done=progress.bytes_read,
                    total=progress.total_bytes,
                    note=f"{progress.documents:,} documents",
                )
            ),
        )
    console.print(corpus.manifest)


@corpus_app.command("stats")
def corpus_stats(folder: Annotated[Path, Argument(metavar="DIR", help="From corpus build.")]) -> None:
    """What a corpus holds, and what was left out and why."""
    from llmagentos.corpus import Corpus

    _console().print(Corpus.open(folder).manifest)


@corpus_app.command("related")
def corpus_related(
    word: Annotated[str, Argument(metavar="WORD")],
    corpus: Annotated[
        Path | None, Option(metavar="DIR", help="From corpus build; needed.", show_default=False)
    ] = None,
) -> None:
    """Words that can stand for WORD, learned from a corpus (a minute at the first call)."""
    if corpus is None:
        raise InputError(
            "related words are learned from a corpus: say which with --corpus DIR, "
            "made by llmagentos corpus build INPUT... --out DIR"
        )
    from llmagentos.config import Config
    from llmagentos.corpus import Corpus
    from llmagentos.pipeline import related_to, related_words

    opened = Corpus.open(corpus)
    console = _console()
    with console.status("learning related words"):
        related = related_words(opened, Config())
    console.print(", ".join(related_to(word, related)), highlight=False, markup=False, soft_wrap=True)


def _console() -> "Console":
    from rich.console import Console

    return Console()


def _config(file: Path | None, settings: list[str] | None, text_field: str | None) -> "Config":
    import json

    from llmagentos.config import Config

    loaded = Config() if file is None else Config.from_file(file)
    given = list(settings or [])
    if text_field is not None:
        given.append(f"corpus.text_field={json.dumps(text_field, ensure_ascii=False)}")
    return loaded.override(given) if given else loaded


def _own_task(model: str) -> "RetrievalTask":
    """The text that was held out when a model was trained."""
    from llmagentos.pipeline import heldout_task

    path = Path(model) / "heldout.jsonl"
    found = heldout_task(path, _MEASURED_TEXTS) if path.exists() else None
    if found is None:
        has = "has no heldout.jsonl" if not path.exists() else "has too few held-out texts to measure"
        raise InputError(f"{model} {has}; say what to measure with --task PATH")
    return found


def _check_out(out: Path, inputs: Sequence[str]) -> None:
    """Refuse a name that nothing can have, and a place where a later run would read the output as text."""
    if not out.resolve().name or os.fsencode(out).decode("utf-8", "replace") != str(out):
        raise OutputError(f"--out must be a new name in UTF-8, got {str(out)!r}; for example --out my-model")
    for given in inputs:
        folder = Path(os.path.expanduser(given))
        if given != "-" and folder.is_dir() and folder.resolve() in out.resolve().parents:
            raise OutputError(
                f"--out {out} lies inside the input {given}, where the next run would read it as text; "
                "choose a place outside"
            )


@contextmanager
def _tells_how_to_go_on(out: Path) -> Iterator[None]:
    """Say what an interrupted run has left."""
    try:
        yield
    except KeyboardInterrupt:
        work = out.with_name(out.name + ".partial")
        left = (
            f"what was done is kept in {work}; go on with the same command and --resume"
            if work.exists()
            else "there was nothing yet to go on from, and nothing is left behind"
        )
        print(f"llmagentos: stopped; {left}", file=sys.stderr)
        raise


def _free_name(out: Path) -> Path:
    """`out`, or out-2, out-3 ... where an earlier demo left its model."""
    number, free = 1, out
    while free.exists() or free.with_name(free.name + ".partial").exists():
        number += 1
        free = out.with_name(f"{out.name}-{number}")
    return free


def main() -> None:
    """Run the command line; an error of ours is one sentence and exit status 2."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)  # read when torch is imported
    for stops in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(stops) != signal.SIG_IGN:  # as nohup has it
            signal.signal(stops, _stop)
    try:
        app()
    except LLMAgentOSError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            _fail(f"the disk (or the quota) is full ({error}); free some space and run the command again")
        if error.filename is None:
            raise
        if error.errno == errno.ENAMETOOLONG:
            name = str(error.filename)
            _fail(
                f"the name {name[:40]!r}... has {len(name):,} characters, too many; give a path, not a text"
            )
        _fail(f"{error.filename} cannot be used ({error.strerror}); check the path and its permissions")


def _stop(signum: int, frame: FrameType | None) -> NoReturn:
    """Take SIGTERM or a closed terminal as Ctrl-C: clean up, say what is left, exit with status 130."""
    # A terminal that closes says so twice, the kernel and the shell: the second must not end the cleaning up.
    for stops in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stops, signal.SIG_IGN)
    raise KeyboardInterrupt


def _fail(sentence: str) -> NoReturn:
    print(f"llmagentos: {sentence}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
