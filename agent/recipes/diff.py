"""reconcile(): what a person changed in a recipe file, and which parts of the recipe still hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.domain.prompts import PromptSource
from agent.domain.recipe import Digests, Recipe

BY_HAND = "edited by a person"

_SCORING = {
    "noun": "the noun",
    "method": "the method or its parameters",
    "words": "the prompts",
    "references": "the references",
    "regions": "the regions",
}
"""Parts of a recipe that its scores depend on, as sentences name them."""


@dataclass(frozen=True, slots=True)
class Edited:
    """A recipe as it may be stored, and remarks for the person who edited it."""

    recipe: Recipe
    remarks: tuple[str, ...] = ()


def reconcile(recipe: Recipe, exported: Digests | None) -> Edited:
    """Keep the parts of an edited recipe that still hold.

    Edited words count as a person's. A threshold belongs to the scores that it was set from, so it is dropped
    if anything changed that scores depend on. The source of a threshold that a person changed names that.

    Args:
        exported: the digests of the recipe as it was exported; None for a file that was never exported.
    """
    now = Digests.of(recipe)
    prompts, calibration = recipe.prompts, recipe.calibration
    remarks: list[str] = []
    written = exported is None or (now.words, now.severities) != (exported.words, exported.severities)
    if written and prompts.source is not PromptSource.MANUAL:
        was = {} if exported is None else {"edited_from": prompts.source.value}
        prompts = replace(prompts, source=PromptSource.MANUAL, provenance=was)
    changed = [] if exported is None else [n for n in _SCORING if getattr(now, n) != getattr(exported, n)]
    if calibration is not None and (exported is None or changed):
        why = "nobody knows which scores it was set from" if exported is None else _sentence(changed)
        remarks.append(
            f"the threshold is left out, since {why}; "
            "verdicts are REVIEW until the recipe is calibrated again"
        )
        calibration = None
    elif calibration is not None and exported is not None and now.calibration != exported.calibration:
        remarks.append("the threshold is one that a person wrote")
        if not calibration.source.endswith(BY_HAND):
            calibration = replace(calibration, source=f"{calibration.source}, {BY_HAND}")
    return Edited(replace(recipe, prompts=prompts, calibration=calibration), tuple(remarks))


def same_content(one: Recipe, other: Recipe) -> bool:
    """Whether two versions have the same content, whoever wrote them and when."""
    return _content(one) == _content(other)


def _content(recipe: Recipe) -> Recipe:
    images = tuple(replace(reference, path="") for reference in recipe.references)
    return replace(
        recipe, references=images, id=None, version=0, origin="import", parent=None, prompt_selection=None
    )


def _sentence(changed: Sequence[str]) -> str:
    named = [_SCORING[name] for name in changed]
    return f"{' and '.join(named)} changed"


def scored_alike(one: Recipe, other: Recipe) -> bool:
    """Whether the scores of two versions can be compared: all that they depend on is the same."""
    first, second = Digests.of(one), Digests.of(other)
    return all(getattr(first, name) == getattr(second, name) for name in _SCORING)
