"""counting(): from which references' scores a threshold is set."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agent.calibration.threshold import CalibrationPolicy, calibrate
from agent.enrollment.selection import SelectionPolicy, unusual


def counting(
    scores: Sequence[float], confirmed: Collection[int], policy: CalibrationPolicy, selection: SelectionPolicy
) -> list[int]:
    """Indices of the leave-one-out scores that a threshold is set from.

    A reference unlike all others, such as the first of a new variant, is scored without its like. Parts like
    it are compared with it and score lower, so its own score would only raise the threshold for all parts.
    So a frame that a person called good, mostly because it had FAILed, does not count if the threshold of the
    other references would FAIL it, or if it is :func:`agent.enrollment.selection.unusual`. Several of a
    variant are compared with each other, and count.

    If too few for a threshold were left, all count.

    Args:
        scores: of each reference against the others.
        confirmed: indices of those that a person called good in production.
    """
    apart = set(unusual(scores, selection.false_report_rate)).intersection(confirmed)
    others = [score for index, score in enumerate(scores) if index not in confirmed]
    bound = calibrate(others, policy, source="the other references")
    if bound is not None:
        apart |= {index for index in confirmed if scores[index] > bound.threshold}
    usual = [index for index in range(len(scores)) if index not in apart]
    return usual if len(usual) >= max(2, policy.minimum_samples) else list(range(len(scores)))
