"""name_defects(): by which margin the names of defects are right, found with synthetic defects of references.

A vision-language model names a region by the text that fits it best, whether it knows such defects or not.
So enrollment draws defects of known kinds on some of the references and looks how often the names are right.
If they are from some margin on, that is the recipe's; otherwise its regions are called ``anomaly``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.domain.regions import Regions
from agent.enrollment.enroll import Enrolled
from agent.inference.inspector import Inspector, region_feature
from agent.inference.reference_images import ReferenceImages
from agent.methods.prepared import Prepared
from agent.onboarding.prompt_selection import shrunk
from agent.onboarding.synthetic_defects import KINDS, SyntheticDefect, add_defect, inspected_foreground

REFERENCES = 4
"""So many references get one defect of each kind."""

MOSTLY = 0.5
"""A name means something if it is right more often than not."""
_Z = 1.96
"""For the 95 % interval of Wilson (1927)."""

RIGHT_NAMES: Mapping[str, tuple[str, ...]] = {
    "scratch": ("scratch", "scuff", "scrape"),
    "stain": ("stain", "spot", "blotch", "smudge", "dirt"),
    "hole": ("hole", "pit", "puncture", "perforation"),
    "missing patch": ("missing", "broken off", "incomplete"),
}
"""Words that a right name of each kind has. No name is right for the other kinds: a patch of the product at
another place, and a blurred place. They show whether names are held back where none fits."""


@dataclass(frozen=True, slots=True)
class Naming:
    """One synthetic defect and what it was called."""

    kind: str
    name: str
    lead: float

    @property
    def right(self) -> bool:
        return any(word in self.name.lower() for word in RIGHT_NAMES.get(self.kind, ()))


def name_defects(inspector: Inspector, enrolled: Enrolled, images: Sequence[Image]) -> Enrolled:
    """The same with the margin of names in its calibration; unchanged without a threshold.

    Args:
        images: those that were offered to the enrollment, in their order.
    """
    recipe = enrolled.recipe
    if recipe.calibration is None:
        return enrolled
    kept = range(len(images)) if enrolled.selection is None else enrolled.selection.kept
    margin = find_label_margin(inspector, recipe, ReferenceImages.of(images).only(kept))
    named = replace(recipe, calibration=replace(recipe.calibration, label_margin=margin))
    return replace(enrolled, recipe=named, prepared=enrolled.prepared.with_recipe(named))


def find_label_margin(inspector: Inspector, recipe: Recipe, images: Sequence[Image]) -> float | None:
    """The margin that synthetic defects on ``images`` of good parts support; None if they support none.

    This costs up to ``REFERENCES * len(KINDS)`` passes without a memory, half of them if no name is right.
    """
    if len(recipe.prompts.defects) < 2:
        return None
    return supported_margin(_tried(inspector, without_memory(inspector, recipe), images))


def without_memory(inspector: Inspector, recipe: Recipe) -> Prepared:
    """The recipe prepared for names alone: they depend on words and not on references."""
    return inspector.prepare(replace(recipe, references=(), calibration=None), ())


def supported_margin(tried: Sequence[Naming]) -> float | None:
    """The smallest lead from which on names are right more often than not, with 95 % confidence; or None."""
    ranked = sorted(tried, key=lambda one: -one.lead)
    margin, hits = None, 0
    for count, one in enumerate(ranked, start=1):
        hits += one.right
        tied = count < len(ranked) and ranked[count].lead == one.lead
        if not tied and one.lead > 0.0 and _lowest_share(hits, count) > MOSTLY:
            margin = one.lead
    return margin


def _tried(inspector: Inspector, prepared: Prepared, images: Sequence[Image]) -> list[Naming]:
    found: list[Naming] = []
    for number, defect in enumerate(_defects(images, prepared.recipe.regions), start=1):
        # One at a time: enrollment runs beside inspection.
        scored = inspector.score([defect.image], [prepared])[0]
        feature = region_feature(scored, defect.mask)
        name = None if feature is None else prepared.label(feature)
        if feature is None or name is None:
            return []  # the method names no regions
        found.append(Naming(defect.kind, name, prepared.lead(feature)))
        if 2 * number >= REFERENCES * len(KINDS) and not any(one.right for one in found):
            break
    return found


def _defects(images: Sequence[Image], inspected: Regions) -> Iterator[SyntheticDefect]:
    """One of each kind on each of some references, which are spread over all."""
    count = min(REFERENCES, len(images))
    for place in range(count):
        image = shrunk(images[place * len(images) // count], inspected)  # large where there are tiles
        product = inspected_foreground(image, inspected)
        for number, kind in enumerate(KINDS):
            try:
                yield add_defect(image, place * len(KINDS) + number, kinds=(kind,), foreground=product)
            except ValueError:
                continue  # this kind does not show on this product


def _lowest_share(hits: int, count: int) -> float:
    """Lower end of Wilson's interval."""
    share, z = hits / count, _Z
    centre = share + z**2 / (2 * count)
    spread = z * math.sqrt(share * (1.0 - share) / count + z**2 / (4 * count**2))
    return (centre - spread) / (1.0 + z**2 / count)
