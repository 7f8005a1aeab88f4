"""recalibrate(): a threshold from references and from the scores of frames judged in production."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.calibration.feedback_weights import WeightedScores
from agent.calibration.threshold import CalibrationPolicy, Floats, PredictionBound, log_scores
from agent.domain.calibration import Calibration

MOST_FRAMES = 5000
"""So many of the newest frames count: at a rate of 1 % they hold 50 exceedances, which give it to a
seventh."""

PRIOR_EXCEEDANCES = 1.0
"""How many exceedances the prediction bound counts as. Of simulated products (lognormal, gamma, extreme
value, mixtures) with 20 references, 1 % defects and all frames answered, so many realise 0.3 to 3 % after 250
frames: 94 % with 0.5 or 1, 92 % with 2, 88 % with 3. The more, the less single frames move a threshold."""

WORTH_A_VERSION = 1.0 / 3.0
"""A threshold whose rate is off by less stands, however many frames there are: people read the versions."""

MOST_DEVIATIONS = 4.0
"""In the moments of the bound, no frame counts as farther off. A defect that somebody called good by mistake
would otherwise lengthen the tail of all others. Among the exceedances it counts as one."""


@dataclass(frozen=True, slots=True)
class GoodScores:
    """The distribution of good parts' log scores, from references and from production.

    The posterior mean of a Dirichlet process (Ferguson 1973). Its prior is the prediction bound, worth
    ``PRIOR_EXCEEDANCES / rate`` parts; its sample is production with weights ``w``. So the share of good
    parts above ``x`` is ``(c S(x) / rate + sum of w above x) / (c / rate + sum of w)``, with c the prior
    exceedances and S the share by the bound. Without frames that is the bound. With E exceedances expected
    among the frames, they count E to c; with several hundred, the rate is realised whatever the shape of the
    distribution. It is monotone in the rate, and there is no switch between the two.
    """

    bound: PredictionBound
    """Of references and frames together. Each of n references counts ``n / (n + sum of w)``: scores against
    the other references are not quite those of production, for which the threshold is set."""
    logs: Floats
    """Log scores of production, ascending."""
    above: Floats
    """Sum of the weights from each of ``logs`` on, and a final 0."""

    @property
    def weight(self) -> float:
        """How many good frames production adds."""
        return float(self.above[0])

    def quantile(self, rate: float) -> float:
        """The score that a share ``rate`` of good parts, in (0, 1), exceeds."""
        return self._above_which(self._expected(rate), rate)

    def allows(self, threshold: float, rate: float) -> bool:
        """Whether ``threshold`` has as many exceedances as expected at ``rate``, within an error.

        The error is the standard error of a Poisson number, or :data:`WORTH_A_VERSION` of the expected number
        if that is larger.
        """
        expected = self._expected(rate)
        error = max(math.sqrt(expected), WORTH_A_VERSION * expected)
        lowest, highest = (self._above_which(expected + by, rate) for by in (error, -error))
        return lowest <= threshold <= highest

    def _expected(self, rate: float) -> float:
        return PRIOR_EXCEEDANCES + rate * self.weight

    def _above_which(self, exceedances: float, rate: float) -> float:
        low, high = math.log(1e-300), math.log1p(-1e-12)
        for _ in range(64):
            middle = (low + high) / 2.0
            if self._seen(math.exp(middle), rate) > exceedances:
                high = middle
            else:
                low = middle
        return math.exp(self.bound.at(math.exp(low)))

    def _seen(self, share: float, rate: float) -> float:
        x = self.bound.at(share)
        above = self.above[np.searchsorted(self.logs, x, side="right")]
        return PRIOR_EXCEEDANCES * share / rate + float(above)


def good_scores(references: Sequence[float], judged: WeightedScores) -> GoodScores | None:
    """From leave-one-out scores of references and judged frames; None if both together are too few.

    Args:
        references: positive scores of good parts against the others.
    """
    own, n = log_scores(references), len(references)
    weight = float(judged.weights.sum())
    if n + weight < 2.0:
        return None
    each = np.full(n, n / (n + weight) if n else 0.0)
    logs, weights = np.concatenate([own, judged.logs]), np.concatenate([each, judged.weights])
    bound = PredictionBound.of(logs, weights)
    if weight > 0.0:
        most = MOST_DEVIATIONS * bound.spread
        bound = PredictionBound.of(np.clip(logs, bound.centre - most, bound.centre + most), weights)
    order = np.argsort(judged.logs, kind="stable")
    above = np.cumsum(judged.weights[order][::-1])[::-1]
    return GoodScores(bound, judged.logs[order], np.append(above, 0.0))


def recalibrate(
    references: Sequence[float],
    judged: WeightedScores,
    policy: CalibrationPolicy,
    *,
    before: Calibration | None = None,
    scorer: str | None = None,
) -> Calibration | None:
    """Threshold from references and judged frames; None if they are too few, or the one in force may stay.

    The rate holds for what is good or presumed to be good. If a share e of the passed frames are unnoticed
    defects, at most ``rate * (1 + e)`` of good parts exceed the threshold. Such frames can keep it from
    coming down to the rate. They score lower than what is shown, so they do not push it up from round to
    round.

    Args:
        references: leave-one-out scores.
        judged: frames that were judged by recipes that differ in the threshold alone.
        before: the one in force. It stands if its threshold is within the error of the new one.
    """
    found = good_scores(references, judged)
    if found is None or len(references) + found.weight < policy.minimum_samples:
        return None
    if before is not None and found.allows(before.threshold, policy.false_alarm_rate):
        return None
    return Calibration(
        threshold=found.quantile(policy.false_alarm_rate),
        review_below=found.quantile(policy.review_rate),
        samples=len(references) + judged.frames,
        false_alarm_rate=policy.false_alarm_rate,
        source=f"{describe_sources(len(references), judged)}; {_HOW}",
        map_threshold=before.map_threshold if before is not None else None,
        scorer=scorer,
        log_mean=found.bound.centre,
        log_deviation=found.bound.spread,
        label_margin=before.label_margin if before is not None else None,
    )


_HOW = "Student prediction bound of log scores, outweighed by the frames' own tail"


def describe_sources(references: int, judged: WeightedScores) -> str:
    """``from 20 references and 480 judged frames, 9 of which people called good``."""
    return (
        f"from {references} references and {judged.frames} judged frames, {judged.called_good} of which "
        "people called good"
    )
