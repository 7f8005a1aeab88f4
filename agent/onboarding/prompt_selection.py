"""select_prompts(): sets of descriptions are tried on a product's good parts before one of them is used.

Nobody has seen a defect of a new product yet. There are images of good parts, and copies of them with
synthetic defects (:mod:`agent.onboarding.synthetic_defects`). A set of descriptions is as good as the recipe
with it separates these from those: the area under the ROC curve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.prompts import PromptSet, combine
from agent.domain.recipe import Recipe
from agent.domain.regions import Regions
from agent.inference.inspector import Inspector
from agent.inference.tiled import without_tiles
from agent.methods.prepared import Prepared
from agent.onboarding.synthetic_defects import KINDS, add_defect, inspected_foreground

LONGEST_SIDE = 1024
"""Frames are tried at this longest side, in pixels: no method needs more, and drawing stays fast."""

RESAMPLINGS = 500
"""Of the bootstrap: so many give its standard error to about 3 %."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One prompt set that competes."""

    name: str
    prompts: PromptSet


@dataclass(frozen=True, slots=True)
class PromptSelectionPolicy:
    """How many images candidates are tried on, and when a challenger wins.

    Each candidate costs ``frames * (1 + copies)`` scores, 48 by default, and the preparation of a recipe with
    ``references``. If the method encodes equal images of a batch once, candidates share their passes.
    """

    frames: int = 16
    """Most good images that candidates are tried on."""
    copies: int = 2
    """Copies of each with a defect."""
    references: int = 8
    """Most references in the memory bank. Only words are compared here, and a small bank is fast."""
    standard_errors: float = 1.0
    """A challenger wins if its lead over the first candidate is larger than so many standard errors."""
    kinds: tuple[str, ...] = KINDS
    seed: int = 0
    batch: int = 8

    def __post_init__(self) -> None:
        if self.frames < 2 or min(self.copies, self.batch) < 1 or self.references < 0:
            raise ValueError("frames are 2 or more, copies and batch 1 or more, references not negative")
        if self.standard_errors < 0.0:
            raise ValueError("standard_errors is not negative")


@dataclass(frozen=True, slots=True)
class Entry:
    """How one candidate did."""

    candidate: Candidate
    auroc: float
    """Share of (good, defective) pairs in the right order."""
    lead: float
    """Its AUROC minus that of the first candidate."""
    lead_error: float
    """Standard error of the lead, from resampled frames."""


@dataclass(frozen=True, slots=True)
class PromptSelection:
    """How the candidates did, and which of them is used."""

    entries: tuple[Entry, ...]
    """In the order of the candidates; the first is the one to beat."""
    winner: int
    frames: int
    defects: dict[str, int]
    """How many copies had which kind of defect."""
    references: int
    seed: int
    reason: str

    @property
    def chosen(self) -> Entry:
        """The winner's entry."""
        return self.entries[self.winner]

    @property
    def margin(self) -> float:
        """The winner's AUROC minus that of the best other one.

        Negative if the first candidate stays because none beat it clearly; 0 if it was alone.
        """
        others = [entry.auroc for index, entry in enumerate(self.entries) if index != self.winner]
        return self.chosen.auroc - max(others) if others else 0.0

    def as_record(self) -> dict[str, Any]:
        """For the recipe's row: everything except the prompts, which have rows of their own."""
        return {
            "chosen": self.chosen.candidate.name,
            "margin": round(self.margin, 4),
            "candidates": [
                {
                    "name": entry.candidate.name,
                    "source": str(entry.candidate.prompts.source),
                    "prompts": entry.candidate.prompts.digest,
                    "auroc": round(entry.auroc, 4),
                    "lead": round(entry.lead, 4),
                    "lead_error": round(entry.lead_error, 4),
                }
                for entry in self.entries
            ],
            "frames": self.frames,
            "defects": self.defects,
            "references": self.references,
            "seed": self.seed,
            "reason": self.reason,
        }


def contenders(template: PromptSet, written: PromptSet) -> tuple[Candidate, ...]:
    """The template, what a language model or a person wrote, and both together."""
    return (
        Candidate("template", template),
        Candidate(str(written.source), written),
        Candidate("both", combine(template, written)),
    )


def select_prompts(
    inspector: Inspector,
    recipe: Recipe,
    candidates: Sequence[Candidate],
    images: Sequence[Image],
    *,
    policy: PromptSelectionPolicy | None = None,
    boxes: Callable[[Image], tuple[int, int, int, int] | None] | None = None,
) -> PromptSelection:
    """Try ``candidates`` on good parts and on copies of them with synthetic defects.

    A recipe with references is tried with a bank of ``policy.references`` of the images; each of those is
    scored against the others. The rest of the recipe stays as it is.

    The first candidate, the template, is used unless the best of the others separates better by more than
    ``policy.standard_errors`` of their difference (Breiman et al. 1984 choose the simplest model within one
    standard error of the best). A few dozen copies distinguish AUROCs that differ by a few hundredths at
    best, and choosing the highest regardless of noise would often pick a set that is worse. The template's
    quality is known from publications; that of words that were just written is not.

    The standard error is that of a bootstrap over frames, so that a frame and its copies stay together and
    all candidates see the same draw.

    Args:
        images: two or more good parts; the recipe's references may be among them.
        boxes: gives the box of the product, in which defects are drawn; None: the product is found by colour.

    Raises:
        RecipeError: fewer than two images, no candidates, or an image on which no defect can be drawn.
    """
    policy = policy or PromptSelectionPolicy()
    if not candidates:
        raise RecipeError(f"the prompt selection of {recipe.sku!r} needs at least one set of descriptions")
    if len(images) < 2:
        raise RecipeError(f"the prompt selection of {recipe.sku!r} needs two images of good parts or more")
    frames = [shrunk(image, recipe.regions) for image in _spread(images, policy.frames)]
    copies, kinds = _copies(frames, policy, boxes, recipe.regions)
    # Two at least: a bank of one is empty for its own image.
    bank = min(max(policy.references, 2), max(recipe.shots, 2), len(frames)) if recipe.shots else 0
    prepared = [_prepared(inspector, recipe, candidate, frames[:bank]) for candidate in candidates]
    orders = [_order(table) for table in _scores(inspector, prepared, frames, copies, bank, policy.batch)]
    entries = tuple(
        _entry(candidate, order, orders[0], policy.seed)
        for candidate, order in zip(candidates, orders, strict=True)
    )
    winner, reason = _choose(entries, policy.standard_errors)
    return PromptSelection(entries, winner, len(frames), kinds, bank, policy.seed, reason)


def _spread(images: Sequence[Image], most: int) -> list[Image]:
    """At most so many, evenly spread: consecutive images are alike."""
    if len(images) <= most:
        return list(images)
    return [images[int(index)] for index in np.linspace(0, len(images) - 1, most).round()]


def shrunk(image: Image, inspected: Regions) -> Image:
    """So that the inspected part of it has the longest side."""
    height, width = image.shape[:2]
    left, top, right, bottom = inspected.window
    factor = LONGEST_SIDE / max(height * (bottom - top), width * (right - left))
    if factor >= 1.0:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _copies(
    frames: Sequence[Image],
    policy: PromptSelectionPolicy,
    boxes: Callable[[Image], tuple[int, int, int, int] | None] | None,
    inspected: Regions,
) -> tuple[list[list[Image]], dict[str, int]]:
    """``policy.copies`` of each frame, with the kinds in turn, and how many there are of each kind."""
    copies: list[list[Image]] = []
    counts: dict[str, int] = {}
    for index, frame in enumerate(frames):
        product = inspected_foreground(frame, inspected, boxes(frame) if boxes else None)
        copies.append([])
        for copy in range(policy.copies):
            number = index * policy.copies + copy
            kind = policy.kinds[number % len(policy.kinds)]
            seed = (policy.seed << 20) + number
            try:
                made = add_defect(frame, seed, kinds=(kind,), foreground=product)
            except ValueError:  # for instance a blur on smooth metal: any other kind will do
                made = _any_defect(frame, seed, policy.kinds, product)
            copies[-1].append(made.image)
            counts[made.kind] = counts.get(made.kind, 0) + 1
    return copies, counts


def _any_defect(frame: Image, seed: int, kinds: tuple[str, ...], product: NDArray[np.bool_]) -> Any:
    try:
        return add_defect(frame, seed, kinds=kinds, foreground=product)
    except ValueError as error:
        raise RecipeError(f"an image cannot be used to try prompts: {error}") from error


def _prepared(
    inspector: Inspector, recipe: Recipe, candidate: Candidate, references: Sequence[Image]
) -> Prepared:
    """The recipe with a candidate's words, and the first of the frames in its bank."""
    draft = replace(
        without_tiles(recipe),  # frames are shrunk here, and words are compared: tiles would only cost
        prompts=candidate.prompts,
        references=(recipe.references * len(references))[: len(references)],
        calibration=None,
    )
    return inspector.prepare(draft, references)


def _scores(
    inspector: Inspector,
    prepared: Sequence[Prepared],
    frames: Sequence[Image],
    copies: Sequence[Sequence[Image]],
    bank: int,
    batch: int,
) -> NDArray[np.float64]:
    """(candidates, frames, 1 + copies): the scores of each frame and of its copies.

    One image goes through all candidates in one batch, for methods that then encode it only once.
    """
    table = np.empty((len(prepared), len(frames), 1 + len(copies[0])), np.float64)
    for index, frame in enumerate(frames):
        recipes = [one.without({index}) if index < bank else one for one in prepared]
        own = [frame, *copies[index]]
        step = max(1, batch // len(recipes))
        for start in range(0, len(own), step):
            part = own[start : start + step]
            pairs = [(image, one) for image in part for one in recipes]
            scored = inspector.score([image for image, _ in pairs], [one for _, one in pairs])
            values = np.array([each.score for each in scored]).reshape(len(part), len(recipes))
            table[:, index, start : start + len(part)] = values.T
    return table


def _order(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, n) from one candidate's (n, 1 + copies) scores: the share of frame j's copies above good frame i.

    Equal scores count half.
    """
    if not np.isfinite(table).all():
        raise RecipeError("the method gave scores that are not finite; prompts cannot be compared by them")
    good, defective = table[:, 0], table[:, 1:]
    above = defective[None] > good[:, None, None]
    equal = defective[None] == good[:, None, None]
    return np.asarray((above + 0.5 * equal).mean(2))


def _entry(candidate: Candidate, order: NDArray[np.float64], first: NDArray[np.float64], seed: int) -> Entry:
    """AUROC is the mean of ``order``. A resampling of frames weighs its rows and columns alike."""
    n = len(order)
    rng = np.random.default_rng([seed, n])
    weights = rng.multinomial(n, np.full(n, 1.0 / n), size=RESAMPLINGS) / n
    leads = np.einsum("ri,ij,rj->r", weights, order - first, weights)
    auroc, lead = float(order.mean()), float((order - first).mean())
    return Entry(candidate, auroc, lead, float(leads.std(ddof=1)))


def _choose(entries: Sequence[Entry], standard_errors: float) -> tuple[int, str]:
    """The index of the winner, and the reason in a sentence."""
    first, names = entries[0], [entry.candidate.name for entry in entries]
    if len(entries) == 1:
        return 0, f"{names[0]} was alone"
    best = max(range(1, len(entries)), key=lambda index: entries[index].auroc)
    figures = (
        f"{names[best]} {entries[best].auroc:.3f} against {names[0]} {first.auroc:.3f} "
        f"(lead {entries[best].lead:+.3f}, standard error {entries[best].lead_error:.3f})"
    )
    if entries[best].lead <= 0.0:
        return 0, f"{names[0]} separates best: {figures}"
    if entries[best].lead <= standard_errors * entries[best].lead_error:
        return 0, f"{names[0]} stays, the lead is within the noise: {figures}"
    return best, f"{names[best]} separates best: {figures}"
