"""Verdict, and decide(): from a score to a verdict."""

from __future__ import annotations

from enum import StrEnum

from agent.domain.calibration import MINIMUM_SAMPLES, Calibration


class Verdict(StrEnum):
    """The result of an inspection."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    REVIEW = "REVIEW"
    ERROR = "ERROR"
    SKIPPED = "SKIPPED"


def decide(score: float, calibration: Calibration | None, samples: int = 0) -> tuple[Verdict, str]:
    """The verdict on a finite ``score`` and the sentence that explains it.

    ``samples`` is the number of good parts known so far. The sentence names it if they are too few.
    """
    if calibration is None:
        missing = max(0, MINIMUM_SAMPLES - samples)
        if missing:
            needed = "1 more good part is" if missing == 1 else f"{missing} more good parts are"
            return Verdict.REVIEW, f"the recipe is not calibrated; {needed} needed"
        # Enough parts and yet no threshold: another scorer set it (agent/recipes/cache.py), and a new one
        # is on its way (agent/onboarding/rescoring.py).
        return Verdict.REVIEW, (
            "the recipe is not calibrated for this model and its parameters; a threshold is being set from "
            "its references"
        )
    if score > calibration.threshold:
        return Verdict.FAIL, f"score {score:.4g} is above the threshold {calibration.threshold:.4g}"
    if score > calibration.review_below:
        return Verdict.REVIEW, (
            f"score {score:.4g} is inside the margin below the threshold {calibration.threshold:.4g}"
        )
    return Verdict.PASS, f"score {score:.4g} is below the threshold {calibration.threshold:.4g}"
