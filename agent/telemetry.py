"""Counters, Measures and the log fields: what the agent counts, times and logs of its frames."""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from agent.domain.frame import Camera, FrameIdentity


class Counters:
    """Named totals since the start, of all that is dropped, refused or repeated. Any thread may add."""

    def __init__(self) -> None:
        self._values: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        with self._lock:
            self._values[name] += count

    def get(self, name: str) -> int:
        """The total of ``name``; 0 if nothing was counted."""
        with self._lock:
            return self._values[name]

    def snapshot(self) -> Mapping[str, int]:
        """All totals at this moment."""
        with self._lock:
            return dict(self._values)


BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper ends of a histogram's classes in seconds; longer durations have a class of their own."""

CAMERAS = 200
"""How many cameras are distinguished. Anybody can add one by publishing, so the number is bounded."""

OTHERS = "(others)"
"""The common name of all further cameras; no camera can have this name."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Durations by class."""

    counts: tuple[int, ...]
    """How many fell into each class of :data:`BOUNDS_S`; the last number counts those above all bounds."""
    total_s: float


@dataclass(frozen=True, slots=True)
class CameraSeen:
    """What came from one camera since the start."""

    frames: int
    last: datetime
    """When its last frame was received, UTC."""


class Measures:
    """Durations by name, and the cameras. Any thread may add. Memory is bounded whatever comes."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        self._totals: dict[str, float] = {}
        self._cameras: dict[str, CameraSeen] = {}
        self._lock = threading.Lock()

    def observe(self, stage: str, seconds: float) -> None:
        """Add a duration of ``stage``, a name from the code. Negative ones count as 0: clocks jump."""
        seconds = max(0.0, seconds)
        place = bisect.bisect_left(BOUNDS_S, seconds)
        with self._lock:
            counts = self._counts.setdefault(stage, [0] * (len(BOUNDS_S) + 1))
            counts[place] += 1
            self._totals[stage] = self._totals.get(stage, 0.0) + seconds

    def seen(self, camera: str, at: datetime) -> None:
        """Count a frame of ``camera`` that was received ``at``."""
        with self._lock:
            if camera not in self._cameras and len(self._cameras) >= CAMERAS:
                camera = OTHERS
            known = self._cameras.get(camera)
            self._cameras[camera] = CameraSeen(known.frames + 1 if known else 1, at)

    def histograms(self) -> Mapping[str, Histogram]:
        """All durations at this moment, by stage."""
        with self._lock:
            return {name: Histogram(tuple(c), self._totals[name]) for name, c in self._counts.items()}

    def cameras(self) -> Mapping[str, CameraSeen]:
        """At most :data:`CAMERAS` of them, and :data:`OTHERS`."""
        with self._lock:
            return dict(self._cameras)


NAMES = ("camera", "sku", "frame_id", "inspection_id")
"""The fields, in the order in which people read them."""


def about(
    whose: FrameIdentity | Camera | str | None, *, sku: str | None = None, inspection_id: str | None = None
) -> Mapping[str, str]:
    """The log fields of a frame or a camera, as far as they are known.

    Args:
        whose: a frame, or the camera alone (as text: ``site/line/camera``).
        sku: used if the frame itself names none.
    """
    camera: Camera | str | None
    if isinstance(whose, FrameIdentity):
        camera, frame_id, sku = whose.camera, whose.frame_id, sku or whose.sku
    else:
        camera, frame_id = whose, None
    values = (None if camera is None else str(camera), sku, frame_id, inspection_id)
    return {name: value for name, value in zip(NAMES, values, strict=True) if value is not None}


TOTAL = "total"
"""The name of the measure from receipt to row; all others are stages."""
