"""Small inspections and recipes for the tests of this folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from agent.domain.calibration import Calibration
from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Defect, Inspection, MediaPaths, RecipeStamp, Timings
from agent.domain.prompts import compositional_ensemble
from agent.domain.recipe import Recipe, Reference
from agent.domain.verdict import Verdict
from agent.ports import Entry, OutboxMessage

CAMERA = Camera("factory", "line-1", "cam-a")
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
REVISION = "0009"
"""The newest."""


def identity(frame_id: str = "f-1", camera: Camera = CAMERA, **fields: Any) -> FrameIdentity:
    return FrameIdentity(camera, frame_id, **fields)


def inspected(
    frame_id: str = "f-1",
    verdict: Verdict = Verdict.PASS,
    *,
    camera: Camera = CAMERA,
    sku: str | None = "bolt",
    minutes: float = 0.0,
    **fields: Any,
) -> Inspection:
    """One inspection ``minutes`` after noon."""
    at = NOON + timedelta(minutes=minutes)
    fields.setdefault("inspection_id", f"i:{camera}:{frame_id}")
    fields.setdefault("identity", identity(frame_id, camera))
    fields.setdefault("reason", "a reason")
    return Inspection(sku=sku, verdict=verdict, received_at=at, inspected_at=at, **fields)


def defect(index: int = 1, label: str = "scratch") -> Defect:
    return Defect(index, label, 0.75, (10, 20, 30, 40), 900, 0.0125)


def message(payload: bytes = b"{}", **fields: Any) -> OutboxMessage:
    given = {"sink": "mqtt", "kind": "verdict", "destination": "factory/line-1/cam-a/verdict", **fields}
    return OutboxMessage(payload=payload, **given)


def entry(frame_id: str = "f-1", verdict: Verdict = Verdict.PASS, **fields: Any) -> Entry:
    return Entry(inspected(frame_id, verdict, **fields), (message(frame_id.encode("utf-8", "replace")),))


def full_inspection(recipe: Recipe) -> Inspection:
    """Every field set, none to its default."""
    return Inspection(
        inspection_id="0190-full",
        identity=FrameIdentity(CAMERA, "f-full", "bolt", "part-9", NOON - timedelta(seconds=2), True, 41),
        sku="bolt",
        verdict=Verdict.FAIL,
        reason="score 0.9 is above the threshold 0.5",
        received_at=NOON,
        inspected_at=NOON + timedelta(milliseconds=250),
        score=0.9,
        threshold=0.5,
        threshold_source="leave-one-out of 16 references",
        calibrated=True,
        shadow=True,
        late=True,
        defects=(defect(1), defect(2, "dent")),
        recipe=RecipeStamp(
            recipe.id, recipe.version, recipe.method, recipe.prompts.source.value, recipe.shots
        ),
        model_digest="ab" * 32,
        timings=Timings(1.5, 2.5, 3.5, 4.5),
        media=MediaPaths("aa/bb/i.jpg", "aa/bb/m.png", "aa/bb/o.jpg"),
        size=(640, 480),
    )


def bolt_recipe(**fields: Any) -> Recipe:
    defaults: dict[str, Any] = {
        "sku": "bolt",
        "noun": "hex bolt",
        "prompts": compositional_ensemble("hex bolt"),
        "method": "sightline",
        "parameters": {"size": 240, "weight": 0.5, "exact": 1.0, "depths": [1, 2], "aligned": True},
        "references": (
            Reference("cd" * 32, "cd/cd/x.png", "good-1.png"),
            Reference("ef" * 32, "ef/ef/y.png", "2"),
        ),
        "calibration": Calibration(
            0.5, 0.4, 16, 0.01, "leave-one-out of 16 references", map_threshold=0.45, scorer="f" * 64
        ),
    }
    return Recipe(**{**defaults, **fields})
