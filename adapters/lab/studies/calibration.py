"""``calibrate_on_products``: thresholds set from a few good parts, then judged on many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import median
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from adapters.cli.evaluate import machine
from adapters.cli.screen import number
from adapters.lab.studies.feedback import AIM, Played, play
from adapters.lab.studies.products import DEFECTIVE, GOOD, SAMPLES, StudyProduct
from adapters.lab.studies.report import Progress, Report, interval, percent
from agent.app.options import orientation_policy
from agent.calibration.threshold import CalibrationPolicy
from agent.domain.calibration import Calibration
from agent.domain.frame import Image
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.domain.verdict import Verdict, decide
from agent.enrollment.enroll import Enrolled, enroll
from agent.inference.inspector import Inspector
from agent.methods.prepared import Prepared
from config import Settings


@dataclass(frozen=True, slots=True)
class Study:
    """What every study works with."""

    inspector: Inspector
    settings: Settings
    progress: Progress


@dataclass(frozen=True, slots=True)
class Counts:
    """So many parts of each product."""

    references: int
    good: int
    """Judged afterwards."""
    defective: int


@dataclass(frozen=True, slots=True)
class Row:
    """One product's verdicts."""

    name: str
    samples: int
    calibration: Calibration | None
    good: dict[str, int]
    """Verdicts on good parts."""
    defective: dict[str, int]
    played: Played | None = None
    """The same frames with operators who answer."""

    @property
    def false_alarms(self) -> tuple[int, int]:
        """Good parts that FAIL, of how many."""
        return self.good.get(Verdict.FAIL, 0), sum(self.good.values())

    @property
    def caught(self) -> tuple[int, int]:
        """Defective parts that FAIL."""
        return self.defective.get(Verdict.FAIL, 0), sum(self.defective.values())


def calibrate_on_products(
    study: Study, products: Sequence[StudyProduct], counts: Counts, answers: int | None = None
) -> list[Row]:
    """Enroll good parts of each product, then judge others.

    Args:
        answers: seed of the order in which operators also see the same frames and answer; None: they do not.
    """
    rows = []
    for one in products:
        drawn = one.parts(SAMPLES, counts.references)
        made = enrolled(
            study,
            one.name,
            one.product.noun,
            list(study.progress.follow(drawn, f"{one.name}: samples", counts.references)),
        )
        recipe = made.recipe
        good = study.progress.follow(one.parts(GOOD, counts.good), f"{one.name}: good", counts.good)
        bad = one.parts(DEFECTIVE, counts.defective, defective=True)
        bad = study.progress.follow(bad, f"{one.name}: defective", counts.defective)
        found = [scores(study, made.prepared, images) for images in (good, bad)]
        judged = [verdicts(each, recipe.calibration, recipe.shots) for each in found]
        played = None
        if answers is not None:
            policy = policy_of(study.settings)
            played = play(made.scores, recipe.calibration, found[0], found[1], policy, answers)
        name = f"{one.name} (family unseen)" if one.unseen else one.name
        rows.append(Row(name, counts.references, recipe.calibration, judged[0], judged[1], played))
        study.progress.note(" ".join(_cells(rows[-1])))
    return rows


def policy_of(settings: Settings) -> CalibrationPolicy:
    """What the settings ask of a threshold."""
    return CalibrationPolicy(settings.inspection.false_alarm_rate, settings.inspection.review_factor)


def enrolled(study: Study, sku: str, noun: str, images: Sequence[Image]) -> Enrolled:
    """The recipe as enrollment makes it, ready to judge."""
    settings = study.settings
    draft = study_recipe(sku, settings.inspection.method, noun, len(images))
    orientation = orientation_policy(settings)
    return enroll(study.inspector, draft, images, policy=policy_of(settings), orientation=orientation)


def study_recipe(sku: str, method: str, noun: str, shots: int) -> Recipe:
    """The template's recipe with so many references that are stored nowhere."""
    references = tuple(Reference(f"{index:064x}", f"{index}.png", str(index)) for index in range(shots))
    return replace(template_recipe(sku, method, noun), references=references)


def scores(study: Study, prepared: Prepared, images: Iterable[Image]) -> list[float]:
    """The score of each, in their order."""
    return [
        scored.score
        for part in batches(images, study.settings.inspection.max_batch)
        for scored in study.inspector.score(part, [prepared] * len(part))
    ]


def verdicts(found: Iterable[float], calibration: Calibration | None, shots: int) -> dict[str, int]:
    """How often each verdict is given on these scores."""
    counts = dict.fromkeys(("PASS", "REVIEW", "FAIL"), 0)
    for score in found:
        counts[decide(score, calibration, shots)[0]] += 1
    return counts


def batches(images: Iterable[Image], size: int) -> Iterator[list[Image]]:
    """Lists of at most ``size``."""
    waiting = iter(images)
    while part := list(islice(waiting, size)):
        yield part


def report_of(rows: Sequence[Row], title: str, settings: Settings) -> Report:
    """Table, notes and JSON."""
    rate = settings.inspection.false_alarm_rate
    low, high = AIM[0] * rate, AIM[1] * rate
    rates = [alarms / of for alarms, of in (row.false_alarms for row in rows) if of]
    inside = sum(low <= one <= high for one in rates)
    columns = ("product", "parts", "threshold", "false alarms", "interval (95 %)",
               "good to REVIEW", "defects caught", "defects to REVIEW", "defects passed")  # fmt: skip
    together = Row(
        "all together",
        sum(row.samples for row in rows),
        None,
        _sum([row.good for row in rows]),
        _sum([row.defective for row in rows]),
    )
    notes = [
        f"asked for: {percent(rate)} false alarms; {inside} of {len(rates)} products realise "
        f"{percent(low)} to {percent(high)}; median {percent(median(rates) if rates else None)}, "
        f"lowest {percent(min(rates, default=None))}, highest {percent(max(rates, default=None))}",
        f"good parts judged: {together.false_alarms[1]}, defective ones: {together.caught[1]}; "
        "caught: FAIL; intervals: Clopper and Pearson",
        f"method {settings.inspection.method}, backbone {settings.inspection.backbone}, profile "
        f"{settings.agent.profile}; {machine(settings)}",
        *(
            _attainable(samples, rate, low, high)
            for samples in sorted({row.samples for row in rows if row.calibration})
        ),
        *dict.fromkeys(f"threshold: {row.calibration.source}" for row in rows if row.calibration),
    ]
    figures = {
        "study": "calibration",
        "title": title,
        "profile": settings.agent.profile,
        "method": settings.inspection.method,
        "backbone": settings.inspection.backbone,
        "machine": machine(settings),
        "false_alarm_rate": rate,
        "aim": [low, high],
        "inside": inside,
        "products": {row.name: _figures(row) for row in rows},
        "all": _figures(together),
    }
    cells = [_cells(row) for row in [*rows, together]]
    return Report(title, columns, cells, notes, figures)


def _attainable(samples: int, rate: float, low: float, high: float) -> str:
    found = attainable(samples, rate, low, high)
    return (
        f"what {samples} parts can tell, were log scores exactly normal: "
        f"{percent(found.prediction_bound, 0)} of products inside with the bound in use, "
        f"{percent(found.best, 0)} with the best multiple of the deviation"
    )


def _sum(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {verdict: sum(one[verdict] for one in counts) for verdict in ("PASS", "REVIEW", "FAIL")}


def _cells(row: Row) -> list[str]:
    alarms, good = row.false_alarms
    caught, defective = row.caught
    low, high = interval(alarms, good)
    return [
        row.name,
        str(row.samples),
        number(row.calibration.threshold if row.calibration else None),
        percent(alarms / good if good else None),
        f"{100 * low:.2f} - {100 * high:.2f} %",
        percent(row.good["REVIEW"] / good if good else None),
        percent(caught / defective if defective else None, 1),
        percent(row.defective["REVIEW"] / defective if defective else None, 1),
        percent(row.defective["PASS"] / defective if defective else None, 1),
    ]


def _figures(row: Row) -> dict[str, Any]:
    alarms, good = row.false_alarms
    caught, defective = row.caught
    return {
        "samples": row.samples,
        "threshold": row.calibration.threshold if row.calibration else None,
        "good": row.good,
        "defective": row.defective,
        "false_alarm_rate": alarms / good if good else None,
        "interval": list(interval(alarms, good)),
        "caught": caught / defective if defective else None,
        "caught_interval": list(interval(caught, defective)),
    }


# ------------------------------------------------------------------------------------ what can be attained


_DRAWS = 100_000
_FACTORS = np.linspace(-1.0, 1.0, 101)


@dataclass(frozen=True, slots=True)
class Attainable:
    """Shares of products whose realised rate lies inside the aim, were their log scores exactly normal."""

    prediction_bound: float
    """With the bound that the agent uses, which keeps the rate in the mean over products."""
    best: float
    """With the ``mean + k * deviation`` whose ``k`` serves this aim best, whatever its rate in the mean."""


def attainable(samples: int, rate: float, low: float, high: float) -> Attainable:
    """Draws mean and deviation of ``samples`` normal values many times and computes each realised rate.

    Args:
        samples: good parts that a threshold is set from, at least 2.
        rate: the rate asked for, in (0, 0.5).
        low: lowest rate inside the aim.
        high: highest rate inside the aim.
    """
    random = np.random.default_rng(0)
    mean = random.standard_normal(_DRAWS) / np.sqrt(samples)
    deviation = np.sqrt(random.chisquare(samples - 1, _DRAWS) / (samples - 1))

    def inside(factor: float) -> float:
        realised = norm.sf(mean + factor * deviation)
        return float(np.mean((realised >= low) & (realised <= high)))

    bound = float(student_t.ppf(1.0 - rate, samples - 1) * np.sqrt(1.0 + 1.0 / samples))
    around = float(norm.isf(rate))
    best = max(inside(around + offset) for offset in _FACTORS)
    return Attainable(inside(bound), max(best, inside(bound)))
