"""sentence-transformers' side of a comparison, in a process of its own, with its own trainer.

python -m benchmarks.training._peer '{"pairs": ..., "result": ..., "batch_size": 64, ...}'
"""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch import Tensor, nn
from torch.utils.data import BatchSampler, SequentialSampler
from transformers import TrainerCallback

from benchmarks.training._ours import quality, without_dropout
from benchmarks.training._pairs import Pair, read_pairs, settings
from llmagentos.encoder import load_encoder
from llmagentos.encoder._loading import _minilm_folder
from llmagentos.loss import ntxent
from llmagentos.training import batch_at

warnings.filterwarnings("ignore")


class NTXent(nn.Module):
    """Our loss as sentence-transformers takes a custom one."""

    def __init__(self, model: SentenceTransformer, temperature: float) -> None:
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, sentence_features: list[dict[str, Tensor]], labels: Tensor | None = None) -> Tensor:
        """The loss of one batch."""
        h_a, h_b = (self.model(features)["sentence_embedding"].float() for features in sentence_features)
        return ntxent(h_a, h_b, self.temperature)


class CachedNTXent(CachedMultipleNegativesRankingLoss):
    """Our loss in its gradient cache, with its token budget."""

    def __init__(self, model: SentenceTransformer, temperature: float, budget: int) -> None:
        super().__init__(model, mini_batch_num_tokens=budget)
        self._tau = temperature

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss of one batch from the embeddings of its mini-batches."""
        loss = ntxent(torch.cat(reps[0]).float(), torch.cat(reps[1]).float(), self._tau)
        if with_backward:
            torch.autograd.backward(loss)
            return loss.detach()
        return loss


class InOrder(SentenceTransformerTrainer):
    """Takes the batches in the order of the data set, which is that of our side."""

    def get_batch_sampler(  # type: ignore[override]  # of its arguments only these are needed
        self, dataset: Any, batch_size: int, drop_last: bool, **_: Any
    ) -> BatchSampler:
        """Rows one after the other."""
        return BatchSampler(SequentialSampler(dataset), batch_size, drop_last=True)


class Times(TrainerCallback):
    """When each step ended, its loss, and quality at some; what measuring takes is taken off."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told, self._paused = told, 0.0
        self.times: list[float] = []
        self.qualities: dict[int, float] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After the optimiser."""
        now = time.perf_counter()
        self.times.append(now - self._paused)
        if state.global_step in self.told["measured_at"]:
            model = kwargs["model"]
            # Of the same modules, but not put into bf16 by the trainer: ours is measured in fp32 as well.
            plain = SentenceTransformer(modules=list(model), device=str(model.device)).eval()
            self.qualities[state.global_step] = quality(plain, Path(self.told["heldout"]))
            model.train()
        self._paused += time.perf_counter() - now


def main(told: dict[str, Any]) -> None:
    """Train, and write seconds of each step, losses and quality to the file `result`."""
    torch.set_num_threads(told["threads"])
    torch.manual_seed(told["seed"])
    pairs = read_pairs(Path(told["pairs"]))
    size, steps = told["batch_size"], told["steps"]
    order = [
        int(row)
        for step in range(steps)
        for row in batch_at(step, batch_size=size, size=len(pairs), seed=told["seed"])[1]
    ]
    model = make_model(told)
    if told.get("budget"):
        loss: nn.Module = CachedNTXent(model, told["temperature"], told["budget"])
    elif told["encoder"] == "static":
        loss = MultipleNegativesRankingLoss(model, scale=1 / told["temperature"])
    else:
        loss = NTXent(model, told["temperature"])
    arguments = SentenceTransformerTrainingArguments(
        str(Path(told["folder"]) / "peer"),
        per_device_train_batch_size=size,
        max_steps=steps,
        learning_rate=told["learning_rate"],
        warmup_steps=0,
        weight_decay=0.0,
        optim="adamw_torch_fused",
        use_cpu=told.get("device", "cpu") == "cpu",
        bf16=told["precision"] == "bf16",
        dataloader_num_workers=told.get("workers", 0),
        torch_compile=told.get("compile", False),
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        seed=told["seed"],
    )
    times = Times(told)
    data = {"a": [a for a, _ in pairs], "b": [b for _, b in pairs]}
    ordered = Dataset.from_dict(data).select(order)
    trainer = InOrder(model, arguments, train_dataset=ordered, loss=loss, callbacks=[times])
    started = time.perf_counter()
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    result = {
        "step_seconds": [b - a for a, b in zip([started, *times.times], times.times, strict=False)],
        "losses": [float(loss) for loss in losses],
        "padding": padding(model, pairs, order, told),
        "qualities": times.qualities,
    }
    Path(told["result"]).write_text(json.dumps(result), encoding="utf-8")


def make_model(told: dict[str, Any]) -> SentenceTransformer:
    """all-MiniLM-L6-v2 as it is, a model folder, or a StaticEmbedding with MiniLM's tokenizer."""
    if told["encoder"] != "static":
        name = str(_minilm_folder()) if told["encoder"] == "minilm" else told["encoder"]
        attention = {"attn_implementation": told["attention"]} if "attention" in told else {}
        model = SentenceTransformer(name, device=told.get("device", "cpu"), model_kwargs=attention)
        model.max_seq_length = told["max_tokens"] + 2
        without_dropout(model, told)
        if attention.get("attn_implementation") == "flash_attention_2" and not model[0].can_flatten_inputs:
            raise RuntimeError("sentence-transformers does not leave padding out")
        return model
    tokenizer = load_encoder("minilm").tokenizer
    return SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_dim=told["dimension"])], device="cpu"
    )


def padding(model: SentenceTransformer, pairs: list[Pair], order: list[int], told: dict[str, Any]) -> float:
    """Share of its token slots that are padding: each side of a batch is as wide as its longest text."""
    if told["encoder"] == "static":
        return 0.0
    longest, size = told["max_tokens"] + 2, told["batch_size"]
    tokens = slots = 0
    for side in zip(*pairs, strict=True):
        ids = model.tokenizer(list(side), truncation=True, max_length=longest)["input_ids"]
        lengths = [len(ids[row]) for row in order]
        for start in range(0, len(lengths), size):
            batch = lengths[start : start + size]
            tokens, slots = tokens + sum(batch), slots + max(batch) * len(batch)
    return 1 - tokens / slots


if __name__ == "__main__":
    main(settings(sys.argv))
