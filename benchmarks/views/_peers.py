"""Other augmentation libraries, in an environment of their own, asked to do one thing at a time."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tokenizers import Tokenizer

from benchmarks.views._data import synonym_rows

PINS = (
    "nlpaug==1.1.11",
    "textaugment==3.0.0",  # EDA; eda-nlp itself is not on the package index
    "nltk==3.10.4",
    "tokenizers==0.23.3",  # as in constraints.txt
    "numpy==2.4.6",
    "pandas==3.1.1",
)
ENVIRONMENT = Path(__file__).resolve().parents[1] / ".cache" / "peers"

# What each option is called there. `None`: no upper bound, where 10 words would be the default.
NLPAUG_OPTIONS = {
    "RandomSentAug": {"mode": "neighbor", "aug_p": 0.5, "aug_max": None},
    "RandomWordAug swap": {"aug_p": 0.1, "aug_max": None},
    "SynonymAug": {"aug_p": 0.1, "aug_max": None},
    "RandomWordAug delete": {"aug_p": 0.1, "aug_max": None},
    "RandomCharAug": {"aug_word_p": 0.1, "aug_word_max": None, "aug_char_max": 1},
}
EDA_OPTIONS = {"share": 0.1}
PEERS = {"packages": PINS, "nlpaug Sequential": NLPAUG_OPTIONS, "textaugment EDA": EDA_OPTIONS}
"""What a configuration says of the peers."""

WORDNET = "wordnet-base"
"""Debian's package of Princeton WordNet 3.0, the data that nlpaug would download with nltk."""
# Its file lexnames, which Debian leaves out; see its manual page lexnames(5WN).
_LEXNAMES = (
    "adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body "
    "noun.cognition noun.communication noun.event noun.feeling noun.food noun.group noun.location "
    "noun.motive noun.object noun.person noun.phenomenon noun.plant noun.possession noun.process "
    "noun.quantity noun.relation noun.shape noun.state noun.substance noun.time verb.body verb.change "
    "verb.cognition verb.communication verb.competition verb.consumption verb.contact verb.creation "
    "verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative verb.weather adj.ppl"
)
_SPEECH_NUMBERS = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}

_TAGS = {"n": "NN", "v": "VB", "a": "JJ", "s": "JJ", "r": "RB"}


def environment() -> Path:
    """The Python of the peers, whose environment is made where there is none (two minutes)."""
    python = ENVIRONMENT / "bin" / "python"
    mark = ENVIRONMENT / "installed"
    wanted = "\n".join(PINS)
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        options = shlex.split(os.environ.get("PIP_ARGS", ""))
        command = [
            str(python),
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            "install",
            *options,
            *PINS,
        ]
        subprocess.run(command, check=True, stdout=sys.stderr)
        mark.write_text(wanted, encoding="utf-8")
    return python


def nltk_data() -> Path | None:
    """A folder with WordNet for nltk; None where Debian's package cannot be had."""
    root = ENVIRONMENT / "nltk_data"
    data = root / "corpora" / "wordnet"
    if (data / "lexnames").exists():
        return root
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt reads it as a user of its own
        try:
            subprocess.run(["apt-get", "download", "-qq", WORDNET], cwd=folder, check=True, stdout=sys.stderr)
            subprocess.run(["dpkg-deb", "-x", *map(str, folder.glob("*.deb")), str(folder)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"no {WORDNET} ({error}): nlpaug gets the dictionary of ours", file=sys.stderr)
            return None
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(folder / "usr" / "share" / "wordnet", data)
    lines = (
        f"{number:02}\t{name}\t{_SPEECH_NUMBERS[name.split('.')[0]]}\n"
        for number, name in enumerate(_LEXNAMES.split())
    )
    (data / "lexnames").write_text("".join(lines), encoding="utf-8")
    return root


class Peers:
    """The process of the peers, with the same texts and the same dictionary as ours.

    Args:
        texts: what they change.
        tokenizer: what makes token ids of the result.
        folder: for the files that the process reads.
        seed: of their random numbers.
    """

    def __init__(self, texts: Sequence[str], tokenizer: Tokenizer, folder: Path, seed: int) -> None:
        tokenizer = Tokenizer.from_str(tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.save(str(folder / "peer-tokenizer.json"))
        tags: dict[str, str] = {}
        synonyms: dict[str, set[str]] = {}
        with (folder / "synonyms.ppdb").open("w", encoding="utf-8") as ppdb:
            for word, speech, others in synonym_rows():
                tags.setdefault(word, _TAGS[speech])
                synonyms.setdefault(word.lower(), set()).update(others)
                ppdb.writelines(f"[{_TAGS[speech]}] ||| {word} ||| {other}\n" for other in others)
        python = environment()
        setup = {
            "seed": seed,
            "texts": list(texts),
            "tokenizer": str(folder / "peer-tokenizer.json"),
            "ppdb": str(folder / "synonyms.ppdb"),
            "tags": tags,
            "nltk_data": str(data) if (data := nltk_data()) else None,
            "synonyms": {word: sorted(others - {word}) for word, others in synonyms.items()},
            "nlpaug": NLPAUG_OPTIONS,
            "eda": EDA_OPTIONS,
        }
        (folder / "peer-setup.json").write_text(json.dumps(setup), encoding="utf-8")
        program = Path(__file__).with_name("_peer_process.py")
        self._process = subprocess.Popen(
            [str(python), str(program), str(folder / "peer-setup.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
        ready = self._answer()
        self.loading_seconds = float(ready["loading"])
        self.versions: dict[str, str] = ready["versions"]
        self.has_wordnet = bool(ready["wordnet"])
        (folder / "versions.json").write_text(
            json.dumps({f"peer {name}": version for name, version in self.versions.items()})
        )

    def __enter__(self) -> "Peers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def seconds(self, task: str) -> float:
        """How long one pass over all texts takes."""
        return float(self._ask(task, result=False)["seconds"])

    def result(self, task: str) -> list[Any]:
        """What one pass over all texts gives."""
        found: list[Any] = self._ask(task, result=True)["result"]
        return found

    def _ask(self, task: str, *, result: bool) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"task": task, "result": result}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process of the peers ended; its output above says why")
        answer: Mapping[str, Any] = json.loads(line)
        return answer
