"""The command line. Each command imports what it needs when it runs, so that --help is instant."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from typer import Argument, Option

from llmagentos.errors import InputError, LLMAgentOSError, OutputError

if TYPE_CHECKING:
    from rich.console import Console

    from llmagentos.config import Config
    from llmagentos.pipeline import TrainedModel

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
        help="Files or folders of .txt .md .rst .jsonl .csv .parquet (also .gz .zst), or - for standard input.",
        show_default=False,
    ),
]
_ConfigFile = Annotated[
    Optional[Path], Option("--config", help="A TOML file of settings.", show_default=False)
]
_Set = Annotated[
    Optional[list[str]],
    Option("--set", metavar="section.key=value", help="One setting; may be repeated.", show_default=False),
]
_TextField = Annotated[
    Optional[str], Option(metavar="NAME", help="Key or column that holds the text.", show_default="text")
]
_Model = Annotated[str, Argument(metavar="MODEL", help="A model folder, minilm, or a Hugging Face id.")]


@app.command()
def demo(
    out: Annotated[Path, Option(help="Folder for the model.")] = Path("runs/demo"),
    minutes: Annotated[float, Option(min=0.5, help="Wall time of everything.")] = 4.5,
) -> None:
    """The whole path on text found on this machine, with a report at the end."""
    from llmagentos.pipeline import demo as run
    from llmagentos.pipeline import progress_bars

    console = _console()
    console.print(
        "Learning from the documentation of the Python packages installed here. No labels, no download."
    )
    out = _free_name(out)
    with progress_bars(console) as show:
        trained = run(out, minutes=minutes, on_progress=show)
    _summary(console, trained)


@app.command()
def train(
    inputs: _Inputs,
    out: Annotated[Path, Option(help="New folder for the model.", show_default=False)],
    encoder: Annotated[
        str, Option(help="static (from nothing), minilm, a Hugging Face id, or a model folder.")
    ] = "static",
    minutes: Annotated[Optional[float], Option(help="Wall time of everything.", show_default=False)] = None,
    steps: Annotated[Optional[int], Option(help="Number of steps instead.", show_default=False)] = None,
    config: _ConfigFile = None,
    settings: _Set = None,
    text_field: _TextField = None,
    resume: Annotated[bool, Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Learn an embedding model from unlabelled text, and measure it on text held out."""
    if minutes is not None and steps is not None:
        raise InputError("give --minutes or --steps, not both")
    if minutes is not None and minutes <= 0:
        raise InputError(f"--minutes must be > 0, got {minutes:g}; 5 is a good start")
    if steps is not None and steps <= 0:
        raise InputError(f"--steps must be > 0, got {steps}; 1000 is a good start")
    loaded = _config(config, settings, text_field)
    from llmagentos.pipeline import progress_bars
    from llmagentos.pipeline import train as run

    console = _console()
    with progress_bars(console) as show:
        trained = run(
            inputs,
            out,
            encoder=encoder,
            config=loaded,
            minutes=minutes,
            steps=steps,
            resume=resume,
            on_progress=show,
        )
    _summary(console, trained)


@app.command()
def evaluate(
    model: _Model,
    task: Annotated[
        Optional[list[str]],
        Option(
            metavar="PATH",
            help="A folder (BEIR layout), a .tsv (STS or labels) or FILE.jsonl:title; may be repeated. "
            "Default: the model's own held-out text.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        Optional[list[str]],
        Option(metavar="MODEL|bm25", help="Compare with; may be repeated.", show_default=False),
    ] = None,
    json: Annotated[Optional[Path], Option(help="Write the scores here.", show_default=False)] = None,
    html: Annotated[Optional[Path], Option(help="Write a page here.", show_default=False)] = None,
) -> None:
    """Scores with intervals, beside trivial floors and other models."""
    from llmagentos.evaluation import evaluate as measure
    from llmagentos.evaluation import load_task, write_report
    from llmagentos.model import EmbeddingModel

    paths = task or [f"{Path(model) / 'heldout.jsonl'}:title"]
    if not task and not (Path(model) / "heldout.jsonl").exists():
        raise InputError(f"{model} has no heldout.jsonl; say what to measure with --task PATH")
    tasks = [load_task(path) for path in paths]
    loaded = EmbeddingModel.load(model)
    named = [name for name in baseline or [] if name in ("bm25", "tfidf")]
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
    """Write the vector of every text: rows of a .npy, or id, text and vector in a .parquet."""
    if out.suffix not in (".npy", ".parquet"):
        raise OutputError(f"--out must end in .npy or .parquet, got {out}; name it {out}.npy")
    if out.exists():
        raise OutputError(f"{out} exists already; choose another --out, or remove it first")
    from llmagentos.model import EmbeddingModel, write_embeddings

    loaded = EmbeddingModel.load(model)
    count = write_embeddings(loaded, input, out, _config(None, None, text_field).corpus)
    _console().print(f"{count:,} vectors of {loaded.dimension} numbers are in {out}")


@app.command()
def views(
    input: Annotated[str, Argument(metavar="INPUT", help="A file or folder of text, or -.")],
    encoder: Annotated[
        str, Option(help="Whose tokenizer: static (trained on the input), minilm, or another.")
    ] = "static",
    n: Annotated[int, Option(min=1, max=1000, help="Number of texts.")] = 5,
    config: _ConfigFile = None,
    settings: _Set = None,
    text_field: _TextField = None,
) -> None:
    """Show what augmentation does to your text: the original, two views, and what changed."""
    from llmagentos.pipeline import show_views

    show_views(input, _config(config, settings, text_field), encoder=encoder, num_texts=n, console=_console())


@corpus_app.command("build")
def corpus_build(
    inputs: _Inputs,
    out: Annotated[Path, Option(help="New folder for the corpus.", show_default=False)],
    config: _ConfigFile = None,
    settings: _Set = None,
    text_field: _TextField = None,
) -> None:
    """Clean, deduplicate and split text into a folder with a manifest that counts every drop."""
    from llmagentos.corpus import build_corpus

    corpus = build_corpus(inputs, out, _config(config, settings, text_field).corpus)
    _console().print(corpus.manifest)


@corpus_app.command("stats")
def corpus_stats(folder: Annotated[Path, Argument(metavar="DIR", help="From corpus build.")]) -> None:
    """What a corpus holds, and what was left out and why."""
    from llmagentos.corpus import Corpus

    _console().print(Corpus.open(folder).manifest)


def _console() -> "Console":
    from rich.console import Console

    return Console()


def _config(file: Path | None, settings: list[str] | None, text_field: str | None) -> "Config":
    from llmagentos.config import Config

    loaded = Config() if file is None else Config.from_file(file)
    given = list(settings or [])
    if text_field is not None:
        given.append(f"corpus.text_field={text_field}")
    return loaded.override(given) if given else loaded


def _free_name(out: Path) -> Path:
    """`out`, or out-2, out-3 ... where an earlier demo left its model."""
    number, free = 1, out
    while free.exists() or free.with_name(free.name + ".partial").exists():
        number += 1
        free = out.with_name(f"{out.name}-{number}")
    return free


def _summary(console: "Console", trained: "TrainedModel") -> None:
    console.print()
    if trained.report is None:
        console.print("Too few texts were held out to measure anything; more text gives a report.")
    else:
        console.print(trained.report)
    console.print(f"\nDone in {trained.seconds / 60:.1f} minutes.")
    rows = [("model", trained.path)]
    if trained.report is not None:
        rows.append(("report", trained.html))
    for name, path in rows:
        console.print(f"  {name:<8}{path}", highlight=False)
    console.print("\nNext:")
    for command in (
        f"llmagentos evaluate {trained.path} --baseline minilm",
        f"llmagentos embed {trained.path} YOUR_TEXTS.jsonl --out vectors.npy",
        "llmagentos train YOUR_TEXTS.jsonl --out my-model --minutes 5",
    ):
        console.print(f"  {command}", highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; an error of ours is one sentence and exit status 2."""
    try:
        app()
    except LLMAgentOSError as error:
        print(f"llmagentos: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("llmagentos: stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
