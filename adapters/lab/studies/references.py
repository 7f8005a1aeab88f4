"""The study of references: duplicates and outliers among good parts, copies, and one defective part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from adapters.cli.evaluate import machine
from adapters.lab.studies.calibration import trial_recipe
from adapters.lab.studies.products import DEFECTIVE, SAMPLES, TrialProduct
from adapters.lab.studies.progress import Progress
from adapters.lab.studies.reference_study import ReferenceStudy, reference_study
from adapters.lab.studies.report import Report
from agent.calibration.threshold import CalibrationPolicy
from agent.domain.frame import Image
from agent.enrollment.enroll import enroll
from agent.inference.inspector import Inspector
from config import Settings


def references_on_products(
    inspector: Inspector,
    settings: Settings,
    products: Sequence[TrialProduct],
    shots: int,
    sets: int,
    defective: int,
    progress: Progress,
) -> list[tuple[str, ReferenceStudy]]:
    """``sets`` of ``shots`` good parts each, and ``defective`` ones put among them."""
    method, rows = settings.inspection.method, []
    for one in products:

        def scores(images: Sequence[Image], one: TrialProduct = one) -> Sequence[float]:
            draft = trial_recipe(one.name, method, one.product.noun, len(images))
            return enroll(inspector, draft, images, policy=CalibrationPolicy()).scores

        bad = progress.follow(one.parts(DEFECTIVE, defective, defective=True), one.name, defective)
        study = reference_study(scores, one.parts(SAMPLES, sets * shots), bad, shots=shots)
        rows.append((one.name, study))
        progress.say(" ".join(_cells(one.name, study)))
    return rows


def report_of(rows: Sequence[tuple[str, ReferenceStudy]], title: str, settings: Settings) -> Report:
    """Table, notes and JSON."""
    columns = ("product", "good references", "called duplicates", "called outliers", "copies found",
               "defective ones found", "good ones called outliers beside them")  # fmt: skip
    together = sum((study for _, study in rows[1:]), rows[0][1]) if rows else ReferenceStudy(*[0] * 9)
    cells = [_cells(name, study) for name, study in [*rows, ("all together", together)]]
    notes = [
        *together.sentences,
        f"method {settings.inspection.method}, profile {settings.agent.profile}; {machine(settings)}",
    ]
    figures = {
        "trial": "references",
        "title": title,
        "method": settings.inspection.method,
        "profile": settings.agent.profile,
        "machine": machine(settings),
        "products": {name: asdict(study) for name, study in rows},
        "all": asdict(together),
    }
    return Report(title, columns, cells, notes, figures)


def _cells(name: str, study: ReferenceStudy) -> list[str]:
    return [
        name,
        str(study.references),
        str(study.false_duplicates),
        str(study.false_outliers),
        f"{study.copies_found} of {study.copies}",
        f"{study.defective_found} of {study.defective}",
        str(study.beside_defective),
    ]
