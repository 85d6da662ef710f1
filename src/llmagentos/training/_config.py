"""Settings of the training stage, and what they become for one encoder."""

from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from llmagentos.errors import ConfigError

# 500 and 800 steps of 1,024 from nothing, one seed; all that was trained, then with a quarter of the start.
# Technical documents and chat: linked messages 17.3 and 17.8, STS-B dev 74.7 and 75.8, 10-NN of Banking77
# 84.5 and 84.7, of CLINC150 88.8 and 87.9. arXiv: title to abstract 94.5 and 94.4, without the title's words
# 34.6 and 35.4.
_KEPT_OF_STATIC: Final = 0.25
# all-MiniLM-L6-v2 with 5e-5 for 8 minutes, choosing halves, one seed, at the start and with none, a half and
# three quarters of it kept. Chat: linked messages 24.7 and 24.9, 26.3, 26.2; STS-B 86.7 and 85.9, 86.8, 86.8.
# arXiv: titles 96.4 and 97.4, 97.2 (half), 10-NN of categories 72.3 and 69.1, 72.1 (benchmarks/LOG.md).
_KEPT_OF_PRETRAINED: Final = 0.5
# all-MiniLM-L6-v2 on 5,247 requests and tools, half of the start kept, choosing half, one seed: request to
# tool 72.6 at the start; after 5 and 17 epochs 73.6 and 73.4 with a temperature of 0.1, after half an epoch,
# 2, 4 and 17 73.2, 72.0, 71.7 and 71.4 with 0.05 (benchmarks/LOG.md).
_EPOCHS_OF_PRETRAINED: Final = 5
_EPOCHS: Final = 100

Precision = Literal["fp32", "bf16", "fp16"]


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedTrainingConfig:
    """A `TrainingConfig`, whose attributes it has, with nothing left open.

    `TrainingConfig(**asdict(resolved))` resolves to the same again.
    """

    batch_size: int
    learning_rate: float
    table_rate: float
    keep_start: float
    max_tokens: int
    seed: int
    optimizer: Literal["adamw", "sgd"]
    weight_decay: float
    warmup_steps: int
    max_gradient_norm: float
    max_epochs: int
    checkpoint_steps: int
    precision: Precision
    micro_batch_tokens: int
    freeze_layers: int
    queue_size: int
    queue_momentum: float
    shard: bool
    compile: bool


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TrainingConfig:
    """How an encoder is trained. What is None is chosen for the encoder by `resolved`.

    Args:
        batch_size: N, texts a step (so N pairs and 2N views); a corpus with fewer texts gives fewer.
        learning_rate: the peak, after the warm-up.
        table_rate: of that what the token table of a Transformer takes (where its vocabulary was adapted, the
            new rows of it); 0 leaves it as it is.
        keep_start: how much of the weights it started from goes into the finished model, see `interpolate`;
            left open 0.5 for a pretrained encoder, which so learns the new text and forgets little, and 0.25
            for static, so that words that the run says little of stay as they were.
        max_tokens: longest view.
        seed: of the order of the texts, the views, first weights and dropout.
        optimizer: AdamW, or SGD with momentum 0.9.
        weight_decay: decoupled, on matrices only.
        warmup_steps: steps over which the learning rate rises from 0; at most a tenth of the run.
        max_gradient_norm: gradients longer than this are shortened to it.
        max_epochs: ends a run on little text before its time is over; left open 5 for a pretrained encoder,
            which forgets what it knew while it learns little text by heart, and 100 for others.
        checkpoint_steps: steps between checkpoints; left open, 500 for static and 25 for a pretrained
            encoder, about a minute or two of work on two cores.
        precision: of the encoder's products; weights, loss and reductions stay fp32. Left open it is
            bf16 for a pretrained encoder where the hardware multiplies bf16 matrices, else fp32.
        micro_batch_tokens: token slots that go through a Transformer at once; left open 2,048 on a CPU,
            whose cache they fit, and 65,536 on a GPU. Fewer where that does not fit into
            the free memory, and halved when memory runs out.
        freeze_layers: k, the embeddings and the first k layers of a Transformer stay as they are; 0 trains
            everything.
        queue_size: K, embeddings of earlier texts that are negatives as well (MoCo); 0 = none.
        queue_momentum: of the copy of the encoder that embeds for the queue; its weights are a
            running mean.
        shard: split weights, gradients and optimiser among the processes of a run, where none can hold
            them all.
        compile: the layers of a Transformer by `torch.compile`, on a GPU alone.

    Example:
        >>> TrainingConfig(batch_size=32).resolved(pretrained=True).learning_rate
        5e-05
        >>> TrainingConfig(batch_size=32).resolved(pretrained=True, new_rows=True).table_rate
        250.0
    """

    batch_size: Annotated[
        int | None, Field(ge=2, le=1_000_000, description="32 to 256 for a Transformer, 1024 for static")
    ] = None
    learning_rate: Annotated[
        float | None, Field(gt=0, le=10, description="1e-5 to 1e-4 for a Transformer, 1e-3 for static")
    ] = None
    table_rate: Annotated[
        float | None, Field(ge=0, le=1_000, description="1 is usual, 0 to 0.1 protect it; unset = chosen")
    ] = None
    keep_start: Annotated[
        float | None, Field(ge=0, lt=1, description="0 to 0.5 is usual; unset = chosen for the encoder")
    ] = None
    max_tokens: Annotated[int | None, Field(ge=2, le=1_000_000, description="64 to 512 is usual")] = None
    seed: Annotated[int, Field(ge=0, lt=2**63, description="any whole number from 0")] = 0
    optimizer: Annotated[Literal["adamw", "sgd"], Field(description="adamw or sgd")] = "adamw"
    weight_decay: Annotated[float, Field(ge=0, le=1, description="0 to 0.1 is usual")] = 0.0
    warmup_steps: Annotated[int, Field(ge=0, description="10 to 1000 is usual")] = 50
    max_gradient_norm: Annotated[float, Field(gt=0, description="1.0 is usual")] = 1.0
    max_epochs: Annotated[
        int | None, Field(ge=1, description="1 to 10 for a Transformer, 10 to 200 for static; unset = chosen")
    ] = None
    checkpoint_steps: Annotated[
        int | None, Field(ge=1, description="25 to 1000 is usual; unset = chosen for the encoder")
    ] = None
    precision: Annotated[Precision | None, Field(description="fp32, bf16 or fp16; unset = chosen")] = None

    micro_batch_tokens: Annotated[
        int | None, Field(ge=1, le=10_000_000, description="1024 to 65536 is usual; unset = chosen")
    ] = None
    freeze_layers: Annotated[int, Field(ge=0, description="0 trains everything")] = 0
    queue_size: Annotated[int, Field(ge=0, le=10_000_000, description="0, or 1024 to 65536")] = 0
    queue_momentum: Annotated[float, Field(ge=0, lt=1, description="0.99 to 0.9999 is usual")] = 0.999
    shard: Annotated[bool, Field(description="true or false")] = False
    compile: Annotated[bool, Field(description="true or false")] = False

    def resolved(self, *, pretrained: bool, new_rows: bool = False) -> ResolvedTrainingConfig:
        """The same settings with nothing left open.

        Args:
            pretrained: the encoder starts from trained weights (a Transformer), not from nothing.
            new_rows: the vectors of new words are added to a pretrained encoder.

        Returns:
            What was given, and for the rest what suits the encoder.

        Raises:
            ConfigError: `freeze_layers`, `table_rate` or `compile` for an encoder that has no layers.
        """
        if self.freeze_layers and not pretrained:
            raise ConfigError(
                f"freeze_layers must be 0 for a static encoder, which has no layers, got "
                f"{self.freeze_layers} (training.freeze_layers)"
            )
        if self.table_rate is not None and self.table_rate != 1 and not pretrained:
            raise ConfigError(
                "table_rate must be 1 for a static encoder, which is nothing but its table, got "
                f"{self.table_rate:g} (training.table_rate)"
            )
        if self.compile and not pretrained:
            raise ConfigError(
                "compile must be false for a static encoder, which has no layers, got true (training.compile)"
            )
        usual: dict[str, Any] = (
            {"batch_size": 64, "learning_rate": 5e-5, "max_tokens": 128, "checkpoint_steps": 25}
            if pretrained
            else {"batch_size": 1024, "learning_rate": 1e-3, "max_tokens": 256, "checkpoint_steps": 500}
        )
        usual |= {"table_rate": 1.0, "keep_start": _KEPT_OF_PRETRAINED if pretrained else _KEPT_OF_STATIC}
        usual["max_epochs"] = _EPOCHS_OF_PRETRAINED if pretrained else _EPOCHS
        if new_rows:
            # all-MiniLM-L6-v2 on Chinese, odd rows of STS-B zh dev: new rows alone 65, with layers at 2e-5
            # beside them 69.5 after 40 steps (one seed); as many tokens in crops of up to 24, 48 and 96
            # tokens 68.2, 69.3 (three seeds) and 67.7 (one; benchmarks/LOG.md).
            usual |= {"batch_size": 128, "learning_rate": 2e-5, "table_rate": 250.0, "max_tokens": 48}
            # New words were learned with the layers as they ended, and have nothing to forget.
            usual |= {"keep_start": 0.0, "max_epochs": _EPOCHS}
        usual["micro_batch_tokens"] = _micro_batch_tokens()
        usual["precision"] = "bf16" if pretrained and _multiplies_bf16() else "fp32"
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return ResolvedTrainingConfig(**(usual | given))


def _micro_batch_tokens() -> int:
    """2,048 slots stay in the cache of a CPU: all-MiniLM-L6-v2 4,565 tokens/s, with 8,192 4,231."""
    import torch

    return 65_536 if torch.cuda.is_available() else 2_048


def _multiplies_bf16() -> bool:
    """Whether bf16 products are faster than fp32 here: a GPU or a CPU that multiplies them itself.

    On two cores, products of MiniLM's shapes: 190 GFLOP/s in fp32 and 420 in bf16 with AVX-512 BF16 (AMD
    EPYC), 179 and 400 with AMX.
    """
    import torch  # 1 s, which reading a configuration does not need

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
