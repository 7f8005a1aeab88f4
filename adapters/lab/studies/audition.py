"""The study of auditions: what they choose against what really separates best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from adapters.cli.evaluate import machine
from adapters.lab.studies.calibration import batches, trial_recipe
from adapters.lab.studies.products import DEFECTIVE, GOOD, SAMPLES, TrialProduct
from adapters.lab.studies.progress import Progress
from adapters.lab.studies.prompt_sets import STAND_INS
from adapters.lab.studies.report import Report
from agent.domain.frame import Image
from agent.domain.prompts import combine
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
    """One audition of one product: the template, a stand-in's words, and both together."""

    product: str
    stand_in: str
    outcome: PromptSelection
    truth: Mapping[str, float]
    """AUROC on real defects of the simulator, by candidate."""

    @property
    def chosen(self) -> str:
        """Who won."""
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
    def telling(self) -> bool:
        """Whether there was something to choose: candidates that really differ by more than the noise."""
        return max(self.truth.values()) - min(self.truth.values()) > NOISE


def audition_on_products(
    inspector: Inspector,
    settings: Settings,
    products: Sequence[TrialProduct],
    policy: PromptSelectionPolicy,
    good: int,
    defective: int,
    shots: int,
    progress: Progress,
) -> list[Row]:
    """Three auditions of each product, each against the AUROC on its own later parts."""
    rows: list[Row] = []
    for one in products:
        recipe = trial_recipe(one.name, settings.inspection.method, one.product.noun, shots)
        candidates = _candidates(one.name, recipe)
        frames = list(one.parts(SAMPLES, max(policy.frames, shots)))
        later = chain(one.parts(GOOD, good), one.parts(DEFECTIVE, defective, defective=True))
        followed = progress.follow(later, f"{one.name}: true AUROC", good + defective)
        labels = np.arange(good + defective) >= good
        truth = _true_aurocs(inspector, recipe, candidates, frames[:shots], followed, labels)
        for stand_in in STAND_INS:
            names = ("template", stand_in, f"template + {stand_in}")
            tried = [Candidate(name, candidates[name].prompts) for name in names]
            outcome = select_prompts(inspector, recipe, tried, frames, policy=policy)
            rows.append(Row(one.name, stand_in, outcome, {name: truth[name] for name in names}))
            progress.say(" | ".join(_cells(rows[-1])))
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
        notes.append(f"{stand_in}: {_told(own)}")
    notes += [
        f"altogether: {_told(rows)}",
        _telling(rows),
        f"right: no candidate is really better than the chosen one by more than {NOISE}; lost: what the best "
        "would have given more",
        f"tried on {policy.frames} good parts and {policy.copies} synthetic defects of each, "
        f"{shots} references; no language model took part, the words are fixed stand-ins",
        f"method {settings.inspection.method}, profile {settings.agent.profile}; {machine(settings)}",
    ]
    figures: dict[str, Any] = {
        "trial": "audition",
        "profile": settings.agent.profile,
        "method": settings.inspection.method,
        "machine": machine(settings),
        "shots": shots,
        "seed": seed,
        "right": sum(row.right for row in rows),
        "telling": sum(row.telling for row in rows),
        "auditions": [
            {
                "product": row.product,
                "stand_in": row.stand_in,
                "right": row.right,
                "telling": row.telling,
                "regret": row.regret,
                "gain": row.gain,
                "truth": dict(row.truth),
                "audition": row.outcome.as_record(),
            }
            for row in rows
        ],
    }
    products = len({row.product for row in rows})
    title = f"audition on {products} simulated products, {shots} references, seed {seed}"
    return Report(title, columns, [_cells(row) for row in rows], notes, figures)


def _told(rows: Sequence[Row]) -> str:
    used = sum(row.chosen != "template" for row in rows)
    return (
        f"right {sum(row.right for row in rows)} of {len(rows)}, the words used {used} times; "
        f"mean true AUROC of the choice {np.mean([row.truth[row.chosen] for row in rows]):.3f}, of the "
        f"template {np.mean([row.truth['template'] for row in rows]):.3f}, of the best "
        f"{np.mean([max(row.truth.values()) for row in rows]):.3f}"
    )


def _telling(rows: Sequence[Row]) -> str:
    own = [row for row in rows if row.telling]
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
