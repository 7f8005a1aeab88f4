"""``Plant``: draws inspections and feedback of an imagined plant, in the order in which frames come."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Defect, Feedback, Inspection, MediaPaths, RecipeStamp, Timings
from agent.domain.prompts import compositional_ensemble
from agent.domain.recipe import Recipe
from agent.domain.verdict import Verdict
from agent.ports.recipes import RecipeBook

_CAMERAS = tuple(
    Camera("plant", f"line-{line}", f"cam-{camera}") for line in range(1, 5) for camera in range(1, 5)
)
_SKUS = tuple(f"product-{number:02}" for number in range(1, 25))
_LABELS = ("anomaly", "scratch", "dent", "stain", "crack", "missing part")
_VERDICTS = {
    Verdict.PASS: 0.945,
    Verdict.FAIL: 0.025,
    Verdict.REVIEW: 0.02,
    Verdict.ERROR: 0.003,
    Verdict.SKIPPED: 0.007,
}
_ANSWERED = {Verdict.PASS: 0.002, Verdict.FAIL: 0.3, Verdict.REVIEW: 0.4}
"""Share of the parts that a person judges."""


class Plant:
    """Sixteen cameras and 24 products; the same seed draws the same."""

    def __init__(self, draw: random.Random, interval: timedelta) -> None:
        self._draw = draw
        self.interval = timedelta(milliseconds=interval // timedelta(milliseconds=1))
        self.stamps: dict[str, RecipeStamp] = {}

    def make_recipes(self, book: RecipeBook) -> None:
        for sku in _SKUS:
            recipe = book.add(Recipe(sku, "part", compositional_ensemble("part"), method="sightline"))
            self.stamps[sku] = RecipeStamp(recipe.id, recipe.version, recipe.method, "template", 8)

    def inspections(self, number: int, count: int, first: datetime) -> list[Inspection]:
        """``count`` of them, numbered from ``number``, the first received at ``first``."""
        return [self._inspection(number + ahead, first + ahead * self.interval) for ahead in range(count)]

    def _inspection(self, number: int, at: datetime) -> Inspection:
        draw = self._draw
        line = draw.randrange(4)
        camera = _CAMERAS[4 * line + draw.randrange(4)]
        # Most parts of a line are of one product, some of five others.
        sku = _SKUS[6 * line + min(5, int(draw.expovariate(1.2)))]
        (verdict,) = draw.choices(list(_VERDICTS), list(_VERDICTS.values()))
        judged = verdict not in (Verdict.ERROR, Verdict.SKIPPED)
        above = {Verdict.PASS: 0.2, Verdict.REVIEW: 0.5, Verdict.FAIL: 0.6}.get(verdict, 0.0)
        defective = verdict in (Verdict.FAIL, Verdict.REVIEW)
        return Inspection(
            inspection_id=str(uuid.UUID(int=draw.getrandbits(128), version=4)),
            identity=FrameIdentity(
                camera,
                f"f-{number:08}",
                sku,
                f"SN-{number:06}",
                sequence=number,
                content=f"{draw.getrandbits(256):064x}",
            ),
            sku=sku,
            verdict=verdict,
            reason=f"a score {'above' if verdict is Verdict.FAIL else 'below'} the threshold 0.5",
            received_at=at,
            inspected_at=at + timedelta(milliseconds=40),
            score=above + draw.uniform(-0.1, 0.1) if judged else None,
            threshold=0.5 if judged else None,
            threshold_source="leave-one-out of 8 references",
            calibrated=judged,
            shadow=draw.random() < 0.02,
            defects=self._defects() if defective else (),
            recipe=self.stamps[sku] if judged else None,
            model_digest="ab" * 32,
            timings=Timings(draw.expovariate(0.5), 4.0, draw.gauss(30.0, 3.0), 2.0),
            media=MediaPaths(
                self._path("jpg"),
                self._path("png") if defective else None,
                self._path("jpg") if defective else None,
            )
            if verdict is not Verdict.SKIPPED
            else MediaPaths(),
            size=(640, 480),
        )

    def _path(self, suffix: str) -> str:
        digest = f"{self._draw.getrandbits(256):064x}"
        return f"{digest[:2]}/{digest[2:4]}/{digest}.{suffix}"

    def _defects(self) -> tuple[Defect, ...]:
        draw = self._draw
        return tuple(
            Defect(
                index,
                draw.choices(_LABELS, (60, 20, 10, 6, 3.9, 0.1))[0],
                draw.uniform(0.5, 0.9),
                (draw.randrange(600), draw.randrange(440), 40, 40),
                900,
                0.003,
            )
            for index in range(1, 2 + int(draw.expovariate(1.5)))
        )

    def feedback(self, inspection: Inspection) -> Sequence[Feedback]:
        draw = self._draw
        if draw.random() >= _ANSWERED.get(inspection.verdict, 0.0):
            return ()
        truth = draw.choices(("good", "defective"), (40, 60))[0]
        at = inspection.received_at + timedelta(hours=1)
        first = Feedback(truth, at, inspection_id=inspection.inspection_id, by="Ada")
        if draw.random() >= 0.05:
            return (first,)
        other = "good" if truth == "defective" else "defective"
        later = Feedback(
            other, at + timedelta(hours=1), inspection_id=inspection.inspection_id, by="Grace", note="again"
        )
        return (first, later)
