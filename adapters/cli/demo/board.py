"""What is going on in the demonstration, written by its threads and read by the display."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class CameraState:
    """One camera as a person sees it."""

    name: str
    planned: int
    sku: str = "-"
    noun: str = ""
    enrolled: bool = False
    published: int = 0
    judged: int = 0
    last_verdict: str = ""
    last_score: float | None = None
    last_threshold: float | None = None
    last_labels: str = ""
    counts: Counter[str] = field(default_factory=Counter)


class Board:
    """The state of all cameras; any thread may write."""

    def __init__(self, cameras: dict[str, int]) -> None:
        """``cameras``: name and planned frames."""
        self._states = {name: CameraState(name, planned) for name, planned in cameras.items()}
        self._changed = threading.Condition()
        self._started: float | None = None
        self._masks = 0
        self._alerts = 0

    def start_clock(self) -> None:
        """The first image is about to be taken."""
        with self._changed:
            self._started = time.monotonic()

    def job(self, camera: str, sku: str, noun: str, *, enrolled: bool) -> None:
        """A camera's line now runs this product."""
        self._update(camera, sku=sku, noun=noun, enrolled=enrolled)

    def published(self, camera: str) -> None:
        """An image was handed to the broker."""
        with self._changed:
            state = self._states[camera]
            self._states[camera] = replace(state, published=state.published + 1)
            self._changed.notify_all()

    def judged(
        self, camera: str, verdict: str, score: float | None, threshold: float | None, labels: str
    ) -> None:
        """A verdict came."""
        with self._changed:
            state = self._states.get(camera)
            if state is None:
                return
            self._states[camera] = replace(
                state,
                judged=state.judged + 1,
                last_verdict=verdict,
                last_score=score,
                last_threshold=threshold,
                last_labels=labels,
                counts=state.counts + Counter({verdict: 1}),
            )
            self._changed.notify_all()

    def saw_mask(self) -> None:
        """A mask message came."""
        with self._changed:
            self._masks += 1

    def saw_alert(self) -> None:
        """An alert message came."""
        with self._changed:
            self._alerts += 1

    @property
    def masks(self) -> int:
        return self._masks

    @property
    def alerts(self) -> int:
        return self._alerts

    @property
    def cameras(self) -> list[CameraState]:
        """A consistent image of all cameras."""
        with self._changed:
            return list(self._states.values())

    @property
    def seconds(self) -> float:
        """Since the first image."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    @property
    def fps(self) -> float:
        """Verdicts a second since the first image."""
        judged = sum(state.judged for state in self.cameras)
        return judged / self.seconds if self.seconds > 0 else 0.0

    def wait_until_open(self, camera: str, limit: int, timeout_s: float) -> bool:
        """Wait until fewer than ``limit`` images of a camera wait for their verdict."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open(camera) < limit, timeout_s)

    def _open(self, camera: str) -> int:
        state = self._states[camera]
        return state.published - state.judged

    def _update(self, camera: str, **changes: object) -> None:
        with self._changed:
            self._states[camera] = replace(self._states[camera], **changes)  # type: ignore[arg-type]
            self._changed.notify_all()
