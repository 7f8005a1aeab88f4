"""``select_on_products``: what prompt selection picks against what really separates best.

Descriptions stand in for a language model's (:data:`STAND_INS`). They are what their names say, fixed, and
written by hand before any of them was measured: sentences that fit each product, those of another product,
and those that fit turned round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from adapters.cli.evaluate import machine
from adapters.lab.studies.calibration import Counts, Study, batches, study_recipe
from adapters.lab.studies.products import DEFECTIVE, GOOD, SAMPLES, TEN, StudyProduct
from adapters.lab.studies.report import Report
from agent.domain.frame import Image
from agent.domain.prompts import COMMON_DEFECTS, PromptSet, PromptSource, combine
from agent.domain.recipe import Recipe
from agent.inference.inspector import Inspector
from agent.onboarding.prompt_selection import (
    Candidate,
    PromptSelection,
    PromptSelectionPolicy,
    select_prompts,
)
from config import Settings

NOISE = 0.02
"""True AUROCs that differ by less are called equal: with 100 good and 100 defective parts, one standard error
of a difference of two that look at the same parts is about that."""


@dataclass(frozen=True, slots=True)
class Row:
    """One selection for one product: the template, a stand-in's words, and both together."""

    product: str
    stand_in: str
    outcome: PromptSelection
    truth: Mapping[str, float]
    """AUROC on real defects of the simulator, by candidate."""

    @property
    def chosen(self) -> str:
        """The name of the candidate that won."""
        return self.outcome.chosen.candidate.name

    @property
    def regret(self) -> float:
        """What a better choice would have given."""
        return max(self.truth.values()) - self.truth[self.chosen]

    @property
    def gain(self) -> float:
        """What the choice gives over the template."""
        return self.truth[self.chosen] - self.truth["template"]

    @property
    def right(self) -> bool:
        """Whether no candidate was really better by more than the noise."""
        return self.regret <= NOISE

    @property
    def differing(self) -> bool:
        """Whether there was something to choose: candidates that really differ by more than the noise."""
        return max(self.truth.values()) - min(self.truth.values()) > NOISE


def select_on_products(
    study: Study, products: Sequence[StudyProduct], policy: PromptSelectionPolicy, counts: Counts
) -> list[Row]:
    """Three selections of each product, each against the AUROC on its own later parts."""
    rows: list[Row] = []
    shots, inspector = counts.references, study.inspector
    for one in products:
        recipe = study_recipe(one.name, study.settings.inspection.method, one.product.noun, shots)
        candidates = _candidates(one.name, recipe)
        frames = list(one.parts(SAMPLES, max(policy.frames, shots)))
        later = chain(one.parts(GOOD, counts.good), one.parts(DEFECTIVE, counts.defective, defective=True))
        total = counts.good + counts.defective
        followed = study.progress.follow(later, f"{one.name}: true AUROC", total)
        labels = np.arange(total) >= counts.good
        truth = _true_aurocs(inspector, recipe, candidates, frames[:shots], followed, labels)
        for stand_in in STAND_INS:
            names = ("template", stand_in, f"template + {stand_in}")
            tried = [Candidate(name, candidates[name].prompts) for name in names]
            outcome = select_prompts(inspector, recipe, tried, frames, policy=policy)
            rows.append(Row(one.name, stand_in, outcome, {name: truth[name] for name in names}))
            study.progress.note(" | ".join(_cells(rows[-1])))
    return rows


def _candidates(family: str, recipe: Recipe) -> dict[str, Candidate]:
    """The template, each stand-in and each together with the template."""
    made = {"template": recipe.prompts}
    for name, write in STAND_INS.items():
        made[name] = write(family)
        made[f"template + {name}"] = combine(recipe.prompts, made[name])
    return {name: Candidate(name, prompts) for name, prompts in made.items()}


def _true_aurocs(
    inspector: Inspector,
    recipe: Recipe,
    candidates: Mapping[str, Candidate],
    references: Sequence[Image],
    later: Iterable[Image],
    labels: NDArray[np.bool_],
) -> dict[str, float]:
    prepared = [
        inspector.prepare(replace(recipe, prompts=one.prompts), references) for one in candidates.values()
    ]
    scores: list[list[float]] = []
    for part in batches(later, 2):
        images = [image for image in part for _ in prepared]
        scored = inspector.score(images, prepared * len(part))
        values = [each.score for each in scored]
        scores += [values[start : start + len(prepared)] for start in range(0, len(values), len(prepared))]
    table = np.array(scores)
    return {name: float(roc_auc_score(labels, table[:, column])) for column, name in enumerate(candidates)}


def report_of(
    rows: Sequence[Row], policy: PromptSelectionPolicy, shots: int, seed: int, settings: Settings
) -> Report:
    """Table, notes and JSON."""
    columns = ("product", "words", "chosen", "tried template", "tried words", "tried both", "lead ± error",
               "true template", "true words", "true both", "lost")  # fmt: skip
    notes = []
    for stand_in in dict.fromkeys(row.stand_in for row in rows):
        own = [row for row in rows if row.stand_in == stand_in]
        notes.append(f"{stand_in}: {_summary(own)}")
    notes += [
        f"altogether: {_summary(rows)}",
        _differing(rows),
        f"right: no candidate is really better than the chosen one by more than {NOISE}; lost: what the best "
        "would have given more",
        f"tried on {policy.frames} good parts and {policy.copies} synthetic defects of each, "
        f"{shots} references; no language model took part, the words are fixed stand-ins",
        f"method {settings.inspection.method}, profile {settings.agent.profile}; {machine(settings)}",
    ]
    figures: dict[str, Any] = {
        "study": "prompts",
        "profile": settings.agent.profile,
        "method": settings.inspection.method,
        "machine": machine(settings),
        "shots": shots,
        "seed": seed,
        "right": sum(row.right for row in rows),
        "differing": sum(row.differing for row in rows),
        "selections": [
            {
                "product": row.product,
                "stand_in": row.stand_in,
                "right": row.right,
                "differing": row.differing,
                "regret": row.regret,
                "gain": row.gain,
                "truth": dict(row.truth),
                "selection": row.outcome.as_record(),
            }
            for row in rows
        ],
    }
    products = len({row.product for row in rows})
    title = f"prompt selection on {products} simulated products, {shots} references, seed {seed}"
    return Report(title, columns, [_cells(row) for row in rows], notes, figures)


def _summary(rows: Sequence[Row]) -> str:
    used = sum(row.chosen != "template" for row in rows)
    return (
        f"right {sum(row.right for row in rows)} of {len(rows)}, the words used {used} times; "
        f"mean true AUROC of the choice {np.mean([row.truth[row.chosen] for row in rows]):.3f}, of the "
        f"template {np.mean([row.truth['template'] for row in rows]):.3f}, of the best "
        f"{np.mean([max(row.truth.values()) for row in rows]):.3f}"
    )


def _differing(rows: Sequence[Row]) -> str:
    own = [row for row in rows if row.differing]
    return (
        f"in {len(own)} of {len(rows)} the candidates really differ by more than {NOISE}; "
        f"right in {sum(row.right for row in own)} of these"
    )


def _cells(row: Row) -> list[str]:
    entries, truth = row.outcome.entries, list(row.truth.values())
    best = max(entries[1:], key=lambda entry: entry.auroc)
    return [
        row.product,
        row.stand_in,
        row.chosen,
        *(f"{entry.auroc:.3f}" for entry in entries),
        f"{best.lead:+.3f} ± {best.lead_error:.3f}",
        *(f"{value:.3f}" for value in truth),
        f"{row.regret:.3f}",
    ]


# ------------------------------------------------------------------------------------ the words


_NORMAL = ("a photo of a flawless {}", "an inspection photo of an intact {}", "a photo of a {} that is {}")
_ANOMALOUS = (
    "a photo of a {} with {}",
    "a close-up photo of {1} on a {0}",
    "an inspection photo of a {} with {}",
)

_SPECIFIC: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "screw": (
        "metal screw",
        ("straight with an even thread", "clean with a sharp drive in its head", "uniform in colour"),
        (
            "a damaged thread",
            "a bent shank",
            "rust on its head",
            "a scratch along the shank",
            "a chipped tip",
        ),
    ),
    "connector": (
        "plastic connector",
        ("complete with all its pins", "clean with straight contacts", "smooth at its edges"),
        ("a missing pin", "a bent pin", "a cracked housing", "dirt between its contacts", "a melted edge"),
    ),
    "bottle_base": (
        "glass bottle base",
        ("clear with even rings", "round without any chip", "evenly coloured"),
        (
            "a chipped rim",
            "a crack in the glass",
            "a bubble",
            "dirt in the glass",
            "a scratch across its rings",
        ),
    ),
    "leather": (
        "piece of leather",
        ("even in its grain", "uniform in colour", "smooth without a mark"),
        ("a cut", "a hole", "a fold", "a stain", "a scratch across the grain", "glue on its surface"),
    ),
    "gear": (
        "metal gear",
        ("complete with all its teeth", "clean with an even bore", "uniform in colour"),
        ("a broken tooth", "a missing tooth", "a scratch on its face", "rust on its teeth", "a dent"),
    ),
    "printed_label": (
        "printed label",
        ("printed sharply", "straight with a readable barcode", "clean at its edges"),
        ("smeared print", "a missing letter", "a tear", "a stain over its text", "a scratched barcode"),
    ),
    "circuit_board": (
        "printed circuit board",
        ("complete with all its components", "clean with shiny solder joints", "free of scratches"),
        ("a missing component", "a solder bridge", "a cut trace", "a burnt spot", "dirt between its pads"),
    ),
    "tablet": (
        "pharmaceutical tablet",
        ("round with a clear score line", "evenly coloured", "smooth at its edge"),
        ("a chipped edge", "a crack", "a coloured speck", "a worn imprint", "a broken piece"),
    ),
    "woven_cloth": (
        "woven cloth",
        ("regular in its weave", "evenly coloured", "clean without a loose thread"),
        ("a hole", "a loose thread", "a cut", "a stain", "a missing thread in its weave"),
    ),
    "bottle_cap": (
        "plastic bottle cap",
        ("round with even ridges", "printed sharply", "clean and evenly coloured"),
        ("a cracked side", "a smeared print", "a dent", "a scratch over its logo", "a missing ridge"),
    ),
}


def specific(family: str) -> PromptSet:
    """Sentences that fit the product."""
    noun, states, defects = _SPECIFIC[family]
    normal = [text.format(noun, state) for text in _NORMAL for state in states]
    anomalous = [text.format(noun, defect) for text in _ANOMALOUS for defect in defects]
    return _manual("specific", tuple(dict.fromkeys(normal)), tuple(anomalous))


def off_topic(family: str) -> PromptSet:
    """Sentences that fit another product of the ten, of another kind."""
    other = TEN[(TEN.index(family) + 3) % len(TEN)]
    words = specific(other)
    return _manual("off topic", words.normal, words.anomalous)


def inverted(family: str) -> PromptSet:
    """Sentences that fit, good and bad exchanged."""
    words = specific(family)
    return _manual("inverted", words.anomalous, words.normal)


def _manual(name: str, normal: tuple[str, ...], anomalous: tuple[str, ...]) -> PromptSet:
    return PromptSet(normal, anomalous, COMMON_DEFECTS, PromptSource.MANUAL, {"study": name})


STAND_INS = {"specific": specific, "off topic": off_topic, "inverted": inverted}
"""By the names in the table."""
