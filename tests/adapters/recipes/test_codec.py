"""RecipeYaml: the round trip, and the error for each mistake of a person who edits by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adapters.recipes.codec import RecipeYaml
from agent.domain.errors import RecipeError
from agent.domain.prompts import PromptSource
from agent.domain.recipe import Digests, Recipe, Reference
from agent.ports.recipes import RecipeFile
from agent.recipes.diff import reconcile
from tests.storage.examples import bolt_recipe
from tests.support.recipes import recipes, words

CODEC = RecipeYaml()
BOLT = replace(bolt_recipe(note="made for a test"), id=4, version=3)
TEXT = CODEC.write(BOLT)


def put_together(file: RecipeFile, references: tuple[Reference, ...]) -> Recipe:
    """With the references as they were found by their digests."""
    named = [(entry.name, entry.sha256) for entry in file.references]
    assert named == [(one.name, one.sha256) for one in references]
    return replace(file.recipe, references=references)


@pytest.mark.slow
@given(recipes(words(), version=st.integers(0, 9)))
def test_any_recipe_survives_the_round_trip(recipe: Recipe) -> None:
    text = CODEC.write(recipe)
    file = CODEC.read(text, "a.yaml")
    again = put_together(file, recipe.references)
    assert again == replace(recipe, version=0)
    types = {name: type(value) for name, value in recipe.parameters.items()}
    assert {name: type(value) for name, value in again.parameters.items()} == types
    assert file.exported == Digests.of(recipe)
    assert file.version == (recipe.version or None)
    edited = reconcile(again, file.exported)
    assert (edited.recipe, edited.remarks) == (again, ()), "what nobody edited is kept whole"
    assert CODEC.write(replace(again, version=recipe.version)) == text


def test_the_file_is_one_that_a_person_can_edit() -> None:
    assert TEXT.startswith("# A recipe of Sightline.")
    content = yaml.safe_load(TEXT)
    assert list(content) == [
        *("sku", "noun", "method", "note", "parameters", "prompts", "references", "calibration", "exported")
    ]
    assert content["references"][0] == {"name": "good-1.png", "sha256": "cd" * 32}
    scratch = content["prompts"]["defects"][0]
    assert (scratch["name"], scratch["severity"], scratch["phrases"][0]) == ("scratch", "", "a scratch")
    assert "    - a photo of a flawless hex bolt" in TEXT.splitlines()


def test_a_file_written_by_hand_needs_little() -> None:
    text = (
        "sku: bolt\nnoun: hex bolt\nmethod: fade\nparameters:\nprompts: {normal: [good], anomalous: [bad]}\n"
    )
    file = CODEC.read(text, "mine.yaml")
    assert file.recipe.prompts.source is PromptSource.MANUAL
    assert (file.references, file.exported, file.recipe.parameters) == ((), None, {})


@pytest.mark.parametrize(
    ("was", "now", "sentence"),
    [
        ("noun: hex bolt", "nuon: hex bolt", "line 4, column 1: nuon is not a known key; did you mean noun?"),
        ("noun: hex bolt", "nuon: hex bolt", "noun is missing"),
        ("noun: hex bolt", "noun: 7", "line 4, column 1: noun should be text; put it in quotes"),
        (
            "severity: ''",
            "sevrity: ''",
            "prompts.defects[1].sevrity is not a known key; did you mean severity?",
        ),
        ("threshold: 0.5", "threshold: half", "calibration.threshold should be a valid number"),
        ("threshold: 0.5", "threshold: .nan", "calibration.threshold should be a finite number"),
        ("threshold: 0.5", "threshold: 0.1", "the REVIEW margin lies below the threshold"),
        ("size: 240", "size: {a: 1}", "parameters.size should be a number, a text, true or false, or a list"),
        ("source: template", "source: oracle", "prompts.source should be 'template', 'ollama' or 'manual'"),
        ("cdcdcdcd", "CDCDCDCD", "references[1].sha256 should match pattern"),
        ("sku: bolt", "sku: bolt\nsku: nut", "line 4, column 1: sku stands here twice"),
        ("sku: bolt", "sku: [bolt", "is not valid YAML here"),
        ("sku: bolt", f"sku: {'x' * 256}", "sku should have at most 255 characters"),
    ],
)
def test_each_mistake_is_named_with_its_line(was: str, now: str, sentence: str) -> None:
    assert was in TEXT
    with pytest.raises(RecipeError) as caught:
        CODEC.read(TEXT.replace(was, now, 1), "bolt.yaml")
    assert sentence in str(caught.value)
    assert "bolt.yaml" in str(caught.value)


def test_lines_inside_lists_are_found() -> None:
    line = TEXT.splitlines().index("    - name: dent") + 2
    with pytest.raises(RecipeError, match=rf"line {line}, column \d+: prompts.defects\[3\].severity"):
        CODEC.read(
            TEXT.replace("- name: dent\n      severity: ''", "- name: dent\n      severity: 3"), "b.yaml"
        )


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_recipe_or_a_clear_refusal(text: str) -> None:
    with pytest.raises(RecipeError, match=r"x\.yaml"):
        CODEC.read(text, "x.yaml")


def test_endless_files_are_refused() -> None:
    with pytest.raises(RecipeError, match="megabyte"):
        CODEC.read("a: " + "x" * 1_000_001, "x.yaml")
    bomb = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 8)}]\n" for i in range(8)
    )
    with pytest.raises(RecipeError, match="without end"):
        CODEC.read(bomb, "x.yaml")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (".inf", "parameters.size should be finite numbers"),
        ("-.inf", "parameters.size should be finite numbers"),
        ("[1.5, .nan]", "parameters.size should be finite numbers"),
        ("1e999", "should be"),
        ("9" * 5_000, "more than 400 digits"),
        ("1:" * 50_000 + "1", "more than 400 digits"),
        ("[" * 30_000, "more than 20,000 entries"),
        ("x" + ",x" * 30_000, "more than 20,000 entries"),
    ],
)
def test_numbers_and_lists_without_end(value: str, sentence: str) -> None:
    text = TEXT.replace("size: 240", f"size: {value}", 1)
    if value == "1e999":  # a text in YAML 1.1, whose floats have a point and a sign
        assert CODEC.read(text, "x.yaml").recipe.parameters["size"] == value
        return
    with pytest.raises(RecipeError, match=sentence):
        CODEC.read(text, "x.yaml")
