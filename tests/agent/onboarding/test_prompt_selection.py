"""Prompt selection: words that see defects win; words that do not are not used."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import pytest
import torch

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.prompts import PromptSet, PromptSource
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.domain.regions import Regions, rectangle
from agent.inference.inspector import Inspector
from agent.methods.prepared import Groups, Prepared, Scored
from agent.onboarding.prompt_selection import (
    Candidate,
    PromptSelection,
    PromptSelectionPolicy,
    contenders,
    select_prompts,
)
from tests.support.images import part

SEEING = PromptSet(("a part",), ("a damaged part",), source=PromptSource.OLLAMA)
BLIND = PromptSet(("a cloud",), ("a cloud with rain",), source=PromptSource.OLLAMA)
WRONG = PromptSet(("a damaged part",), ("a part",), source=PromptSource.OLLAMA)
POLICY = PromptSelectionPolicy(frames=8)


@dataclass(frozen=True)
class WordPrepared:
    """A recipe and its references as this method needs them."""

    recipe: Recipe
    references: tuple[Image, ...]
    mask_threshold: float = 0.5
    pool_fraction: float = 0.0

    @property
    def complete(self) -> bool:
        return True

    def without(self, references: Collection[int]) -> WordPrepared:
        rest = tuple(one for index, one in enumerate(self.references) if index not in references)
        return replace(self, references=rest)

    def without_groups(self) -> WordPrepared:
        return self

    def with_recipe(self, recipe: Recipe) -> WordPrepared:
        return replace(self, recipe=recipe)

    def lead(self, region: torch.Tensor) -> float:
        return 0.0

    def label(self, region: torch.Tensor) -> str | None:
        return None


class WordMethod:
    """How far an image's colours stray, as far as the words of the recipe let it see that."""

    digest = fingerprint = "words"

    def __init__(self) -> None:
        self.calls = 0
        self.own_reference_seen = False

    def prepare(self, recipe: Recipe, references: Sequence[Image], groups: Groups = ()) -> WordPrepared:
        assert len(references) == recipe.shots
        return WordPrepared(recipe, tuple(references))

    def score(self, images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        self.calls += len(images)
        return [self._score(image, one) for image, one in zip(images, prepared, strict=True)]

    def _score(self, image: Image, prepared: Prepared) -> Scored:
        assert isinstance(prepared, WordPrepared)
        if any(image is reference for reference in prepared.references):
            self.own_reference_seen = True
        says_damaged = ["damaged" in text for text in prepared.recipe.prompts.anomalous]
        says_intact = ["damaged" in text for text in prepared.recipe.prompts.normal]
        sight = fmean(says_damaged) - fmean(says_intact)
        blurred = image.astype(np.float64).reshape(16, 4, 16, 4, 3).mean((1, 3))
        return Scored(float(sight * np.abs(blurred - np.median(blurred, (0, 1))).max()))


def recipe(shots: int = 0) -> Recipe:
    references = tuple(Reference(f"{i:064x}", f"{i}.png", str(i)) for i in range(shots))
    return replace(template_recipe("A", "words"), references=references)


def tried(
    *sets: PromptSet, shots: int = 0, policy: PromptSelectionPolicy = POLICY, count: int = 8
) -> PromptSelection:
    candidates = [Candidate(f"set {index}", each) for index, each in enumerate(sets)]
    frames = [part(index) for index in range(count)]
    return select_prompts(Inspector(WordMethod()), recipe(shots), candidates, frames, policy=policy)


def test_words_that_see_defects_win_and_their_margin_is_recorded() -> None:
    result = tried(BLIND, SEEING)
    assert result.chosen.candidate.prompts is SEEING
    assert result.chosen.auroc > 0.75
    assert result.entries[0].auroc == 0.5, "equal scores separate nothing"
    assert result.margin == pytest.approx(result.chosen.auroc - 0.5)
    assert result.chosen.lead > result.chosen.lead_error > 0.0
    assert "set 1 separates best" in result.reason
    assert result.frames == 8
    assert sum(result.defects.values()) == 16


def test_defects_are_drawn_where_the_recipe_inspects() -> None:
    """All other pixels of a copy are those of its frame, and what a method sees is cropped."""
    method = WordMethod()
    seen: list[Image] = []

    def keep(images: Sequence[Image], prepared: Sequence[Prepared]) -> list[Scored]:
        seen.extend(images)
        return WordMethod.score(method, images, prepared)

    method.score = keep  # type: ignore[method-assign]
    quarter = Regions(inspect=(rectangle(0.5, 0.5, 0.5, 0.5),))
    frames = [part(index, side=128) for index in range(8)]
    candidates = [Candidate("blind", BLIND), Candidate("seeing", SEEING)]
    result = select_prompts(
        Inspector(method), replace(recipe(), regions=quarter), candidates, frames, policy=POLICY
    )
    assert {image.shape for image in seen} == {(64, 64, 3)}
    assert result.chosen.candidate.prompts is SEEING
    assert result.chosen.auroc > 0.9, "each copy differs from its frame in the part that is seen"


def test_words_that_do_worse_are_not_used() -> None:
    result = tried(SEEING, WRONG)
    assert result.winner == 0
    assert result.entries[1].lead < 0.0
    assert result.margin > 0.0
    assert "set 0 separates best" in result.reason


def test_the_first_candidate_wins_a_tie() -> None:
    result = tried(SEEING, replace(SEEING, source=PromptSource.MANUAL))
    assert (result.winner, result.margin) == (0, 0.0)
    assert result.entries[1].lead == result.entries[1].lead_error == 0.0


def test_a_lead_within_the_noise_is_not_enough() -> None:
    bold = tried(BLIND, SEEING, policy=replace(POLICY, standard_errors=0.0))
    careful = tried(BLIND, SEEING, policy=replace(POLICY, standard_errors=1e6))
    assert (bold.winner, careful.winner) == (1, 0)
    assert careful.margin < 0.0
    assert "within the noise" in careful.reason


def test_the_best_of_several_challengers_wins() -> None:
    result = tried(BLIND, WRONG, SEEING)
    assert result.winner == 2


def test_template_words_and_both_together_compete() -> None:
    template = PromptSet(("a thing",), ("a bad thing",))
    three = contenders(template, SEEING)
    assert [one.name for one in three] == ["template", "ollama", "both"]
    assert three[0].prompts is template
    assert three[1].prompts is SEEING
    assert three[2].prompts.normal == ("a thing", "a part")
    assert three[2].prompts.source is PromptSource.OLLAMA
    frames = [part(index) for index in range(6)]
    result = select_prompts(Inspector(WordMethod()), recipe(), three, frames, policy=POLICY)
    assert result.chosen.candidate.name in ("ollama", "both")


def test_the_same_seed_gives_the_same_selection_and_another_one_other_defects() -> None:
    assert tried(BLIND, SEEING).as_record() == tried(BLIND, SEEING).as_record()
    other = tried(BLIND, SEEING, policy=replace(POLICY, seed=1))
    assert other.seed == 1
    assert other.entries[1].auroc != tried(BLIND, SEEING).entries[1].auroc or other.defects


@pytest.mark.parametrize("shots", [1, 2, 5, 30])
def test_no_frame_is_compared_with_itself(shots: int) -> None:
    method = WordMethod()
    frames = [part(index) for index in range(6)]
    candidates = [Candidate("a", BLIND), Candidate("b", SEEING)]
    result = select_prompts(Inspector(method), recipe(shots), candidates, frames, policy=POLICY)
    assert 2 <= result.references <= 6
    assert not method.own_reference_seen


def test_the_cost_is_bounded() -> None:
    method = WordMethod()
    frames = [part(index) for index in range(40)]
    policy = PromptSelectionPolicy(frames=5, copies=3)
    result = select_prompts(
        Inspector(method), recipe(), [Candidate("a", BLIND), Candidate("b", SEEING)], frames, policy=policy
    )
    assert result.frames == 5
    assert method.calls == 2 * 5 * (1 + 3)


@pytest.mark.slow
def test_large_frames_are_tried_small() -> None:
    seen: list[tuple[int, ...]] = []

    class Watching(WordMethod):
        def _score(self, image: Image, prepared: Prepared) -> Scored:
            seen.append(image.shape)
            return Scored(float(image.mean()))

    frames = [part(index, side=1500) for index in range(2)]
    select_prompts(Inspector(Watching()), recipe(), [Candidate("a", SEEING)], frames, policy=POLICY)
    assert set(seen) == {(1024, 1024, 3)}


def test_the_record_is_json() -> None:
    record = tried(BLIND, SEEING).as_record()
    assert json.loads(json.dumps(record)) == record
    assert record["chosen"] == "set 1"
    assert math.isfinite(record["margin"])
    assert [one["name"] for one in record["candidates"]] == ["set 0", "set 1"]
    assert record["candidates"][1]["prompts"] == SEEING.digest


def test_one_candidate_alone_is_used() -> None:
    result = tried(SEEING)
    assert (result.winner, result.margin) == (0, 0.0)
    assert "alone" in result.reason


def test_what_cannot_be_tried_is_refused() -> None:
    with pytest.raises(RecipeError, match="at least one set"):
        tried()
    with pytest.raises(RecipeError, match="two images"):
        tried(SEEING, count=1)
    with pytest.raises(ValueError, match="frames"):
        PromptSelectionPolicy(frames=1)
    with pytest.raises(ValueError, match="standard_errors"):
        PromptSelectionPolicy(standard_errors=-1.0)


def test_scores_that_are_not_finite_are_refused() -> None:
    class Broken(WordMethod):
        def _score(self, image: Image, prepared: Prepared) -> Scored:
            return Scored(math.nan)

    with pytest.raises(RecipeError, match="not finite"):
        select_prompts(
            Inspector(Broken()), recipe(), [Candidate("a", SEEING)], [part(0), part(1)], policy=POLICY
        )
