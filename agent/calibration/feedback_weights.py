"""What people's answers on judged frames, and their silence, tell of which frames are good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.calibration.threshold import CalibrationPolicy, Floats, log_scores
from agent.ports.samples import JudgedScore

PRESUMPTION = 1.0
"""How many answers it takes to outweigh that a frame on which nobody gave a word is good; in simulations one
and three do not differ by more than chance."""

LEAST_ANSWERS, ENOUGH_ANSWERS = 0.25, 0.75
"""Shares of the frames shown to people that they answered: below the first, the answers tell nothing of
the silent ones; from the second on, all that answers can."""

FEW_SILENT = 1.0 / 3.0
"""Silent frames up to this share of the good ones that are shown in any case cannot change much."""

_Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class WeightedScores:
    """Log scores of good frames, each with how much of one it is."""

    logs: Floats
    weights: Floats
    """0 to 1."""
    judged: int
    """How many frames that is from."""
    called_good: int
    """How many of them people have called good."""


def tell(frames: Sequence[JudgedScore], policy: CalibrationPolicy) -> WeightedScores:
    """Weigh frames that were selected by a threshold: the higher the score, the likelier people saw it.

    People are asked only about what was shown, so good frames that they confirmed are the highest of all and
    no sample of good parts; together with the frames that passed they are one. A frame called good counts 1,
    one called defective 0. For a silent one the answers on frames of its score speak, and without any it is
    presumed good (:func:`_share_of_good`): so defects that passed unnoticed lose their weight once the margin
    has come down to them.

    How much the frames of a version count is how far their tail is told (:func:`_completeness`). Passed
    frames alone end at the threshold: one set from them would creep down from version to version. Nor does
    silence ever raise a threshold: a silent frame that no answers speak for counts as no higher than the
    threshold in force. Frames of an uncalibrated recipe are selected by nothing, so there the answers alone
    count. Every number is a share of frames or a score: nothing depends on the unit of scores.
    """
    logs = log_scores([one.score for one in frames])
    passed = np.array([one.passed for one in frames], dtype=bool)
    answered = np.array([one.good is not None for one in frames], dtype=bool)
    good = np.array([one.good is True for one in frames], dtype=bool)
    caps = np.array([np.inf if one.threshold is None else one.threshold for one in frames], dtype=np.float64)
    calibrated = np.isfinite(caps)
    version = np.unique([one.recipe_version for one in frames], return_inverse=True)[1].reshape(-1)

    selected = _Tally.of(passed, answered, good, calibrated, np.zeros_like(version))
    habit = _habit(selected, policy.review_rate)
    each = _Tally.of(passed, answered, good, calibrated, version)
    trust = (_told_by_answers(each) * habit)[version]
    complete = _completeness(each, habit, policy.review_rate)[version]
    overall = _completeness(selected, habit, policy.review_rate)[0] if len(frames) else 0.0

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
    """Numbers of frames of each version, of calibrated ones alone."""

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
    def silent(self) -> Floats:
        return self.shown - self.good - self.defective

    @property
    def answers(self) -> Floats:
        """The share of shown frames that people answered."""
        return (self.good + self.defective) / np.maximum(self.shown, 1.0)


def _told_by_answers(tally: _Tally) -> Floats:
    told: Floats = np.clip((tally.answers - LEAST_ANSWERS) / (ENOUGH_ANSWERS - LEAST_ANSWERS), 0.0, 1.0)
    return told


def _completeness(tally: _Tally, habit: float, review_rate: float) -> Floats:
    """How completely what was shown is told, 0 to 1.

    Either by the answers, or because the silent frames are few beside the good ones: as many as the margin
    aims at, or as people confirmed. Where nothing was shown, nothing is missing.
    """
    certain = np.maximum(np.maximum(review_rate * tally.frames, tally.good), 1e-9)
    by_number = (1.0 - tally.silent / certain) / (1.0 - FEW_SILENT)
    told: Floats = np.clip(np.maximum(_told_by_answers(tally) * habit, by_number), 0.0, 1.0)
    return told


def _habit(tally: _Tally, review_rate: float) -> float:
    """Whether answers speak for silent frames, 0 to 1: people who only confirm what is good, or only what is
    defective, would have the others counted as the same.

    Of the good frames that the margin aims to show, and of the shown ones beyond these and their own
    scatter, as large a share should have been answered as of all; half of that is enough.
    """
    if len(tally.frames) == 0:
        return 0.0
    aimed = review_rate * float(tally.frames[0])
    beyond = max(0.0, float(tally.shown[0]) - aimed - 2.0 * aimed**0.5)
    answers, habit = float(tally.answers[0]), 1.0
    for found, expected in ((tally.good[0], answers * aimed), (tally.defective[0], answers * beyond)):
        if expected > 0.0:
            habit *= min(1.0, 2.0 * float(found) / expected)
    return habit


def _share_of_good(logs: Floats, good: _Flags, asked: _Flags) -> Floats:
    """The share of good frames among those of each score, from answers on frames that were shown.

    Isotonic regression (Ayer et al. 1955) of the answers, since the higher a score is, the rarer the part is
    good; each of its blocks against :data:`PRESUMPTION`. Below the lowest answer: 1.
    """
    lowest, hits, counts = _blocks(logs[asked], good[asked])
    if len(lowest) == 0:
        return np.ones_like(logs)
    block = np.searchsorted(lowest, logs, side="right") - 1
    share = (PRESUMPTION + hits[block]) / (PRESUMPTION + counts[block])
    spoken: Floats = np.where(block >= 0, share, 1.0)
    return spoken


def _blocks(logs: Floats, good: _Flags) -> tuple[Floats, Floats, Floats]:
    """Pool adjacent violators of a falling share: lowest log score, good ones and number of each block."""
    blocks: list[list[float]] = []
    for index in np.lexsort((good, logs)):  # of equal scores the good ones last, so that they are pooled
        blocks.append([float(logs[index]), float(good[index]), 1.0])
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][2] <= blocks[-1][1] * blocks[-2][2]:
            _, hits, count = blocks.pop()
            blocks[-1][1] += hits
            blocks[-1][2] += count
    table = np.array(blocks, dtype=np.float64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]
