"""The peers, run by the Python of an environment of their own (`_peers.py`).

Reads one JSON line a request and answers each with one. Only this file runs there: it imports nothing of
the project. nltk's models and corpora are on servers that this benchmark does not ask:

- WordNet is that of Debian, read by nltk as nlpaug has it read.
- nlpaug tags every text with nltk's averaged perceptron before it looks a word up. The tagger is nltk's, but
  its model is trained here, on tags that are looked up, with 7 tags instead of 45: less work than its own.
- nltk's sentence splitter is a regular expression, which is less work too.

`chain-quick` is what nlpaug could do at best: no tagging, and the same dictionary as ours in a Python dict.
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
    chain = nlpaug_chain(setup, quick=setup["nltk_data"] is None)
    loading = time.perf_counter() - began
    quick_chain = nlpaug_chain(setup, quick=True)
    eda = eda_operations(setup)
    tokenizer = import_module("tokenizers").Tokenizer.from_file(setup["tokenizer"])
    names = ("nlpaug", "textaugment", "nltk", "tokenizers", "numpy", "pandas")

    def unchanged(text: str) -> str:
        split = import_module("nlpaug.util.text.tokenizer").Tokenizer
        joined: str = split.reverse_tokenizer(split.tokenizer(text.strip()))
        return joined

    def chained(chain: Any) -> list[str]:
        # A list of texts gives one text back (nlpaug 1.1.11, Pipeline.augment), so one at a time.
        return [chain.augment(text)[0] for text in texts]

    def ids(chain: Any) -> list[list[int]]:
        encodings = tokenizer.encode_batch(chained(chain), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    tasks: dict[str, Any] = {
        "chain": lambda: chained(chain),
        "chain-quick": lambda: chained(quick_chain),
        "ids": lambda: ids(chain),
        "ids-quick": lambda: ids(quick_chain),
        "nothing": lambda: [unchanged(text) for text in texts],
        **{f"eda-{name}": lambda one=one: [one(text) for text in texts] for name, one in eda.items()},
    }
    print(
        json.dumps(
            {
                "versions": {name: version(name) for name in names},
                "loading": loading,
                "wordnet": setup["nltk_data"] is not None,
            }
        ),
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


def nlpaug_chain(setup: dict[str, Any], *, quick: bool) -> Any:
    """Its five operations as one `naf.Sequential`, in the order of ours."""
    words, characters, sentences, flow = (
        import_module(f"nlpaug.{name}")
        for name in ("augmenter.word", "augmenter.char", "augmenter.sentence", "flow")
    )
    options = setup["nlpaug"]
    tags: dict[str, str] = setup["tags"]
    if quick:
        synonyms = words.SynonymAug(aug_src="ppdb", model_path=setup["ppdb"], **options["SynonymAug"])
        synonyms.model.pos_tag = lambda tokens: [(token, tags.get(token.lower(), "DT")) for token in tokens]
    else:
        import_module("nltk").data.path.insert(0, setup["nltk_data"])
        # Only other languages need this map between versions of WordNet.
        import_module("nltk.corpus.reader.wordnet").WordNetCorpusReader.map_wn = lambda *_: None
        synonyms = words.SynonymAug(aug_src="wordnet", **options["SynonymAug"])
        synonyms.model.pos_tag = perceptron(setup["texts"], tags).tag
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


def perceptron(texts: list[str], tags: dict[str, str]) -> Any:
    """nltk's tagger, trained on tags that are looked up, and guessed where a word is in no dictionary."""
    tagger = import_module("nltk.tag.perceptron").PerceptronTagger(load=False)

    def tag(word: str) -> str:
        if found := tags.get(word.lower()):
            return found
        if not word[0].isalpha():
            return "CD" if word[0].isdigit() else "."
        return "NNP" if word[0].isupper() else "IN"

    split = re.compile(r"\w+|[^\w\s]+")
    tagger.train([[(word, tag(word)) for word in split.findall(text)] for text in texts], nr_iter=5)
    return tagger


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
