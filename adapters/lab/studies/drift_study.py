"""How soon drift is told on one product, how often without cause, and what it costs until then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.domain.calibration import Calibration
from agent.domain.frame import Image
from agent.monitors.score_drift import Baseline, DriftDetector, DriftPolicy

Change = Callable[[Image, float], Image]
"""An image under a change that has come so far, from 0 (not at all) to 1."""


def dimmed(image: Image, extent: float) -> Image:
    """The lamp gives up to 10 % less."""
    return _levels(image * (1.0 - 0.1 * extent))


def blurred(image: Image, extent: float) -> Image:
    """Vibration or a film on the lens: a Gaussian of up to 0.4 % of the image's side."""
    sigma = 0.004 * min(image.shape[:2]) * extent
    return image if sigma < 0.05 else np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def defocused(image: Image, extent: float) -> Image:
    """The lens moved: a disc with a radius of up to 0.8 % of the image's side."""
    radius = 0.008 * min(image.shape[:2]) * extent
    reach = int(np.ceil(radius))
    if reach == 0:
        return image
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0)
    return np.asarray(cv2.filter2D(image, -1, disc / disc.sum()), np.uint8)


def dirty(image: Image, extent: float) -> Image:
    """Dirt on the lens: a soft spot over a twentieth of the image that takes up to 20 % of the light."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    radius = 0.126 * min(height, width)
    spot = np.exp(-0.5 * ((x - 0.45 * width) ** 2 + (y - 0.55 * height) ** 2) / (0.6 * radius) ** 2)
    return _levels(image * (1.0 - 0.2 * extent * spot[..., None]))


def _levels(pixels: NDArray[np.floating]) -> Image:
    return np.clip(pixels + 0.5, 0, 255).astype(np.uint8)


CHANGES: Mapping[str, Change] = {
    "10 % less light": dimmed,
    "blur": blurred,
    "defocus": defocused,
    "dirt on the lens": dirty,
}


@dataclass(frozen=True, slots=True)
class Detected:
    """What became of one kind of change. Frames are counted as the camera sends them, failed ones too."""

    frames: float | None
    """Mean number until drift was told, over the runs in which it was; None: in none of them."""
    detected: float
    """Share of the runs in which it was told."""
    false_alarms: float
    """Share of good parts above the threshold under the full change."""
    false_alarms_until_told: float
    """Mean share of them among the frames until drift was told."""
    shift: float
    """Of the mean log score under the full change, in deviations."""


@dataclass(frozen=True, slots=True)
class DriftStudy:
    """One product."""

    false_reports: float
    """Per 10,000 frames without drift."""
    frames_without_drift: int
    sudden: Mapping[str, Detected]
    gradual: Mapping[str, Detected]
    """The change grows evenly over :func:`drift_study`'s ``ramp`` frames and then stays."""


def drift_study(
    score: Callable[[Sequence[Image]], Sequence[float]],
    parts: Callable[[int, int], Iterable[Image]],
    calibration: Calibration,
    baseline: Baseline,
    policy: DriftPolicy | None = None,
    *,
    good: int = 400,
    changed: int = 60,
    runs: int = 100,
    frames: int = 10_000,
    ramp: int = 500,
    levels: int = 5,
    changes: Mapping[str, Change] = CHANGES,
    seed: int = 0,
) -> DriftStudy:
    """Score good parts as they are and under each change, then run detectors over draws of these scores.

    Scoring is what takes time, so streams are drawn with replacement from pools of scores: what a stream
    of the simulator's parts is in any case, which do not depend on one another.

    Args:
        score: images to anomaly scores, by the calibrated recipe.
        parts: first number and count to good parts that the recipe has not seen.
        good, changed: sizes of the pools, the latter for each change and each of ``levels`` extents.
        runs: streams for each change; ``frames`` long without one, and at most so long with one.
    """
    policy = policy or DriftPolicy()
    rng = np.random.default_rng(seed)
    usual = _scores(score, parts(0, good))
    told = sum(_reports(_drawn(rng, usual, frames), calibration, baseline, policy) for _ in range(runs))
    sudden: dict[str, Detected] = {}
    gradual: dict[str, Detected] = {}
    settled = policy.baseline_frames
    for name, change in changes.items():
        pools = [usual]
        for level in range(1, levels + 1):
            images = (change(image, level / levels) for image in parts(good, changed))
            pools.append(_scores(score, images))
        logs = [np.log(np.maximum(pool, 1e-9)) for pool in (usual, pools[-1])]
        shift = float((logs[1].mean() - logs[0].mean()) / max(logs[0].std(ddof=1), 1e-6))
        alarms = float((pools[-1] > calibration.threshold).mean())
        for found, length in ((sudden, 0), (gradual, ramp)):
            outcomes = []
            for _ in range(runs):
                warm = _drawn(rng, usual, settled)
                stream = _changing(rng, pools, length, 2000)
                outcomes.append(_until_told(warm, stream, calibration, baseline, policy))
            hits = [outcome for outcome in outcomes if outcome is not None]
            found[name] = Detected(
                frames=fmean(frames for frames, _ in hits) if hits else None,
                detected=len(hits) / runs,
                false_alarms=alarms,
                false_alarms_until_told=fmean(share for _, share in hits) if hits else 0.0,
                shift=shift,
            )
    return DriftStudy(told / (runs * frames) * 10_000, runs * frames, sudden, gradual)


def _scores(
    score: Callable[[Sequence[Image]], Sequence[float]], images: Iterable[Image]
) -> NDArray[np.float64]:
    return np.array([score([image])[0] for image in images], np.float64)


def _drawn(rng: np.random.Generator, pool: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    return rng.choice(pool, count)


def _changing(
    rng: np.random.Generator, pools: Sequence[NDArray[np.float64]], ramp: int, count: int
) -> NDArray[np.float64]:
    """Scores under a change that grows over ``ramp`` frames, at the extents that were scored."""
    extent = np.minimum((np.arange(count) + 1) / ramp, 1.0) if ramp else np.ones(count)
    level = np.rint(extent * (len(pools) - 1)).astype(int)
    return np.array([pools[one][rng.integers(len(pools[one]))] for one in level])


def _reports(
    stream: NDArray[np.float64], calibration: Calibration, baseline: Baseline, policy: DriftPolicy
) -> int:
    detector, level = DriftDetector(policy, baseline), calibration.review_below
    changes = (detector.observe(float(one), passed=bool(one <= level)) for one in stream)
    return sum(change is not None and change.drifted for change in changes)


def _until_told(
    warm: NDArray[np.float64],
    stream: NDArray[np.float64],
    calibration: Calibration,
    baseline: Baseline,
    policy: DriftPolicy,
) -> tuple[int, float] | None:
    """Frames until drift was told, and the share of them above the threshold; None where it never was."""
    detector, level = DriftDetector(policy, baseline), calibration.review_below
    for one in warm:
        detector.observe(float(one), passed=bool(one <= level))
    if detector.drifted is not None:  # told without cause, before anything changed
        detector = DriftDetector(policy, Baseline.of(warm.tolist()))
    failed = 0
    for index, one in enumerate(stream, start=1):
        failed += bool(one > calibration.threshold)
        change = detector.observe(float(one), passed=bool(one <= level))
        if change is not None and change.drifted:
            return index, failed / index
    return None


def median_frames(studies: Sequence[DriftStudy], change: str, *, gradual: bool = False) -> float | None:
    """Over several products, those where the change was told."""
    found = [(one.gradual if gradual else one.sudden)[change].frames for one in studies]
    known = [frames for frames in found if frames is not None]
    return median(known) if known else None
