"""What others make of the same text in the same time: sentence-transformers with the recipes of its manual,
and model2vec.

A copy is trained for 5 steps and for 25 first, which is not counted: their difference is the time of 20.
Then each is trained for as many steps as there is time for, with a linear schedule.
"""

import copy
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks._texts import hashed

_SETTLING_STEPS, _TIMED_STEPS = 5, 20
_WORDS_OF_MODEL2VEC = 20_000
_WORD = re.compile(r"[a-z]{2,}")
Pairs = Sequence[tuple[str, str]]


def static_embedding(pairs: Pairs, minutes: float, seed: int, folder: Path) -> Any:
    """StaticEmbedding from nothing on pairs: 1,024 dimensions, MiniLM's tokenizer, batch 2,048, 0.2.

    Source: the manual's "Static Embeddings", and the blog post "Train 400x faster static embedding models".
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    from llmagentos.encoder import load_encoder

    module = StaticEmbedding(load_encoder("minilm").tokenizer, embedding_dim=1024)
    model = SentenceTransformer(modules=[module], device="cpu")
    return _trained(model, pairs, _ranking, minutes, seed, folder, 2048, 0.2)


def simcse(texts: Sequence[str], minutes: float, seed: int, folder: Path) -> Any:
    """all-MiniLM-L6-v2 on each text twice, told apart by dropout: batch 128, 3e-5.

    Source: the manual's "SimCSE" (Gao et al. 2021).
    """
    pairs = [(text, text) for text in texts]
    return _trained(_minilm(), pairs, _ranking, minutes, seed, folder, 128, 3e-5)


def tsdae(texts: Sequence[str], minutes: float, seed: int, folder: Path) -> Any:
    """all-MiniLM-L6-v2 as an autoencoder of texts without 60% of their words: batch 8, 3e-5.

    The words that go are drawn once, for in the time that there is no text comes twice.

    Source: the manual's "TSDAE" (Wang et al. 2021), with the mean pooling that MiniLM has.
    """
    pairs = [(_less(text, seed), text) for text in texts]
    return _trained(_minilm(), pairs, _denoising, minutes, seed, folder, 8, 3e-5)


def model2vec(texts: Sequence[str]) -> Any:
    """all-MiniLM-L6-v2 distilled by model2vec: a vector for each of its pieces and for the words of the text.

    `distill` as its manual has it (256 principal axes, lengths by Zipf's law), with the 20,000 most frequent
    words of the text as the vocabulary. It needs no training, and takes what it takes.

    Source: the manual's "Distillation", "with a vocabulary" (Tulkens and van Dongen 2024).
    """
    from model2vec.distill import distill

    from llmagentos.encoder._loading import _minilm_folder

    words = Counter(word for text in texts for word in _WORD.findall(text.lower()))
    frequent = [word for word, _ in words.most_common(_WORDS_OF_MODEL2VEC)]
    return distill(str(_minilm_folder()), vocabulary=frequent, device="cpu")


def _minilm() -> Any:
    from sentence_transformers import SentenceTransformer

    from llmagentos.encoder._loading import _minilm_folder

    model = SentenceTransformer(str(_minilm_folder()), device="cpu")
    model.max_seq_length = 128
    return model


def _less(text: str, seed: int) -> str:
    """A text without 60% of its words, never without all."""
    words = text.split()
    draw = random.Random(hashed(text) + seed)
    kept = [word for word in words if draw.random() > 0.6]
    return " ".join(kept or words[:1])


def _ranking(model: Any) -> Any:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    return MultipleNegativesRankingLoss(model)


def _denoising(model: Any) -> Any:
    from sentence_transformers.sentence_transformer.losses import DenoisingAutoEncoderLoss

    return DenoisingAutoEncoderLoss(model, tie_encoder_decoder=True)


def _trained(
    model: Any,
    pairs: Pairs,
    loss: Callable[[Any], Any],
    minutes: float,
    seed: int,
    folder: Path,
    batch_size: int,
    learning_rate: float,
) -> Any:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    data = Dataset.from_dict({"a": [a for a, _ in pairs], "b": [b for _, b in pairs]})

    def run(one: Any, steps: int) -> float:
        arguments = SentenceTransformerTrainingArguments(
            str(folder / "peer"),
            per_device_train_batch_size=batch_size,
            max_steps=steps,
            learning_rate=learning_rate,
            warmup_steps=max(1, steps // 10),
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            seed=seed,
        )
        trainer = SentenceTransformerTrainer(one, arguments, train_dataset=data, loss=loss(one))
        began = time.monotonic()
        trainer.train()
        return time.monotonic() - began

    run(copy.deepcopy(model), 1)  # what is slow for once
    settling = run(copy.deepcopy(model), _SETTLING_STEPS)
    timed = run(copy.deepcopy(model), _SETTLING_STEPS + _TIMED_STEPS)
    seconds = (timed - settling) / _TIMED_STEPS
    run(model, max(1, int(60 * minutes / seconds)))
    return model.eval()
