"""The diff of recipes: what still holds of a recipe that a person edited."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.domain.prompts import NamedDefect, PromptSource
from agent.domain.recipe import Digests, Recipe, Reference
from agent.recipes.diff import reconcile, same_content, scored_alike
from tests.storage.examples import bolt_recipe

WORDS = replace(
    bolt_recipe().prompts,
    source=PromptSource.OLLAMA,
    provenance={"model": "m"},
    defects=(NamedDefect("dent", ("a dent",)),),
)
RECIPE = bolt_recipe(prompts=WORDS)
DIGESTS = Digests.of(RECIPE)


def test_what_nobody_edited_stays_as_it_is() -> None:
    edited = reconcile(RECIPE, DIGESTS)
    assert edited.recipe == RECIPE
    assert edited.remarks == ()


@pytest.mark.parametrize(
    ("edited", "why"),
    [
        (replace(RECIPE, noun="bolt"), "the noun"),
        (replace(RECIPE, method="winclip"), "the method or its parameters"),
        (replace(RECIPE, parameters={**RECIPE.parameters, "size": 480}), "the method or its parameters"),
        (replace(RECIPE, prompts=replace(WORDS, normal=("a bolt",))), "the prompts"),
        (replace(RECIPE, references=RECIPE.references[:1]), "the references"),
    ],
)
def test_a_threshold_goes_with_what_its_scores_depend_on(edited: Recipe, why: str) -> None:
    found = reconcile(edited, DIGESTS)
    assert found.recipe.calibration is None
    (remark,) = found.remarks
    assert why in remark
    assert "REVIEW until the recipe is calibrated again" in remark
    assert not scored_alike(edited, RECIPE)


def test_edited_words_are_a_persons() -> None:
    found = reconcile(replace(RECIPE, prompts=replace(WORDS, anomalous=("a bent bolt",))), DIGESTS)
    assert found.recipe.prompts.source is PromptSource.MANUAL
    assert found.recipe.prompts.provenance == {"edited_from": "ollama"}
    assert reconcile(replace(RECIPE, noun="bolt"), DIGESTS).recipe.prompts == WORDS


def test_a_severity_counts_as_a_persons_and_keeps_the_threshold() -> None:
    severe = replace(WORDS, defects=(NamedDefect("dent", ("a dent",), "critical"),))
    found = reconcile(replace(RECIPE, prompts=severe), DIGESTS)
    assert found.recipe.prompts.source is PromptSource.MANUAL
    assert found.recipe.calibration == RECIPE.calibration
    assert scored_alike(found.recipe, RECIPE)


def test_a_threshold_that_a_person_wrote_is_named_so_once() -> None:
    assert RECIPE.calibration is not None
    by_hand = replace(RECIPE, calibration=replace(RECIPE.calibration, threshold=0.6))
    found = reconcile(by_hand, DIGESTS).recipe
    assert found.calibration is not None
    assert found.calibration.source == "leave-one-out of 16 references, edited by a person"
    again = replace(found, calibration=replace(found.calibration, threshold=0.7))
    edited = reconcile(again, Digests.of(found)).recipe.calibration
    assert edited is not None
    assert edited.source == found.calibration.source


def test_a_file_that_nobody_exported_brings_no_threshold() -> None:
    found = reconcile(RECIPE, None)
    assert found.recipe.calibration is None
    assert "nobody knows" in found.remarks[0]
    assert found.recipe.prompts.source is PromptSource.MANUAL
    assert reconcile(replace(RECIPE, calibration=None), None).remarks == ()


def test_the_same_content_whoever_wrote_it() -> None:
    other = replace(RECIPE, id=7, version=3, origin="import", parent=2)
    assert same_content(RECIPE, other)
    moved = tuple(replace(r, path="elsewhere") for r in RECIPE.references)
    assert same_content(RECIPE, replace(RECIPE, references=moved))
    assert not same_content(RECIPE, replace(RECIPE, note="another reason"))
    assert not same_content(RECIPE, replace(RECIPE, references=(Reference("aa" * 32, "", "x"),)))
