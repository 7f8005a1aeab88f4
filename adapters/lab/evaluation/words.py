"""``Speaker``: whether words matter, the true defect against another one, the right noun against a wrong
one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from adapters.lab.evaluation.judging import method_of, recipe_of, scored
from adapters.lab.evaluation.trials import Trial
from adapters.simulator import FAMILIES
from adapters.simulator.captions import SYNONYMS
from agent.domain.prompts import GENERIC_NOUN, TEMPLATES, NamedDefect, PromptSet
from agent.domain.recipe import Recipe
from agent.methods import Prepared, Scored
from agent.ports import ImageTextEncoder

WRONG_NOUNS = 4
"""Nouns of other families that each product is described by."""
_PHRASES = 3
"""Phrases that name a defect."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What words did to the images of one trial, as it stands in the record."""

    product: str
    station: str
    seed: int
    noun: str
    kinds: list[str | None]
    """Of each image."""
    named: dict[str, list[float]]
    """For each defect the product may have, the scores of all images by words that name it."""
    labels: list[str | None]
    """What the agent would call the truly defective place of each image; None if it is good."""
    nouns: dict[str, list[float]]
    """Zero-shot scores of all images, by the noun of the prompts."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Speaker:
    """Scores trials of drawn products by many words."""

    def __init__(self, encoder: ImageTextEncoder) -> None:
        self._method = method_of(encoder)

    def measure(self, trial: Trial) -> Spoken:
        """All words on all images of a trial; the model sees each image once."""
        kinds = FAMILIES[trial.product].defects
        plain = recipe_of(trial.key, trial.noun)
        recipes = {f"defect {kind}": naming(plain, kind) for kind in kinds}
        recipes["labels"] = replace(plain, prompts=labelled(plain.prompts, kinds))
        for noun in (trial.noun, GENERIC_NOUN, *wrong_nouns(trial.product, trial.seed)):
            recipes[f"noun {noun}"] = recipe_of(trial.key, noun)
        return self._spoken(trial, recipes)

    def _spoken(self, trial: Trial, recipes: dict[str, Recipe]) -> Spoken:
        prepared = {name: self._method.prepare(recipe, []) for name, recipe in recipes.items()}
        scores: dict[str, list[float]] = {name: [] for name in recipes}
        kinds: list[str | None] = []
        labels: list[str | None] = []
        for batch in trial.batches():
            images = [sample.image for sample in batch]
            given = dict(zip(prepared, scored(self._method, images, list(prepared.values())), strict=True))
            for name, each in given.items():
                scores[name] += [one.score for one in each]
            kinds += [sample.kind for sample in batch]
            labels += [
                label(one, prepared["labels"], sample.mask)
                for one, sample in zip(given["labels"], batch, strict=True)
            ]
        return Spoken(
            trial.product,
            trial.station,
            trial.seed,
            trial.noun,
            kinds,
            _below("defect ", scores),
            labels,
            _below("noun ", scores),
        )


def _below(prefix: str, scores: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name.removeprefix(prefix): each for name, each in scores.items() if name.startswith(prefix)}


def naming(plain: Recipe, kind: str) -> Recipe:
    """The recipe whose anomalous descriptions name one kind of defect, in the ensemble's templates."""
    anomalous = tuple(
        template.format(f"{plain.noun} with {phrase}") for phrase in phrases(kind) for template in TEMPLATES
    )
    return replace(plain, prompts=PromptSet(plain.prompts.normal, anomalous))


def labelled(prompts: PromptSet, kinds: Sequence[str]) -> PromptSet:
    """The same descriptions with the product's own defects as names of regions."""
    return replace(prompts, defects=tuple(NamedDefect(kind, phrases(kind)) for kind in kinds))


def phrases(kind: str) -> tuple[str, ...]:
    """What people call a kind of defect."""
    return SYNONYMS.get(kind, (kind,))[:_PHRASES]


def wrong_nouns(family: str, seed: int) -> list[str]:
    """Nouns of other families, drawn by the product's seed."""
    own = FAMILIES[family].noun
    others = sorted({each.noun for each in FAMILIES.values()} - {own})
    order = np.random.default_rng([seed, len(family)]).permutation(len(others))
    return [others[index] for index in order[:WRONG_NOUNS]]


@torch.inference_mode()
def label(one: Scored, recipe: Prepared, mask: NDArray[np.bool_] | None) -> str | None:
    """The name of the place under a mask, as the agent names a region it found."""
    if one.patches is None or mask is None or not mask.any():
        return None
    rows, columns = one.patches.shape[:2]
    area = torch.from_numpy(mask.astype(np.float32))[None, None]
    weights = F.adaptive_avg_pool2d(area, (rows, columns))[0, 0].to(one.patches)
    return recipe.label((one.patches * weights[..., None]).sum((0, 1)) / weights.sum())
