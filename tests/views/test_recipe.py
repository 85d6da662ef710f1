"""Presets, overrides and refusals of `ViewsConfig`."""

from dataclasses import asdict
from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from llmagentos.errors import ConfigError
from llmagentos.views import ViewsConfig
from llmagentos.views._links import amount_of
from llmagentos.views._recipe import Preset


@pytest.mark.parametrize("preset", get_args(Preset))
def test_a_resolved_recipe_reads_back_as_itself(preset: Preset) -> None:
    recipe = ViewsConfig(preset=preset).resolved()
    assert recipe.preset == preset
    assert ViewsConfig(**asdict(recipe)).resolved() == recipe


def test_given_rates_override_the_preset_s_even_with_zero() -> None:
    recipe = ViewsConfig(preset="paragraph", word_deletion=0.0, word_swap=0.2).resolved()
    assert (recipe.crop_max, recipe.word_deletion, recipe.word_swap) == (0.5, 0.0, 0.2)


def test_the_crop_is_off_when_both_shares_are_one() -> None:
    assert ViewsConfig(preset="crop").resolved().crops
    assert not ViewsConfig(preset="crop", crop_min=1.0, crop_max=1.0).resolved().crops
    assert not ViewsConfig(preset="dropout").resolved().crops


def test_the_seed_preset_has_the_five_operations_and_no_crop() -> None:
    recipe = ViewsConfig(preset="seed").resolved()
    rates = [recipe.word_replacement, recipe.word_deletion, recipe.word_swap, recipe.sentence_reordering]
    assert all(amount_of(rate).rate > 0 for rate in [*rates, recipe.character_noise])
    assert not recipe.crops


def test_contradicting_shares_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"crop_min must be at most views\.crop_max, got 0\.8 and 0\.5"):
        ViewsConfig(preset="crop", crop_min=0.8).resolved()


@pytest.mark.parametrize(
    "given",
    [{"word_swap": 1.5}, {"crop_min": 0.0}, {"preset": "loud"}, {"word_drop": 0.1}, {"repetition": "a"}],
)
def test_values_out_of_range_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(ViewsConfig).validate_python(given)
