"""``play``: the frames of the calibration study in production, with operators who answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from adapters.cli.screen import number
from adapters.lab.studies.report import Report, interval, percent
from agent.calibration.feedback_weights import weigh_feedback
from agent.calibration.recalibrate import recalibrate
from agent.calibration.threshold import CalibrationPolicy
from agent.domain.calibration import Calibration
from agent.domain.verdict import Verdict, decide
from agent.ports.samples import JudgedScore

STAGES = (250, 500, 1000, 1500)
"""After so many frames the agent looks at the threshold again."""

SETTLED = 500
"""Frames after these are also counted by themselves: what a line sees once answers have had an effect."""

AIM = (0.3, 3.0)
"""A product is where it should be when it realises between these multiples of the rate asked for."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many frames of so many."""

    hits: int
    of: int

    @property
    def share(self) -> float | None:
        """None if there were none."""
        return self.hits / self.of if self.of else None

    def __add__(self, other: Share) -> Share:
        return Share(self.hits + other.hits, self.of + other.of)


NOTHING = Share(0, 0)


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one product's frames."""

    thresholds: tuple[float | None, ...]
    """The first, and each that was set later."""
    alarms: Share
    """Good frames that FAILed, by the threshold in force when they came."""
    alarms_settled: Share
    caught: Share
    caught_settled: Share
    answers: int
    """How many frames the operator was asked about."""


def play(
    references: Sequence[float],
    calibration: Calibration | None,
    good: Sequence[float],
    defective: Sequence[float],
    policy: CalibrationPolicy,
    seed: int,
) -> Played:
    """Frames come in one order and are judged by the threshold in force; the operator answers truly on each
    FAIL and REVIEW, and the agent's estimator looks at them after each of :data:`STAGES`.

    Args:
        references: leave-one-out scores that ``calibration`` was set from.
        good: scores of good frames; ``defective``: of defective ones.
        seed: of the order.
    """
    truth = np.random.default_rng(seed).permutation([True] * len(good) + [False] * len(defective)).tolist()
    waiting = {True: iter(good), False: iter(defective)}
    judged, failed = list[JudgedScore](), list[bool]()
    in_force, thresholds = calibration, [calibration.threshold if calibration else None]
    for index, is_good in enumerate(truth):
        if index in STAGES:
            renewed = recalibrate(references, weigh_feedback(judged, policy), policy, before=in_force)
            if renewed is not None:
                in_force = renewed
                thresholds.append(renewed.threshold)
        score = next(waiting[is_good])
        verdict, _ = decide(score, in_force, len(references))
        failed.append(verdict is Verdict.FAIL)
        passed, limit = verdict is Verdict.PASS, in_force.threshold if in_force else None
        word = None if passed else bool(is_good)
        judged.append(JudgedScore(score, passed, word, len(thresholds), limit))
    return Played(
        tuple(thresholds),
        _share(failed, truth, True),
        _share(failed[SETTLED:], truth[SETTLED:], True),
        _share(failed, truth, False),
        _share(failed[SETTLED:], truth[SETTLED:], False),
        sum(one.good is not None for one in judged),
    )


def _share(failed: Sequence[bool], truth: Sequence[bool], which: bool) -> Share:
    of = [fail for fail, good in zip(failed, truth, strict=True) if good is which]
    return Share(sum(of), len(of))


def answers_report(played: Mapping[str, Played], rate: float) -> Report:
    """The second table of the calibration study."""
    low, high = AIM[0] * rate, AIM[1] * rate
    later = f"from {SETTLED + 1}"
    columns = ("product", "first threshold", "last threshold", "false alarms", f"alarms {later}",
               "interval (95 %)", "defects caught", f"caught {later}", "asked about")  # fmt: skip
    every = tuple(played.values())

    def together(which: Callable[[Played], Share]) -> Share:
        return sum((which(one) for one in every), NOTHING)

    total = Played(
        (),
        together(lambda one: one.alarms),
        together(lambda one: one.alarms_settled),
        together(lambda one: one.caught),
        together(lambda one: one.caught_settled),
        sum(one.answers for one in every),
    )
    all_inside, all_sentence = _inside([one.alarms for one in every], low, high)
    settled_inside, settled_sentence = _inside([one.alarms_settled for one in every], low, high)
    notes = [
        f"asked for: {percent(rate)} false alarms; {all_sentence}",
        f"from frame {SETTLED + 1} on: {settled_sentence}",
        "good and defective frames in one random order, each judged by the threshold in force; operators "
        "answer every FAIL and REVIEW; the threshold is looked at after "
        f"{', '.join(map(str, STAGES))} frames and stands if it is within its own error",
    ]
    figures = {
        "stages": list(STAGES),
        "settled": SETTLED,
        "inside": all_inside,
        "inside_settled": settled_inside,
        "products": {name: _figures(one) for name, one in played.items()},
        "all": _figures(total),
    }
    rows = [_cells(name, one) for name, one in [*played.items(), ("all together", total)]]
    return Report("with operators who answer", columns, rows, notes, figures)


def _inside(shares: Sequence[Share], low: float, high: float) -> tuple[int, str]:
    rates = [one.share for one in shares if one.share is not None]
    inside = sum(low <= rate <= high for rate in rates)
    return inside, (
        f"{inside} of {len(rates)} products realise {percent(low)} to {percent(high)}; median "
        f"{percent(median(rates) if rates else None)}, lowest {percent(min(rates, default=None))}, highest "
        f"{percent(max(rates, default=None))}"
    )


def _cells(name: str, one: Played) -> list[str]:
    ends = (one.thresholds[0], one.thresholds[-1]) if one.thresholds else (None, None)
    return [
        name,
        *(number(end) for end in ends),
        percent(one.alarms.share),
        percent(one.alarms_settled.share),
        _interval(one.alarms_settled),
        percent(one.caught.share, 1),
        percent(one.caught_settled.share, 1),
        str(one.answers),
    ]


def _interval(share: Share) -> str:
    low, high = interval(share.hits, share.of)
    return f"{100 * low:.2f} - {100 * high:.2f} %"


def _figures(one: Played) -> dict[str, Any]:
    shares = {
        "false_alarm_rate": one.alarms.share,
        "false_alarm_rate_settled": one.alarms_settled.share,
        "caught_rate": one.caught.share,
        "caught_rate_settled": one.caught_settled.share,
    }
    return {**asdict(one), "thresholds": list(one.thresholds), **shares}
