"""Which recipe suits this text and this encoder: a short trial on text kept aside decides.

Published results conflict by the length of texts, so neither crops nor dropout nor structural pairs are
assumed (design 2.6), nor the temperature where texts are short. Each recipe trains the same start on as many
tokens, for a run has so much time and not so many steps: more steps of the recipes with short views. Then
texts that no recipe trained on are matched, the first side of their pairs to the second and the beginning of
each text to its rest. The recipe that matches them best is taken, if it is better than the usual one beyond
chance. No label is used, and none of the held-out texts.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from llmagentos.encoder import Encoder, StaticEncoder
from llmagentos.evaluation import paired_bootstrap
from llmagentos.loss import DEFAULT_TEMPERATURE, LossConfig, NTXentLoss
from llmagentos.pipeline._matching import Matching, Values, cross_entropies
from llmagentos.training import Budget, ResolvedTrainingConfig, batch_at, train_encoder
from llmagentos.views import PairedViews, Preset, Views, ViewsConfig

# Ten steps move a pretrained encoder, and take a minute with MiniLM on two cores; two hundred of a static
# encoder take ten seconds.
_STEPS, _STEPS_STATIC = 10, 200
# At least: it matches as well, and before that ten steps of a Transformer on abstracts, 32,000 tokens forward
# and back, are more than the 80,000 tokens forward of 200 abstracts and their titles.
_TRIAL_OVER_MATCHING: Final = 2
# arXiv cs, 600 steps of 1,024 from nothing, one seed; papers of 2019 (all, the fifth with the least words in
# common with their titles), 10-NN accuracy of the primary category, STS-B dev:
#   no titles   92.0 / 81.4 / 55.3 / 78.2
#   a share 0.3 93.5 / 84.6 / 56.4 / 78.5
#   titles only 93.5 / 81.8 / 50.7 / 77.9
_USUAL_SHARE: Final = 0.3
# Fewer are left out, so that a few titles make no run in-task. all-MiniLM-L6-v2 on requests and 190 titles of
# tools, choosing half, three seeds: request to tool 73.4 with the 3% of pairs that there are, 73.9 without.
_SMALLEST_SHARE: Final = 0.05
# A crop of 10 to 50% of such a text is some words that are in a thousand others.
_SHORT_TEXT_TOKENS: Final = 50.0
# Technical documents and Ubuntu's chat, 500 steps of 1,024, one seed: linked messages 17.3 with 0.3 (and 30%
# of the first side's words left out) and 20.8 with 0.6 (and none), 10-NN of CLINC150 88.8 and 87.2.
_SHARE_OF_SHORT_TEXTS: Final = 0.6
# all-MiniLM-L6-v2 on Ubuntu's chat, where 48% have each pair once: linked messages 26.5 with 60%, 26.1 with
# 48%, 25.8 with 30% (three seeds, one, three). Where there are fewer, 60% say each pair again and again.
_PLENTY: Final = 0.45
# A message has many answers, so that its negatives are not all wrong. Ubuntu's chat, 500 steps of 1,024, 70%
# pairs, one seed: linked messages 19.8 with 0.05, 21.3 with 0.1, 21.0 with 0.15, 20.1 with 0.2; 10-NN of
# CLINC150 87.9, 85.8, 84.8, 84.8. So `static` tries it. A Transformer takes it, for ten steps cannot tell:
# all-MiniLM-L6-v2, half of the start kept, three seeds each (benchmarks/LOG.md): requests to tools 71.7 with
# 0.05, 73.4 with 0.1, 74.0 with 0.2; linked messages with 30% pairs 25.8 with 0.05 and 0.1, with 60% 26.5
# with 0.1, and (one seed) 25.5 with 0.2.
_TEMPERATURE_OF_SHORT_TEXTS: Final = 0.1


def usual_preset(*, transforms: bool) -> Preset:
    """The views where nothing was asked for and nothing tried: what a Transformer reads is longer."""
    return "span" if transforms else "crop"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a trial trains with; all else is as the run has it.

    Attributes:
        preset: of `ViewsConfig`.
        pairs: share of structural pairs.
        temperature: of the loss.
    """

    preset: Preset
    pairs: float
    temperature: float

    def __str__(self) -> str:
        """A few words for a person."""
        pairs = f", {100 * self.pairs:.3g}% structural pairs" if self.pairs else ""
        return f"{self.preset}{pairs}, temperature {self.temperature:g}"


def candidates(
    views: ViewsConfig, temperature: float | None, once: float, *, transforms: bool, mean_tokens: float
) -> list[Candidate]:
    """The recipes that are worth a trial.

    Args:
        views: what the user has settled, which every candidate has.
        temperature: likewise, or None.
        once: the share of structural pairs with which each of them and each text comes once in an epoch, 0
            where there are none.
        transforms: whether the encoder is a Transformer.
        mean_tokens: of a text. Where texts have 50 tokens or more, a static encoder is given no choice of
            the share: on arXiv a trial of seconds preferred pairs alone or none, and a run ends worse.

    Returns:
        At least one, the usual one first.

    Example:
        >>> for one in candidates(ViewsConfig(), None, 0.3, transforms=False, mean_tokens=20):
        ...     print(one)
        crop, 30% structural pairs, temperature 0.05
        crop, 60% structural pairs, temperature 0.05
        crop, temperature 0.05
        crop, 60% structural pairs, temperature 0.1
    """
    usual = usual_preset(transforms=transforms)
    open_presets: list[Preset] = [usual, "dropout"] if transforms else [usual]
    presets = [views.preset] if views.preset else open_presets
    is_short = mean_tokens < _SHORT_TEXT_TOKENS
    usual_share = min(_USUAL_SHARE, once)
    if views.pairs is not None:
        shares = [views.pairs]
    elif once < _SMALLEST_SHARE:
        shares = [0.0]
    elif is_short and transforms and once >= _PLENTY:
        shares = [_SHARE_OF_SHORT_TEXTS, usual_share, 0.0]
    elif is_short:
        shares = [usual_share, _SHARE_OF_SHORT_TEXTS, 0.0]
    else:
        shares = [usual_share, 0.0] if transforms else [usual_share]
    usual_tau = _TEMPERATURE_OF_SHORT_TEXTS if is_short and transforms else DEFAULT_TEMPERATURE
    tau = usual_tau if temperature is None else temperature
    found = [Candidate(preset, shares[0], tau) for preset in presets]
    found += [Candidate(presets[0], pairs, tau) for pairs in shares[1:]]
    if is_short and not transforms and temperature is None and max(shares) > 0:
        found.append(Candidate(presets[0], max(shares), _TEMPERATURE_OF_SHORT_TEXTS))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What one recipe reached.

    Attributes:
        recipe: what was tried.
        before: cross-entropy of picking each query's own text among all probe texts, with the
            encoder as it came, nats; log(number of texts) at chance, lower is better. The mean over
            pairs and beginnings, at the temperature that suits the encoder best.
        after: the same after the trial.
        over_usual: this recipe's `after` less that of the usual recipe, nats, with its interval over texts
            (paired bootstrap): (difference, low, high); below 0 is better. All 0 for the usual one.
        confidence: of that interval. With n others to try it is 1 - 0.1 / n, of which only one end is looked
            at, so that one of them is taken by chance 5 times in 100.
    """

    recipe: Candidate
    before: float
    after: float
    over_usual: tuple[float, float, float] = (0.0, 0.0, 0.0)
    confidence: float = 0.95

    def __str__(self) -> str:
        """One line for a person."""
        difference, low, high = self.over_usual
        interval = f"[{low:+.3f}, {high:+.3f}] ({100 * self.confidence:.3g}%)"
        beside = f", {difference:+.3f} {interval} beside the usual" if low or high else ""
        return f"{self.recipe}: cross-entropy {self.before:.4f} -> {self.after:.4f}{beside}"


def told(trials: Sequence[Trial], untried: Sequence[Candidate]) -> list[str]:
    """A line for a person of each recipe, tried or not; where none was tried, of the one that is taken."""
    if untried and not trials:
        return [f"{untried[0]}, as is usual: there was no time for a trial"]
    return [*map(str, trials), *(f"{recipe}: not tried, for want of time" for recipe in untried)]


def choose_recipe(
    encoder: Encoder,
    recipes: Sequence[Candidate],
    items_of: Callable[[Candidate], Views | PairedViews],
    loss: LossConfig,
    matched: Sequence[Matching],
    config: ResolvedTrainingConfig,
    folder: Path,
    *,
    seconds: float | None,
    on_trial: Callable[[Trial], None],
) -> list[Trial]:
    """Try each recipe on as many tokens and rank them.

    Args:
        encoder: the start; as it was when this returns.
        recipes: from `candidates`, the usual one first.
        items_of: makes the items of a recipe, without any text that is matched.
        loss: of the run, but for the temperature.
        matched: from `matchings`.
        config: of the run; the trials take a quarter of its batch, to leave time for the run itself.
        folder: for the trials' own files; removed.
        seconds: for all of it, about; a recipe for which there is no time left is not tried. None: no limit.
        on_trial: called after each.

    Returns:
        The trials, the chosen one first, then the others, best first. Chosen is the best one if the interval
        of its difference to the first recipe lies below 0, and else that one. None where there is no time
        for two.
    """
    began = time.monotonic()
    start = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    brief = replace(config, batch_size=max(2, config.batch_size // 4))
    num_steps = _STEPS_STATIC if isinstance(encoder, StaticEncoder) else _STEPS
    before = float(cross_entropies(encoder, matched, config).mean())
    matching = time.monotonic() - began
    if seconds is not None and 2 * _TRIAL_OVER_MATCHING * matching > seconds:
        return []
    items = [items_of(recipe) for recipe in recipes]
    step_tokens = [_tokens_of_a_step(one, brief) for one in items]
    confidence = 1 - 0.1 / max(1, len(recipes) - 1)
    trials: list[Trial] = []
    usual: Values | None = None
    longest = 0.0
    for recipe, one, tokens in zip(recipes, items, step_tokens, strict=True):
        since = time.monotonic()
        if seconds is not None and since - began + longest > seconds:
            break
        steps = round(num_steps * max(step_tokens) / tokens)
        tried = NTXentLoss(**asdict(replace(loss, temperature=recipe.temperature)))
        train_encoder(encoder, one, len(one), tried, brief, Budget(steps=steps), folder)
        after = cross_entropies(encoder, matched, config)
        usual = after if usual is None else usual
        beside = paired_bootstrap(after, usual, confidence=confidence)
        trial = Trial(
            recipe=recipe,
            before=before,
            after=float(after.mean()),
            over_usual=(beside.value, beside.low, beside.high),
            confidence=confidence,
        )
        trials.append(trial)
        on_trial(trial)
        encoder.load_state_dict(start)
        shutil.rmtree(folder)
        longest = max(longest, time.monotonic() - since)
    if not trials:  # what makes the views alone took all the time
        return []
    best = min(trials, key=lambda trial: trial.after)
    chosen = best if best.over_usual[2] < 0 else trials[0]
    others = [trial for trial in trials if trial is not chosen]
    return [chosen, *sorted(others, key=lambda trial: trial.after)]


def _tokens_of_a_step(items: Views | PairedViews, config: ResolvedTrainingConfig) -> int:
    """Tokens of both views in the first batch of a run."""
    size = len(items)
    _, indices = batch_at(0, batch_size=min(config.batch_size, size), size=size, seed=config.seed)
    pairs = items.views(indices, seed=config.seed, epoch=0, max_tokens=config.max_tokens)
    return len(pairs.a.tokens) + len(pairs.b.tokens)
