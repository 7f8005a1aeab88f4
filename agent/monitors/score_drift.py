"""ScoreDriftMonitor: reports if scores of passed frames leave the level of the recipe's calibration."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from scipy.special import ndtri, stdtr

from agent.domain.events import Event
from agent.domain.inspection import Inspection
from agent.domain.limits import (
    FEWEST_BASELINE_FRAMES,
    FEWEST_FRAMES_BETWEEN_FALSE_REPORTS,
    LARGEST_DRIFT_SHIFT,
    SMALLEST_DRIFT_SHIFT,
)
from agent.domain.recipe import Recipe
from agent.domain.verdict import Verdict
from agent.event_log import EventLog

_MOST_DEVIATIONS = 3.0
"""A frame counts for at most this many deviations: one odd part is not drift."""
_LEAST_SPREAD = 0.01
"""Smallest deviation of log scores that is accepted."""
_CAPPED = 1.5
"""A sum grows to at most this many limits, so that recovery is seen as soon as drift was."""
_SIEGMUND = 1.166
"""Mean excess of a normal random walk over its limit, both sides (Siegmund 1985, section 10.2)."""


class Direction(StrEnum):
    """The direction in which scores drifted."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """How soon drift is reported, and how rarely without a cause."""

    shift: float = 1.0
    """The shift that is found soonest, in deviations of good parts' log scores."""
    frames_between_false_reports: float = 1_000_000
    """Mean number of frames until drift is reported although there is none."""
    baseline_frames: int = 500
    """The usual level is learnt from the calibration and this many passed frames after it, then fixed."""
    minimum_frames: int = 20
    """Without a calibration's samples, this many frames are only learnt from."""
    failures_in_a_row: int = 30
    """This many frames of which none passes are drift: after so sudden a change no passed frame shows it."""

    def __post_init__(self) -> None:
        if not SMALLEST_DRIFT_SHIFT <= self.shift <= LARGEST_DRIFT_SHIFT:
            raise ValueError(
                f"shift is {SMALLEST_DRIFT_SHIFT} to {LARGEST_DRIFT_SHIFT:g} deviations, not {self.shift}"
            )
        if self.frames_between_false_reports < FEWEST_FRAMES_BETWEEN_FALSE_REPORTS:
            raise ValueError(
                f"frames_between_false_reports is at least {FEWEST_FRAMES_BETWEEN_FALSE_REPORTS}"
            )
        if not FEWEST_BASELINE_FRAMES <= self.minimum_frames <= self.baseline_frames:
            raise ValueError(
                f"minimum_frames is at least {FEWEST_BASELINE_FRAMES} and at most baseline_frames"
            )
        if self.failures_in_a_row < 2:
            raise ValueError("failures_in_a_row is at least 2")

    @property
    def limit(self) -> float:
        """The sum, in deviations, at which drift is reported: Siegmund's approximation of the mean run
        length of a two-sided CUSUM, ``(exp(2 k b) - 1 - 2 k b) / (2 k^2) = 2 * frames``, solved for b."""
        k, length = self.shift / 2.0, 2.0 * self.frames_between_false_reports
        b = 0.0
        for _ in range(50):
            b = math.log(2.0 * k * k * length + 1.0 + 2.0 * k * b) / (2.0 * k)
        return max(b - _SIEGMUND, 1.0)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The usual level: moments of the log scores of good parts."""

    mean: float
    deviation: float
    samples: int

    @classmethod
    def of(cls, scores: Iterable[float]) -> Baseline:
        """The baseline of scores of good parts, such as the leave-one-out scores of a calibration."""
        moments = _Moments()
        for score in scores:
            moments.add(_log(score))
        return cls(moments.mean, moments.deviation, moments.count)


@dataclass(frozen=True, slots=True)
class DriftChange:
    """Drift began, or the scores are usual again."""

    drifted: bool
    direction: Direction
    frames: int
    """Frames since the change began, as far as is known."""
    usual: float
    """Geometric mean of the usual scores."""
    now: float
    """Geometric mean of the scores since the change began."""

    def sentence(self, camera: str, sku: str) -> str:
        """The change in one sentence, for the alert and the row."""
        if not self.drifted:
            return f"scores of {sku!r} at {camera} are usual again: {self.now:.3g}, usual {self.usual:.3g}"
        advice = (
            "false alarms rise; check light, lens and fixture, or enroll parts as they look now"
            if self.direction is Direction.HIGHER
            else "defects may be missed; check focus, lens and light, or enroll parts as they look now"
        )
        return (
            f"scores of {sku!r} at {camera} have drifted: usual for passed parts is {self.usual:.3g}, the "
            f"last {self.frames} score {self.now:.3g}, which is {self.direction}; {advice}"
        )


class DriftDetector:
    """A self-starting two-sided CUSUM over the log scores of one camera and recipe version.

    Each score is compared with all that were learnt before it. With n of them, ``(x - mean) / (s sqrt(1 +
    1/n))`` has Student's distribution with n - 1 degrees of freedom, which is mapped to a normal deviate z
    (Hawkins 1987). This allows for the error of few calibration samples, so few are enough to begin with. The
    sums ``max(0, S + z - k)`` and ``max(0, S - z - k)`` find a small lasting shift in the fewest frames at a
    given rate of false reports (Page 1954, Moustakides 1986). A test on windows would have to fill its
    window.

    Only passed frames are compared: failed ones would add the scores of defects. If no frame passes any more,
    the number of such frames shows the drift. Drift is reported once. The next report comes after the sum has
    fallen to zero, when scores were usual again for a while. Memory is a few dozen numbers.
    """

    def __init__(self, policy: DriftPolicy | None = None, baseline: Baseline | None = None) -> None:
        """``baseline``: of the calibration; without one, the usual level is learnt from the first frames."""
        self._policy = policy or DriftPolicy()
        self._limit = self._policy.limit
        self._usual, self._to_learn = _Moments(), self._policy.minimum_frames
        if baseline is not None and baseline.samples >= 3:
            self._usual, self._to_learn = _Moments.of(baseline), 0
        self._sides = {direction: _Side() for direction in Direction}
        self._drifted: Direction | None = None
        self._failed = _Moments()
        """Frames since the last one that passed."""

    @property
    def drifted(self) -> Direction | None:
        """The direction of the drift, until scores are usual again."""
        return self._drifted

    def observe(self, score: float, *, passed: bool = True) -> DriftChange | None:
        """Add the score of the next frame. Returns the change that it makes, or None.

        Raises:
            ValueError: the score is not a finite number.
        """
        if not math.isfinite(score):
            raise ValueError(f"a score is a finite number, not {score}")
        value = _log(score)
        if not passed:
            return self._fail(value)
        self._failed = _Moments()
        if self._to_learn:
            self._to_learn -= 1
            self._usual.add(value)
            return None
        z = self._deviate(value)
        k = self._policy.shift / 2.0
        for direction, side in self._sides.items():
            side.add(z if direction is Direction.HIGHER else -z, value, k, _CAPPED * self._limit)
        if self._drifted is None and self._usual.count < self._policy.baseline_frames:
            self._usual.add(value)
        return self._change()

    def _fail(self, value: float) -> DriftChange | None:
        self._failed.add(value)
        if self._drifted is not None or self._failed.count < self._policy.failures_in_a_row:
            return None
        self._drifted = Direction.HIGHER
        self._sides[Direction.HIGHER].raise_to(self._limit)
        return self._change_to(True, Direction.HIGHER, self._failed)

    def _deviate(self, value: float) -> float:
        usual = self._usual
        n = usual.count
        student = (value - usual.mean) / (max(usual.deviation, _LEAST_SPREAD) * math.sqrt(1.0 + 1.0 / n))
        z = float(ndtri(stdtr(n - 1, student)))
        return min(max(z, -_MOST_DEVIATIONS), _MOST_DEVIATIONS)

    def _change(self) -> DriftChange | None:
        if self._drifted is not None:
            side = self._sides[self._drifted]
            if side.total > 0.0:
                return None
            change = self._change_to(False, self._drifted, side.since_highest)
            self._drifted = None
            return change
        for direction, side in self._sides.items():
            if side.total > self._limit:
                self._drifted = direction
                return self._change_to(True, direction, side.since_zero)
        return None

    def _change_to(self, drifted: bool, direction: Direction, run: _Moments) -> DriftChange:
        usual = self._usual.mean if self._usual.count else run.mean
        return DriftChange(drifted, direction, run.count, math.exp(usual), math.exp(run.mean))


class DriftTracker:
    """The detectors of all cameras and products. If full, the one longest without a frame is forgotten."""

    def __init__(self, policy: DriftPolicy | None = None, capacity: int = 1024) -> None:
        self._policy = policy or DriftPolicy()
        self._capacity = capacity
        self._detectors: OrderedDict[tuple[str, str], tuple[Hashable, DriftDetector]] = OrderedDict()

    def observe(
        self,
        camera: str,
        sku: str,
        version: Hashable,
        score: float,
        *,
        passed: bool = True,
        baseline: Baseline | None = None,
    ) -> DriftChange | None:
        """Add a judged frame. Another ``version`` of the recipe begins anew. For one thread.

        Args:
            version: of the recipe, or of anything else that changes the usual level.
            baseline: of the version's calibration, read when the detector begins.
        """
        key = (camera, sku)
        held = self._detectors.get(key)
        if held is None or held[0] != version:
            held = (version, DriftDetector(self._policy, baseline))
            self._detectors[key] = held
        self._detectors.move_to_end(key)
        while len(self._detectors) > self._capacity:
            self._detectors.popitem(last=False)
        return held[1].observe(score, passed=passed)

    def drifted(self, camera: str, sku: str) -> Direction | None:
        """The direction in which scores of a camera's product drifted, until they are usual again."""
        held = self._detectors.get((camera, sku))
        return None if held is None else held[1].drifted

    def __len__(self) -> int:
        return len(self._detectors)


@dataclass(slots=True)
class _Moments:
    """Running mean and deviation (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, baseline: Baseline) -> _Moments:
        return cls(baseline.samples, baseline.mean, baseline.deviation**2 * (baseline.samples - 1))

    def add(self, value: float) -> None:
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    @property
    def deviation(self) -> float:
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0


class _Side:
    """One side of the CUSUM, with the scores since its sum was zero and since it was highest."""

    def __init__(self) -> None:
        self.total = 0.0
        self.since_zero = _Moments()
        """Scores since the sum was zero: about when a change that is found began."""
        self.since_highest = _Moments()
        """Scores since the sum was highest: on the way down, the level they have again."""
        self._highest = 0.0

    def add(self, z: float, value: float, k: float, most: float) -> None:
        before = self.total
        self.total = min(max(0.0, before + z - k), most)
        if before == 0.0:
            self.since_zero = _Moments()
        self.since_zero.add(value)
        if self.total >= self._highest or before == 0.0:
            self._highest = self.total
            self.since_highest = _Moments()
        self.since_highest.add(value)

    def raise_to(self, total: float) -> None:
        """Let a change that was reported in another way last until the sum has come down from ``total``."""
        self.total = self._highest = max(self.total, total)
        self.since_highest = _Moments()


def _log(score: float) -> float:
    return math.log(max(score, 1e-9))


class ScoreDriftMonitor:
    """Feeds recorded inspections to the detectors, and reports drift by camera and product.

    Runs in the recording thread, after the rows are written.
    """

    def __init__(self, policy: DriftPolicy, events: EventLog) -> None:
        self._tracker = DriftTracker(policy)
        self._events = events

    def observe(self, inspection: Inspection, recipe: Recipe | None) -> None:
        """Add a recorded inspection and the recipe that judged it; called in the order of the rows."""
        if recipe is None or inspection.score is None or recipe.calibration is None:
            return  # without a threshold nothing was judged good
        camera, sku = inspection.identity.camera, recipe.sku
        change = self._tracker.observe(
            str(camera),
            sku,
            recipe.version,
            inspection.score,
            passed=inspection.verdict is Verdict.PASS,
            baseline=_baseline(recipe),
        )
        if change is None:
            return
        event = Event(
            "drift" if change.drifted else "drift-over",
            change.sentence(str(camera), sku),
            inspection.inspected_at,
            camera=str(camera),
            sku=sku,
            details={
                "direction": change.direction.value,
                "frames": change.frames,
                "usual": change.usual,
                "now": change.now,
            },
            severity="warning" if change.drifted else "info",
        )
        self._events.report(event, alert=None if inspection.shadow else camera)


def _baseline(recipe: Recipe) -> Baseline | None:
    """The calibration's usual level; None if an older version of Sightline did not store it."""
    calibration = recipe.calibration
    if calibration is None or calibration.log_mean is None or calibration.log_deviation is None:
        return None
    return Baseline(calibration.log_mean, calibration.log_deviation, calibration.samples)
