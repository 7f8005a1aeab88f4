"""One inspection with every field, and the fields of its message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from agent.domain.frame import Camera, Delivery, DeliveryKind, FrameIdentity
from agent.domain.inspection import Defect, Inspection, MediaPaths, RecipeStamp, Timings
from agent.domain.verdict import Verdict

NOW = datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC)
CAMERA = Camera("factory", "line-1", "top")
CONTRACT = [
    *("schema", "inspection_id", "frame_id", "sent_frame_id", "part_id", "site", "line", "camera", "sku"),
    *("verdict", "score", "threshold", "calibrated", "shadow", "late", "reason", "defects", "recipe"),
    *("timings_ms", "captured_at", "received_at", "inspected_at", "media", "agent"),
]


def inspection(**more: Any) -> Inspection:
    given = {
        "inspection_id": "i-1",
        "identity": FrameIdentity(CAMERA, "f-1", part_id="p-1", captured_at=NOW),
        "sku": "M8",
        "verdict": Verdict.FAIL,
        "reason": "score 0.9 is above the threshold 0.5",
        "received_at": NOW,
        "inspected_at": NOW.astimezone(timezone(timedelta(hours=2))),
        "score": 0.9,
        "threshold": 0.5,
        "calibrated": True,
        "defects": (Defect(1, "scratch", 0.8, (1, 2, 3, 4), 12, 0.01),),
        "recipe": RecipeStamp(7, 3, "fade", "template", 4),
        "timings": Timings(1.0, 2.0, 3.0, 4.0),
        "media": MediaPaths("a.jpg", "b.png", "c.jpg"),
        "size": (640, 480),
    }
    return Inspection(**{**given, **more})


def delivery(payload: bytes = b"", **more: Any) -> Delivery:
    return Delivery(DeliveryKind.JOB, CAMERA, payload, NOW, **more)
