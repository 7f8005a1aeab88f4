"""The models of a configuration: recipes choose their method, and methods share what is loaded."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.simulator import Product, Station, draw
from agent.app.models import Models, build_inspector, build_methods
from agent.domain.calibration import Calibration
from agent.domain.errors import ModelError, RecipeError
from agent.domain.recipe import Reference, template_recipe
from agent.methods.fade import Fade
from agent.methods.null import Null
from config import Settings, load


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(profile="embedded").settings


@pytest.mark.slow
def test_products_of_one_production_line_are_inspected_by_methods_of_their_own(settings: Settings) -> None:
    inspector = build_inspector(settings)
    part = np.full((64, 64, 3), 128, np.uint8)
    recipes = [template_recipe("A", "sightline"), template_recipe("B", "fade"), template_recipe("C", "null")]
    prepared = [inspector.prepare(recipe, ()) for recipe in recipes]
    results = inspector.inspect([part] * 3, prepared)
    assert results[2].score == 0.0
    assert results[0].model_digest == results[1].model_digest != results[2].model_digest
    assert len({inspector.fingerprint(recipe) for recipe in recipes}) == 3


@pytest.mark.slow
def test_a_recipe_of_one_runtime_is_judged_alike_in_another(tmp_path: Path) -> None:
    """Enrolled in PyTorch, as before there were others: one scorer, scores within 1e-3, equal verdicts."""
    shown = [draw(Product.create("gear", 7), Station.fixed(7), index, size=160).image for index in range(6)]
    shown[-1] = shown[-1].copy()
    shown[-1][60:90, 60:90] = 255
    inspectors = {}
    for runtime in ("torch", "onnxruntime"):
        overrides = [
            f"models.runtime={runtime}",
            f"models.cache={tmp_path}",
            "inspection.parameters.sightline.scales=[160]",
        ]
        inspectors[runtime] = build_inspector(load(profile="embedded", overrides=overrides).settings)
    references = tuple(Reference(str(index), str(index), str(index)) for index in range(4))
    recipe = replace(template_recipe("A", "sightline", "gear"), references=references)
    enrolled = inspectors["torch"].prepare(recipe, shown[:4])
    good, bad = (one.score for one in inspectors["torch"].score(shown[4:], [enrolled] * 2))
    part = (bad - good) / 3  # between the good and the bad one, away from both
    calibration = Calibration(bad - part, good + part, 4, 0.01, "between them", None)
    found = {}
    for runtime, inspector in inspectors.items():
        own = inspector.prepare(replace(recipe, calibration=calibration), shown[:4])
        found[runtime] = inspector.inspect(shown[4:], [own] * 2)
    torch_, onnx = found["torch"], found["onnxruntime"]
    assert [one.verdict for one in torch_] == [one.verdict for one in onnx]
    for one, other in zip(torch_, onnx, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-3)
        assert one.model_digest == other.model_digest
    assert len({inspector.fingerprint(recipe) for inspector in inspectors.values()}) == 1
    assert list((tmp_path / "graphs").iterdir())


def test_methods_share_their_models(settings: Settings) -> None:
    methods = build_methods(settings)
    first, second = methods.get("fade"), methods.get("sightline")
    assert isinstance(first, Fade)
    assert isinstance(second, Fade)
    assert first._encoder is second._encoder


def test_a_method_whose_weights_are_missing_says_how_to_get_them(settings: Settings) -> None:
    with pytest.raises(ModelError, match="sightline models pull"):
        build_methods(settings).get("apg-gd")


def test_products_without_a_noun_get_their_words_from_the_vision_language_model(settings: Settings) -> None:
    models = Models(settings)
    part = np.full((64, 64, 3), 128, np.uint8)
    assert models.tagger is not None
    assert len(models.tagger.tags(part, 3)) == 3
    elsewhere = load(profile="embedded", overrides=["models.clip=ViT-B-16-plus-240"]).settings
    assert Models(elsewhere).tagger is None, "its weights are not there: a product then needs a noun"


def test_null_in_the_configuration_stands_in_place_of_every_recipes_method() -> None:
    settings = load(profile="embedded", overrides=["inspection.method=null"]).settings
    assert isinstance(build_methods(settings).get("sightline"), Null)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "inspection.parameters.sightline.scale=[240]",
            "inspection.parameters.sightline: there is no parameter 'scale'",
        ),
        (
            "inspection.parameters.sightline.map_size=0",
            "inspection.parameters.sightline: map_size is at least 1",
        ),
        ("inspection.method=magic", "there is no method 'magic'; known are fade"),
    ],
)
def test_a_parameter_that_the_method_refuses_is_reported_with_its_key(override: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(sentence)):
        build_inspector(load(profile="embedded", overrides=[override]).settings)
