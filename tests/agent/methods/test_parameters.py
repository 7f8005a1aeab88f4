"""Parameters from recipes: names and types are checked."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from agent.domain.errors import RecipeError
from agent.domain.recipe import Parameter
from agent.methods.fade import FadeParameters
from agent.methods.parameters import override

DEFAULTS = FadeParameters()


def test_values_replace_defaults_and_nothing_else() -> None:
    changed = override(DEFAULTS, {"map_size": 28, "scales": [64, 128], "few_shot_gain": 2, "clip": False})
    assert (changed.map_size, changed.scales, changed.clip) == (28, (64, 128), False)
    assert changed.few_shot_gain == 2.0
    assert isinstance(changed.few_shot_gain, float)
    assert changed.zero_shot_gain == DEFAULTS.zero_shot_gain
    assert hash(changed) != hash(DEFAULTS)


def test_no_values_change_nothing() -> None:
    assert override(DEFAULTS, {}) == DEFAULTS


def test_the_error_for_an_unknown_name_suggests_the_nearest_known_one() -> None:
    with pytest.raises(RecipeError, match="'few_shot_gian'; did you mean 'few_shot_gain'"):
        override(DEFAULTS, {"few_shot_gian": 1.0})
    with pytest.raises(RecipeError, match="known are angles, aspect, bank_limit"):
        override(DEFAULTS, {"zzzzzz": 1.0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip", 1),
        ("map_size", True),
        ("map_size", 28.0),
        ("few_shot_gain", "3.5"),
        ("few_shot_gain", False),
        ("scales", 240),
        ("scales", "240"),
        ("scales", [240.5]),
        ("scales", [True]),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: Parameter) -> None:
    with pytest.raises(RecipeError, match=f"parameter '{name}' is a"):
        override(DEFAULTS, {name: value})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("scales", [], "one or more"),
        ("scales", [16], "at least 32"),
        ("bank_limit", 0, "at least 1"),
        ("map_size", 0, "at least 1"),
        ("temperature", -0.01, "above 0"),
        ("pool_fraction", 1.5, "0 to 1"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(name: str, value: Parameter, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        override(DEFAULTS, {name: value})


def test_only_instances_of_dataclasses_have_parameters() -> None:
    with pytest.raises(TypeError, match="dataclass"):
        override(FadeParameters, {})
    with pytest.raises(TypeError, match="dataclass"):
        override({"map_size": 1}, {})


@dataclass(frozen=True)
class Named:
    word: str = "a"


def test_text_stays_text() -> None:
    assert override(Named(), {"word": "b"}).word == "b"
    with pytest.raises(RecipeError, match="'word' is a str"):
        override(Named(), {"word": 3})
