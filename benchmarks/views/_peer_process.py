"""The peers, run by the Python of an environment of their own (`_peers.py`).

Reads one JSON line a request and answers each with one. Only this file runs there: it imports nothing of
the project. nltk's models and corpora are on servers that this benchmark does not ask, so each peer gets what
it needs from the same dictionary as ours, never slower than its own way.
"""

import json
import random
import re
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main() -> None:
    """Answer requests until there are none."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    setup = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    random.seed(setup["seed"])
    import_module("numpy").random.seed(setup["seed"])
    nltk: Any = import_module("nltk")
    nltk.download = lambda *_, **__: True  # EDA asks for corpora when it is made
    texts: list[str] = setup["texts"]
    began = time.perf_counter()
    chain = nlpaug_chain(setup)
    loading = time.perf_counter() - began
    eda = eda_operations(setup)
    tokenizer = import_module("tokenizers").Tokenizer.from_file(setup["tokenizer"])
    names = ("nlpaug", "textaugment", "nltk", "tokenizers", "numpy", "pandas")

    def unchanged(text: str) -> str:
        split = import_module("nlpaug.util.text.tokenizer").Tokenizer
        joined: str = split.reverse_tokenizer(split.tokenizer(text.strip()))
        return joined

    def chained() -> list[str]:
        # A list of texts gives one text back (nlpaug 1.1.11, Pipeline.augment), so one at a time.
        return [chain.augment(text)[0] for text in texts]

    def chained_ids() -> list[list[int]]:
        encodings = tokenizer.encode_batch(chained(), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    tasks: dict[str, Any] = {
        "chain": chained,
        "ids": chained_ids,
        "nothing": lambda: [unchanged(text) for text in texts],
        **{f"eda-{name}": lambda one=one: [one(text) for text in texts] for name, one in eda.items()},
    }
    print(
        json.dumps({"versions": {name: version(name) for name in names}, "loading": loading}),
        file=answers,
        flush=True,
    )
    for line in sys.stdin:
        request = json.loads(line)
        began = time.perf_counter()
        result = tasks[request["task"]]()
        seconds = time.perf_counter() - began
        print(
            json.dumps({"seconds": seconds, "result": result if request["result"] else None}),
            file=answers,
            flush=True,
        )


def nlpaug_chain(setup: dict[str, Any]) -> Any:
    """Its five operations as one `naf.Sequential`, in the order of ours."""
    words, characters, sentences, flow = (
        import_module(f"nlpaug.{name}")
        for name in ("augmenter.word", "augmenter.char", "augmenter.sentence", "flow")
    )
    options = setup["nlpaug"]
    synonyms = words.SynonymAug(aug_src="ppdb", model_path=setup["ppdb"], **options["SynonymAug"])
    # Its own tagger needs a model; a look-up of the word's first part of speech costs nothing.
    tags: dict[str, str] = setup["tags"]
    synonyms.model.pos_tag = lambda tokens: [(token, tags.get(token.lower(), "DT")) for token in tokens]
    return flow.Sequential(
        [
            sentences.RandomSentAug(
                tokenizer=re.compile(r"(?<=[.!?])\s+").split, **options["RandomSentAug"]
            ),  # its own splitter needs a model
            words.RandomWordAug(action="swap", **options["RandomWordAug swap"]),
            synonyms,
            words.RandomWordAug(action="delete", **options["RandomWordAug delete"]),
            characters.RandomCharAug(action="substitute", **options["RandomCharAug"]),
        ]
    )


def eda_operations(setup: dict[str, Any]) -> dict[str, Any]:
    """The operations of EDA (Wei and Zou 2019), as textaugment has them.

    Their own package, eda-nlp, is not on the package index.
    """
    peer = import_module("textaugment").EDA
    table: dict[str, list[str]] = setup["synonyms"]

    def synonyms_of(word: str) -> list[str]:
        others = list(table.get(word.lower(), ()))
        random.shuffle(others)
        return others

    peer._get_synonyms = staticmethod(synonyms_of)  # its own reads WordNet with nltk
    eda = peer(stop_words=[], random_state=setup["seed"])  # none, which is faster than its list
    share = setup["eda"]["share"]

    def count(text: str) -> int:
        return max(1, int(share * len(text.split())))

    return {
        "deletion": lambda text: eda.random_deletion(text, p=share),
        "swap": lambda text: eda.random_swap(text, n=count(text)),
        "replacement": lambda text: eda.synonym_replacement(text, n=count(text)),
    }


if __name__ == "__main__":
    main()
