"""propose(): a threshold that fits the feedback better. Arithmetic on recorded scores, no new inspection."""

from __future__ import annotations

import math
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agent.domain.calibration import Calibration
from agent.domain.prompts import PromptSet
from agent.domain.verdict import Verdict, decide

ESCAPE_COST = 10.0
"""How many false alarms one escaped defect costs by default."""

FEW = 10
"""With feedback on fewer frames, the advice is to collect more first."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded frame."""

    score: float
    truth: str | None = None
    """``good``, ``defective``, or None without feedback."""
    note: str | None = None
    """The person's remark."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a threshold does to the frames with feedback."""

    false_alarms: int
    """Good, yet FAIL."""
    escapes: int
    """Defective, yet PASS."""
    reviews: int
    """Left to a person."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A threshold that fits the feedback better, and what it would change."""

    calibration: Calibration | None
    """The proposed one; None if feedback gives no reason to move the threshold."""
    before: Effect
    after: Effect
    good: int
    """Frames that people called good."""
    defective: int
    recorded: int
    """All recorded frames with scores that can be compared."""
    changed: int
    """How many of ``recorded`` would get another verdict."""
    auroc: float | None
    """How well the scores separate good from defective by feedback; None without both."""
    advice: tuple[str, ...]

    @property
    def changed_share(self) -> float:
        """Of all recorded frames, in [0, 1]."""
        return self.changed / self.recorded if self.recorded else 0.0


def propose(
    recorded: Sequence[Recorded],
    calibration: Calibration,
    prompts: PromptSet,
    *,
    escape_cost: float = ESCAPE_COST,
) -> Proposal:
    """The threshold with the least cost on the frames that people judged.

    Cost is ``escape_cost`` for each escape and 1 for each false alarm. Between equals, fewer frames in REVIEW
    win, then the least change. Candidates lie halfway between a judged score and the next recorded one, so a
    threshold is never equal to a score that it decides. The margin keeps its width in proportion.

    Args:
        recorded: frames scored alike (same method, words, references and weights), with finite scores.
        calibration: the one in force.
        escape_cost: at least 0.

    Raises:
        ValueError: ``escape_cost`` is negative, or a score is not finite.
    """
    if not escape_cost >= 0.0:
        raise ValueError(f"the cost of an escape is at least 0, not {escape_cost}")
    if not all(math.isfinite(one.score) for one in recorded):
        raise ValueError("every recorded score must be a finite number")
    judged = [one for one in recorded if one.truth is not None]
    good, bad = _scores(judged, "good"), _scores(judged, "defective")
    before = _effect(good, bad, calibration)

    def cost(candidate: Calibration) -> tuple[float, int, float]:
        found = _effect(good, bad, candidate)
        money = escape_cost * found.escapes + found.false_alarms
        return money, found.reviews, abs(candidate.threshold - calibration.threshold)

    best = min((with_threshold(calibration, t) for t in _candidates(recorded, calibration)), key=cost)
    # A threshold moves for the sake of verdicts on parts, never only to spare people work.
    better = cost(best)[0] < cost(calibration)[0]
    proposed = best if better else None
    after = _effect(good, bad, best) if better else before
    return Proposal(
        calibration=None if proposed is None else _with_source(proposed, len(judged)),
        before=before,
        after=after,
        good=len(good),
        defective=len(bad),
        recorded=len(recorded),
        changed=0 if proposed is None else _changed(recorded, calibration, proposed),
        auroc=auroc(good, bad),
        advice=_advice(judged, proposed or calibration, prompts),
    )


def effect(judged: Iterable[Recorded], calibration: Calibration) -> Effect:
    """Verdicts of ``calibration`` (:func:`agent.domain.verdict.decide`) against the feedback of people."""
    judged = list(judged)
    return _effect(_scores(judged, "good"), _scores(judged, "defective"), calibration)


def _effect(good: Sequence[float], bad: Sequence[float], calibration: Calibration) -> Effect:
    """The same from sorted scores, fast enough for thousands of candidates."""
    false_alarms = len(good) - bisect_right(good, calibration.threshold)
    escapes = bisect_right(bad, calibration.review_below)
    caught = len(bad) - bisect_right(bad, calibration.threshold)
    passed = bisect_right(good, calibration.review_below)
    return Effect(false_alarms, escapes, len(good) + len(bad) - false_alarms - escapes - caught - passed)


def with_threshold(calibration: Calibration, threshold: float) -> Calibration:
    """The same calibration at another threshold, its margin as wide in proportion."""
    old, below = calibration.threshold, calibration.review_below
    if threshold == old:
        return calibration
    moved_below = threshold - (old - below)
    if old > 0.0 and threshold > 0.0:
        # Not the width times a ratio of thresholds: the ratio to a tiny one exceeds a float.
        in_proportion = threshold * (below / old)
        moved_below = in_proportion if math.isfinite(in_proportion) else moved_below
    lowest = -sys.float_info.max
    return replace(calibration, threshold=threshold, review_below=max(lowest, min(threshold, moved_below)))


def auroc(good: Sequence[float], bad: Sequence[float]) -> float | None:
    """The chance that a defective part scores above a good one, ties counting half (Mann-Whitney U)."""
    if not good or not bad:
        return None
    ranked = sorted(good)
    wins = sum(bisect_left(ranked, one) + bisect_right(ranked, one) for one in bad)
    return wins / (2.0 * len(good) * len(bad))


def _candidates(recorded: Sequence[Recorded], calibration: Calibration) -> list[float]:
    scores = sorted({one.score for one in recorded})
    found = {calibration.threshold}
    for score in sorted({one.score for one in recorded if one.truth is not None}):
        at = bisect_left(scores, score)
        below, above = scores[at - 1 : at], scores[at + 1 : at + 2]
        # A score above the threshold is a defect, so the threshold may equal the score of a good part.
        found.add(_between(score, above[0]) if above else score)
        found.add(_between(below[0], score) if at else math.nextafter(score, -math.inf))
        # The same for the lower end of the margin, below which parts pass unseen.
        if at and calibration.threshold > 0.0 < calibration.review_below:
            found.add(_between(below[0], score) * calibration.threshold / calibration.review_below)
    return [threshold for threshold in sorted(found) if math.isfinite(threshold)]


def _between(low: float, high: float) -> float:
    """Halfway, at least ``low`` and less than ``high``."""
    middle = low + (high - low) / 2.0
    return middle if low <= middle < high else low


def _with_source(calibration: Calibration, judged: int) -> Calibration:
    base = calibration.source.partition(", moved by feedback")[0]
    return replace(calibration, source=f"{base}, moved by feedback on {judged} frames")


def _changed(recorded: Sequence[Recorded], old: Calibration, new: Calibration) -> int:
    return sum(_verdict(one.score, old) is not _verdict(one.score, new) for one in recorded)


def _verdict(score: float, calibration: Calibration) -> Verdict:
    return decide(score, calibration)[0]


def _scores(judged: Sequence[Recorded], truth: str) -> list[float]:
    return sorted(one.score for one in judged if one.truth == truth)


def _advice(judged: Sequence[Recorded], calibration: Calibration, prompts: PromptSet) -> tuple[str, ...]:
    good, bad = _scores(judged, "good"), _scores(judged, "defective")
    advice = []
    if 0 < len(judged) < FEW:
        advice.append(f"only {len(judged)} frames have feedback; judge more before moving a threshold")
    if good and not bad:
        advice.append(
            "no part was called defective, so it is unknown whether defects escape at a higher threshold"
        )
    if bad and not good:
        advice.append(
            "no part was called good: of the frames that would get another verdict, judge some before"
        )
    hidden = sum(score <= good[len(good) // 2] for score in bad) if good else 0
    if hidden:
        advice.append(
            f"{hidden} of {len(bad)} defective parts score no higher than the usual good part, "
            "and no threshold finds them: name the defect in the prompts "
            "(`sightline recipe export`), or enroll more references"
        )
    unnamed = _unnamed(judged, calibration, prompts)
    if unnamed:
        advice.append(f"people saw what no prompt names: {'; '.join(unnamed)}")
    alarmed = sum(score > calibration.threshold for score in good)
    if alarmed:
        advice.append(
            f"{alarmed} good parts still fail: enroll them as references, so that their look is known as good"
        )
    return tuple(advice)


def _unnamed(judged: Sequence[Recorded], calibration: Calibration, prompts: PromptSet) -> list[str]:
    """Remarks on missed defects that share no word with any prompt."""
    known = {
        word for defect in prompts.defects for text in (defect.name, *defect.phrases) for word in _words(text)
    }
    known |= {word for text in prompts.anomalous for word in _words(text)}
    found = [
        one.note.strip()
        for one in judged
        if one.truth == "defective" and one.note and one.score <= calibration.threshold
    ]
    return list(dict.fromkeys(note for note in found if note and not _words(note) & known))[:5]


def _words(text: str) -> set[str]:
    """Words that carry meaning, roughly: four letters and more, without a plural's s."""
    return {word.rstrip("s") for word in "".join(c if c.isalnum() else " " for c in text.lower()).split()
            if len(word) > 3}  # fmt: skip
