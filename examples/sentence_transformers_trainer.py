"""Unlabelled text in, a trained model out, with the trainer and the loss of sentence-transformers.

Run it:  python examples/sentence_transformers_trainer.py     (needs: pip install datasets accelerate)

The texts are the documentation of the Python packages on this machine and the model is one vector a word,
so nothing is downloaded, and it takes 15 seconds on 2 cores.
"""

from itertools import islice
from tempfile import TemporaryDirectory
from typing import Any

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import TrainerCallback, TrainerState, set_seed

from llmagentos.corpus import Document, harvest_python_docs
from llmagentos.views import Views, ViewTransform


class NextEpoch(TrainerCallback):
    """Tells the transform which epoch it is, so that every epoch sees new views of each text."""

    def __init__(self, transform: ViewTransform) -> None:
        self.transform = transform

    def on_epoch_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Before the first batch of an epoch; int, because a resumed run may begin within one."""
        self.transform.epoch = int(state.epoch or 0)
        print(f"epoch {self.transform.epoch}: text 0 is now {self.transform({'index': [0]})['anchor']}")


def untrained(texts: list[str]) -> SentenceTransformer:
    """A random vector for each of the 8,000 commonest words; a text is the mean of those of its words."""
    words = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordLevelTrainer(vocab_size=8_000, special_tokens=["[UNK]"], show_progress=False)
    words.train_from_iterator(texts, trainer)
    return SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=256)])


def titles_find_texts(pairs: list[Document]) -> InformationRetrievalEvaluator:
    """How well the first line of a docstring finds the rest of it among the others."""
    queries: dict[str, Any] = {str(number): pair.title for number, pair in enumerate(pairs)}
    corpus: dict[str, Any] = {str(number): pair.text for number, pair in enumerate(pairs)}
    return InformationRetrievalEvaluator(queries, corpus, {number: {number} for number in queries})


def main() -> None:
    """Train on the texts of six documents in seven, and measure on the seventh."""
    set_seed(0)
    documents = list(islice(harvest_python_docs(), 2_000))
    evaluator = titles_find_texts(documents[::7])
    # Each text once: beside its own copy it would be pushed away from itself.
    texts = list(dict.fromkeys(one.text for number, one in enumerate(documents) if number % 7))
    model = untrained(texts)
    before = evaluator(model)["cosine_mrr@10"]

    transform = ViewTransform(Views(texts))
    dataset = Dataset.from_dict({"index": range(len(texts))}).with_transform(transform)
    # With dataloader_num_workers=2 the views are the same. Workers copy the transform when they start: leave
    # dataloader_persistent_workers off, for those that stay would stay in their first epoch.
    quiet: dict[str, Any] = {"disable_tqdm": True, "save_strategy": "no", "dataloader_pin_memory": False}
    how: dict[str, Any] = {"num_train_epochs": 10, "per_device_train_batch_size": 128, "learning_rate": 0.05}
    loss, callback = MultipleNegativesRankingLoss(model), NextEpoch(transform)
    with TemporaryDirectory() as folder:
        arguments = Arguments(folder, **how, **quiet)
        SentenceTransformerTrainer(model, arguments, dataset, loss=loss, callbacks=[callback]).train()
    after = evaluator(model)["cosine_mrr@10"]
    print(f"{len(texts):,} texts; held-out first line finds the rest, MRR@10: {before:.2f} -> {after:.2f}")


if __name__ == "__main__":
    main()
