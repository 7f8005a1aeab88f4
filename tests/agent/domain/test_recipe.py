"""Recipes validate themselves."""

from __future__ import annotations

import pytest

from agent.domain.errors import RecipeError
from agent.domain.frame import MAX_SKU
from agent.domain.prompts import compositional_ensemble
from agent.domain.recipe import Recipe, Reference

PROMPTS = compositional_ensemble("bolt")


def test_a_new_recipe_is_not_stored_and_has_no_references() -> None:
    recipe = Recipe("B-1", "bolt", PROMPTS, "sightline")
    assert (recipe.id, recipe.version, recipe.shots, recipe.calibration) == (None, 0, 0, None)


def test_shots_counts_references() -> None:
    references = tuple(Reference(str(i), f"{i}.png", f"part {i}") for i in range(3))
    assert Recipe("B-1", "bolt", PROMPTS, "sightline", references=references).shots == 3


@pytest.mark.parametrize("sku", ["", "x" * (MAX_SKU + 1)])
def test_the_sku_has_a_length_that_fits_its_column(sku: str) -> None:
    with pytest.raises(RecipeError, match="1 to 255 characters"):
        Recipe(sku, "bolt", PROMPTS, "sightline")


def test_a_product_needs_a_noun() -> None:
    with pytest.raises(RecipeError, match="noun"):
        Recipe("B-1", "  ", PROMPTS, "sightline")
