"""The study of drift: frames until a change of light or lens is told, and reports without cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adapters.cli.evaluate import machine
from adapters.lab.studies.calibration import trial_recipe
from adapters.lab.studies.drift_study import CHANGES, Detected, DriftStudy, drift_study
from adapters.lab.studies.products import GOOD, SAMPLES, TrialProduct
from adapters.lab.studies.progress import Progress
from adapters.lab.studies.report import Report, percent
from agent.calibration.threshold import CalibrationPolicy
from agent.domain.frame import Image
from agent.enrollment.enroll import enroll
from agent.inference.inspector import Inspector
from agent.monitors.score_drift import Baseline, DriftPolicy
from config import Settings

LEVELS = 4
"""Extents of each change that parts are scored at."""


@dataclass(frozen=True, slots=True)
class Row:
    """One product."""

    name: str
    study: DriftStudy


def drift_on_products(
    inspector: Inspector,
    settings: Settings,
    products: Sequence[TrialProduct],
    samples: int,
    good: int,
    changed: int,
    progress: Progress,
) -> list[Row]:
    """Calibrate on ``samples`` parts, then score ``good`` others and ``changed`` ones of each extent."""
    inspection, rows = settings.inspection, []
    policy = CalibrationPolicy(inspection.false_alarm_rate, inspection.review_factor)
    for one in products:
        draft = trial_recipe(one.name, inspection.method, one.product.noun, samples)
        enrolled = enroll(inspector, draft, list(one.parts(SAMPLES, samples)), policy=policy)
        calibration = enrolled.recipe.calibration
        if calibration is None:
            progress.say(f"{one.name}: {samples} parts are too few for a threshold")
            continue

        def score(images: Sequence[Image], prepared: Any = enrolled.prepared) -> list[float]:
            return [scored.score for scored in inspector.score(images, [prepared] * len(images))]

        def parts(first: int, count: int, one: TrialProduct = one) -> Any:
            return progress.follow(one.parts(GOOD + first, count), one.name, count)

        study = drift_study(
            score,
            parts,
            calibration,
            Baseline.of(enrolled.scores),
            policy_of(settings),
            good=good,
            changed=changed,
            levels=LEVELS,
        )
        rows.append(Row(one.name, study))
        for kind, found in study.sudden.items():
            progress.say(" ".join(_cells(one.name, kind, found, study.gradual[kind])))
    return rows


def policy_of(settings: Settings) -> DriftPolicy:
    """What the configuration asks of drift."""
    drift = settings.drift
    return DriftPolicy(
        drift.shift, drift.frames_between_false_reports, drift.baseline_frames, drift.minimum_frames
    )


def report_of(rows: Sequence[Row], title: str, settings: Settings) -> Report:
    """Table, notes and JSON."""
    columns = ("product", "change", "shift in deviations", "false alarms under it", "sudden: frames",
               "gradual: frames", "gradual: false alarms until then")  # fmt: skip
    cells = [
        _cells(row.name, kind, row.study.sudden[kind], row.study.gradual[kind])
        for row in rows
        for kind in CHANGES
    ]
    frames = sum(row.study.frames_without_drift for row in rows)
    false = sum(row.study.false_reports * row.study.frames_without_drift for row in rows) / max(frames, 1)
    notes = [
        f"reports without drift: {false:.3f} in 10,000 frames, of {frames} frames drawn",
        "frames: mean until drift is told; in brackets the share of runs in which it was told",
        "gradual: the change grows over 500 frames; streams are drawn from the scores of parts",
        f"method {settings.inspection.method}, profile {settings.agent.profile}; {machine(settings)}",
    ]
    figures = {
        "trial": "drift",
        "title": title,
        "method": settings.inspection.method,
        "profile": settings.agent.profile,
        "machine": machine(settings),
        "false_reports_per_10000_frames": false,
        "products": {row.name: _figures(row.study) for row in rows},
    }
    return Report(title, columns, cells, notes, figures)


def _cells(name: str, kind: str, sudden: Detected, gradual: Detected) -> list[str]:
    return [
        name,
        kind,
        f"{sudden.shift:+.2f}",
        percent(sudden.false_alarms, 1),
        _frames(sudden),
        _frames(gradual),
        percent(gradual.false_alarms_until_told, 1),
    ]


def _frames(found: Detected) -> str:
    return f"{'-' if found.frames is None else round(found.frames)} ({percent(found.detected, 0)})"


def _figures(study: DriftStudy) -> Mapping[str, Any]:
    return asdict(study)
