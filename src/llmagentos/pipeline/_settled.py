"""What a run is, settled before any text is read: its encoder, and settings of training that suit it."""

from dataclasses import asdict, dataclass, replace
from typing import Final

from llmagentos.config import Config
from llmagentos.encoder import Encoder, StaticEncoder, load_encoder
from llmagentos.pipeline._progress import OnProgress, Update
from llmagentos.pipeline._small import small_config, table_training, why_static
from llmagentos.pipeline._start import check_adaptable, check_teacher, encoder_name, with_teacher_found
from llmagentos.training import (
    Ranks,
    ResolvedTrainingConfig,
    TrainingConfig,
    check_settings,
    prepare_encoder,
)

# all-MiniLM-L6-v2 on Chinese, three seeds, crops of up to 48 tokens, odd rows of STS-B zh dev, STS-B dev
# (before training 46.2, 86.7): 69.3 and 86.9 with 0.05, 70.2 and 85.8 with 0.03; of batches of 64 68.9 and
# 86.8 with 0.05, 70.1 and 86.5 with 0.04, 70.5 and 85.4 with 0.03 (benchmarks/LOG.md).
_TEMPERATURE_OF_NEW_WORDS: Final = 0.03


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What a run trains, and how.

    Attributes:
        encoder: "static", "small", or what `load_encoder` takes, a folder by its whole path.
        config: with the settings of training chosen for the encoder.
        training: the same settings.
        pretrained: the encoder, where it is not trained from nothing; on the device of the run, and trained
            in place.
        transforms: whether what is trained in the end is a Transformer.
    """

    encoder: str
    config: Config
    training: ResolvedTrainingConfig
    pretrained: Encoder | None
    transforms: bool

    @property
    def is_small(self) -> bool:
        """Whether a Transformer grows on a table."""
        return self.encoder == "small"

    @property
    def adapts(self) -> bool:
        """Whether the vocabulary is extended."""
        return self.config.encoder.adapt_vocabulary

    @property
    def begins_as(self) -> str:
        """What the text is met with first."""
        return "static" if self.is_small else self.encoder

    @property
    def begins_with(self) -> ResolvedTrainingConfig:
        """The settings that this is trained with."""
        return table_training(self.config) if self.is_small else self.training

    @property
    def begins_as_transformer(self) -> bool:
        """Whether this is a Transformer."""
        return self.transforms and not self.is_small


def settle(
    encoder: str,
    config: Config,
    minutes: float,
    steps: int | None,
    ranks: Ranks,
    on_progress: OnProgress,
    *,
    on_gpu: bool,
) -> Settled:
    """Choose what was left open, and refuse what cannot be.

    Args:
        encoder: as it was asked for; "small" becomes "static" where time is short.
        config: as it was given.
        minutes: of the whole run.
        steps: in place of minutes, or None.
        ranks: of the run.
        on_progress: told where the encoder becomes another.
        on_gpu: whether the run began on a GPU, wherever it goes on.

    Raises:
        ConfigError: settings that do not go with the encoder or the machine.
        ModelError: an encoder or a teacher that cannot be loaded.
    """
    encoder = encoder_name(encoder)
    config = with_teacher_found(config)
    if encoder == "small" and (reason := why_static(minutes, steps, on_gpu=on_gpu)):
        encoder = "static"
        on_progress(Update(stage="small", done=1, total=1, note=reason))
    if config.encoder.adapt_vocabulary and config.loss.temperature is None:
        config = replace(config, loss=replace(config.loss, temperature=_TEMPERATURE_OF_NEW_WORDS))
    if encoder == "small":
        config = small_config(config, on_gpu=on_gpu)
    elif encoder == "static":
        config = replace(config, encoder=config.encoder.resolved(grows=False))
    is_new = encoder in ("static", "small")
    pretrained = None if is_new else load_encoder(encoder).to(ranks.device)
    transforms = encoder == "small" or not isinstance(pretrained, StaticEncoder | None)
    check_adaptable(encoder, pretrained, config)
    check_teacher(encoder, config)
    training = config.training.resolved(pretrained=transforms, new_rows=config.encoder.adapt_vocabulary)
    check_settings(training, ranks)
    if pretrained is not None:
        prepare_encoder(pretrained, training)
    return Settled(
        encoder=encoder,
        config=replace(config, training=TrainingConfig(**asdict(training))),
        training=training,
        pretrained=pretrained,
        transforms=transforms,
    )
