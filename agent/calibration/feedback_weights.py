"""weigh_feedback(): how likely each judged frame is good, from operators' answers and their absence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.calibration.threshold import CalibrationPolicy, Floats, log_scores
from agent.ports.samples import JudgedScore

PRESUMPTION = 1.0
"""How many answers outweigh the presumption that an unanswered frame is good. In simulations one and three do
not differ by more than chance."""

LEAST_ANSWERS, ENOUGH_ANSWERS = 0.25, 0.75
"""Shares of the frames shown to people that they answered. Below the first, the answers do not count for the
unanswered frames; from the second on, they count in full."""

FEW_UNANSWERED = 1.0 / 3.0
"""Up to this share of the good frames that are shown in any case, unanswered frames cannot change much."""

_Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class WeightedScores:
    """Log scores of judged frames, each with the weight by which it counts as a good one."""

    logs: Floats
    weights: Floats
    """0 to 1."""
    frames: int
    """How many frames have a weight."""
    called_good: int
    """How many of them people called good."""


def weigh_feedback(frames: Sequence[JudgedScore], policy: CalibrationPolicy) -> WeightedScores:
    """Weigh frames that a threshold selected: the higher the score, the likelier people saw the frame.

    People are asked only about frames that were shown. So the good frames that they confirmed have the
    highest scores of all, and are not a sample of good parts. Together with the frames that passed they are
    one.

    - A frame called good counts 1, one called defective 0.
    - An unanswered frame counts by the answers on frames of its score; without any, it is presumed good
      (:func:`_share_of_good`). So defects that passed unnoticed lose their weight once the margin has come
      down to them.
    - The frames of a version count by how completely its shown frames are known (:func:`_completeness`).
      Passed frames alone end at the threshold: a threshold set from them would creep down from version to
      version.
    - Missing answers never raise a threshold: an unanswered frame without answers on its score counts as no
      higher than the threshold in force.
    - No threshold selected the frames of an uncalibrated recipe, so there the answers alone count.

    Every number is a share of frames or a score: nothing depends on the unit of scores.
    """
    logs = log_scores([one.score for one in frames])
    passed = np.array([one.passed for one in frames], dtype=bool)
    answered = np.array([one.good is not None for one in frames], dtype=bool)
    good = np.array([one.good is True for one in frames], dtype=bool)
    caps = np.array([np.inf if one.threshold is None else one.threshold for one in frames], dtype=np.float64)
    calibrated = np.isfinite(caps)
    version = np.unique([one.recipe_version for one in frames], return_inverse=True)[1].reshape(-1)

    selected = _Tally.of(passed, answered, good, calibrated, np.zeros_like(version))
    balance = _answer_balance(selected, policy.review_rate)
    each = _Tally.of(passed, answered, good, calibrated, version)
    trust = (_answer_coverage(each) * balance)[version]
    complete = _completeness(each, balance, policy.review_rate)[version]
    overall = _completeness(selected, balance, policy.review_rate)[0] if len(frames) else 0.0

    share = _share_of_good(logs, good, answered & ~passed)
    weights = np.where(passed, 1.0 - overall * (1.0 - share), trust * share)
    weights = np.where(answered, good, weights) * np.where(calibrated, complete, answered)
    held = np.where(answered | passed | ~calibrated, 0.0, (1.0 - trust) * complete)
    lower = np.minimum(logs, np.log(np.maximum(caps, 1e-9)))
    counts = (weights > 0.0) | (held > 0.0)
    return WeightedScores(
        np.concatenate([logs, lower]),
        np.concatenate([weights, held]),
        int(counts.sum()),
        int((counts & good).sum()),
    )


@dataclass(frozen=True, slots=True)
class _Tally:
    """Numbers of frames of each calibrated version."""

    frames: Floats
    shown: Floats
    good: Floats
    """Shown and called good."""
    defective: Floats

    @classmethod
    def of(
        cls, passed: _Flags, answered: _Flags, good: _Flags, calibrated: _Flags, version: NDArray[np.intp]
    ) -> _Tally:
        def count(which: _Flags) -> Floats:
            counts = np.bincount(version, weights=(which & calibrated).astype(np.float64))
            return counts.astype(np.float64)

        shown = ~passed
        return cls(
            count(np.ones_like(passed)),
            count(shown),
            count(shown & good),
            count(shown & answered & ~good),
        )

    @property
    def unanswered(self) -> Floats:
        return self.shown - self.good - self.defective

    @property
    def answer_rate(self) -> Floats:
        """The share of shown frames that people answered."""
        return (self.good + self.defective) / np.maximum(self.shown, 1.0)


def _answer_coverage(tally: _Tally) -> Floats:
    """How far answers may count for unanswered frames, 0 to 1, by their number."""
    share: Floats = np.clip((tally.answer_rate - LEAST_ANSWERS) / (ENOUGH_ANSWERS - LEAST_ANSWERS), 0.0, 1.0)
    return share


def _completeness(tally: _Tally, balance: float, review_rate: float) -> Floats:
    """How completely the shown frames are known, 0 to 1.

    They are known by the answers; or because the unanswered frames are few beside the good ones: beside as
    many as the margin aims at, or as people confirmed. If nothing was shown, nothing is missing.
    """
    certain = np.maximum(np.maximum(review_rate * tally.frames, tally.good), 1e-9)
    by_number = (1.0 - tally.unanswered / certain) / (1.0 - FEW_UNANSWERED)
    known: Floats = np.clip(np.maximum(_answer_coverage(tally) * balance, by_number), 0.0, 1.0)
    return known


def _answer_balance(tally: _Tally, review_rate: float) -> float:
    """Whether the answers are balanced enough to count for unanswered frames, 0 to 1.

    People who only confirm what is good, or only what is defective, would have the others counted as the
    same. Of the good frames that the margin aims to show, as large a share should have been answered as of
    all; likewise of the shown frames beyond these and their own scatter. Half of that share is enough.
    """
    if len(tally.frames) == 0:
        return 0.0
    aimed = review_rate * float(tally.frames[0])
    beyond = max(0.0, float(tally.shown[0]) - aimed - 2.0 * aimed**0.5)
    rate, balance = float(tally.answer_rate[0]), 1.0
    for found, expected in ((tally.good[0], rate * aimed), (tally.defective[0], rate * beyond)):
        if expected > 0.0:
            balance *= min(1.0, 2.0 * float(found) / expected)
    return balance


def _share_of_good(logs: Floats, good: _Flags, asked: _Flags) -> Floats:
    """The share of good frames among those of each score, from the answers on shown frames.

    Isotonic regression (Ayer et al. 1955) of the answers: the higher a score, the rarer the part is good.
    Each block is weighed against :data:`PRESUMPTION`. Below the lowest answer the share is 1.
    """
    lowest, hits, counts = _blocks(logs[asked], good[asked])
    if len(lowest) == 0:
        return np.ones_like(logs)
    block = np.searchsorted(lowest, logs, side="right") - 1
    share = (PRESUMPTION + hits[block]) / (PRESUMPTION + counts[block])
    known: Floats = np.where(block >= 0, share, 1.0)
    return known


def _blocks(logs: Floats, good: _Flags) -> tuple[Floats, Floats, Floats]:
    """Pool adjacent violators of a falling share: lowest log score, good ones and number of each block."""
    blocks: list[list[float]] = []
    for index in np.lexsort((good, logs)):  # of equal scores the good ones last, so they are pooled
        blocks.append([float(logs[index]), float(good[index]), 1.0])
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][2] <= blocks[-1][1] * blocks[-2][2]:
            _, hits, count = blocks.pop()
            blocks[-1][1] += hits
            blocks[-1][2] += count
    table = np.array(blocks, dtype=np.float64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]
