"""FailureBurstMonitor: reports many failed parts within a few frames as one trouble."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

from agent.domain.events import Event
from agent.domain.inspection import Inspection
from agent.domain.limits import FEWEST_BURST_FAILS, MOST_BURST_FRAMES
from agent.domain.recipe import Recipe
from agent.domain.verdict import Verdict
from agent.event_log import EventLog

MOST_PAIRS = 4_096


@dataclass(frozen=True, slots=True)
class BurstPolicy:
    """How many failed parts among the last frames of a camera and product are a burst."""

    fails: int = 5
    of: int = 10

    def __post_init__(self) -> None:
        if not FEWEST_BURST_FAILS <= self.fails <= self.of <= MOST_BURST_FRAMES:
            raise ValueError(
                f"a burst is at least {FEWEST_BURST_FAILS} fails, of at least as many frames and at most "
                f"{MOST_BURST_FRAMES:,}"
            )


@dataclass(frozen=True, slots=True)
class BurstChange:
    """A burst began, or is over."""

    began: bool
    fails: int
    frames: int

    def sentence(self, camera: str, sku: str) -> str:
        """The change in one sentence."""
        counted = f"{self.fails} of the last {self.frames} frames of {sku} on {camera} failed"
        return f"{counted}; look at the production line" if self.began else f"the burst is over: {counted}"


class _Window:
    __slots__ = ("bursting", "failed")

    def __init__(self, of: int) -> None:
        self.failed: deque[bool] = deque(maxlen=of)
        self.bursting = False


class BurstDetector:
    """Counts fails by camera and product. Not thread-safe.

    A burst is reported when it begins. It is over when at most half as many fails are left in the window, so
    that a share around the limit is not reported again and again. Beyond MOST_PAIRS, the pair that was
    longest without a frame is forgotten.
    """

    def __init__(self, policy: BurstPolicy) -> None:
        self._policy = policy
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()

    def observe(self, camera: str, sku: str, *, failed: bool) -> BurstChange | None:
        """Count one judged frame. Returns the change that it makes, if any."""
        policy, window = self._policy, self._window(camera, sku)
        window.failed.append(failed)
        fails = sum(window.failed)
        began = not window.bursting and fails >= policy.fails
        ended = window.bursting and fails <= policy.fails // 2
        if not began and not ended:
            return None
        window.bursting = began
        return BurstChange(began, fails, len(window.failed))

    def _window(self, camera: str, sku: str) -> _Window:
        key = (camera, sku)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(self._policy.of)
            if len(self._windows) > MOST_PAIRS:
                self._windows.popitem(last=False)
        self._windows.move_to_end(key)
        return window


_JUDGED = frozenset({Verdict.PASS, Verdict.FAIL, Verdict.REVIEW})


class FailureBurstMonitor:
    """Feeds recorded verdicts to the detector, and reports what it finds.

    Runs in the recording thread, after the rows are written. Frames that were not judged (ERROR, SKIPPED) do
    not count.
    """

    def __init__(self, policy: BurstPolicy, events: EventLog) -> None:
        self._detector = BurstDetector(policy)
        self._events = events

    def observe(self, inspection: Inspection, recipe: Recipe | None) -> None:
        """Count a recorded inspection; called in the order of the rows."""
        if inspection.verdict not in _JUDGED or inspection.sku is None:
            return
        camera, sku = inspection.identity.camera, inspection.sku
        failed = inspection.verdict is Verdict.FAIL
        change = self._detector.observe(str(camera), sku, failed=failed)
        if change is None:
            return
        event = Event(
            "burst" if change.began else "burst-over",
            change.sentence(str(camera), sku),
            inspection.inspected_at,
            camera=str(camera),
            sku=sku,
            details={"fails": change.fails, "frames": change.frames},
            severity="error" if change.began else "info",
        )
        self._events.report(event, alert=None if inspection.shadow else camera)
