"""propose: a threshold and advice from scores that people have answered."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.calibration.proposal import Effect, Recorded, auroc, effect, propose, with_threshold
from agent.domain.calibration import Calibration
from agent.domain.prompts import NamedDefect, PromptSet
from agent.domain.verdict import Verdict, decide

WORDS = PromptSet(("a good gear",), ("a broken gear",), (NamedDefect("scratch", ("a thin line",)),))
CALIBRATION = Calibration(0.5, 0.4, 16, 0.01, "leave-one-out of 16 references", scorer="f" * 8)


def frames(good: list[float], bad: list[float], unknown: list[float] | None = None) -> list[Recorded]:
    judged = [Recorded(score, "good") for score in good] + [Recorded(score, "defective") for score in bad]
    return judged + [Recorded(score) for score in unknown or []]


def test_false_alarms_move_the_threshold_up_but_below_the_defects() -> None:
    recorded = frames([0.1, 0.2, 0.55, 0.6], [0.8, 0.9], [0.15] * 8)
    proposal = propose(recorded, CALIBRATION, WORDS)
    assert proposal.before == Effect(false_alarms=2, escapes=0, reviews=0)
    assert proposal.calibration is not None
    assert 0.6 <= proposal.calibration.threshold < 0.8
    assert proposal.after.false_alarms == proposal.after.escapes == 0
    assert (proposal.good, proposal.defective, proposal.auroc) == (4, 2, 1.0)
    assert (proposal.recorded, proposal.changed, proposal.changed_share) == (14, 2, 2 / 14)
    assert proposal.calibration.source == "leave-one-out of 16 references, moved by feedback on 6 frames"
    assert (proposal.calibration.scorer, proposal.calibration.samples) == ("f" * 8, 16)


def test_an_escape_moves_it_down() -> None:
    proposal = propose(frames([0.1, 0.12], [0.3, 0.9], [0.2, 0.25]), CALIBRATION, WORDS)
    assert proposal.before == Effect(0, 1, 0)
    assert proposal.calibration is not None
    assert decide(0.3, proposal.calibration)[0] is not Verdict.PASS
    assert proposal.after.escapes == proposal.after.false_alarms == 0


def test_an_escape_weighs_more_than_false_alarms_by_default() -> None:
    recorded = frames([0.1, 0.35, 0.36, 0.37], [0.3])
    dear = propose(recorded, CALIBRATION, WORDS)
    assert dear.calibration is not None
    assert dear.after.escapes == 0
    cheap = propose(recorded, CALIBRATION, WORDS, escape_cost=0.0)
    assert cheap.calibration is None


def test_feedback_that_agrees_proposes_nothing() -> None:
    proposal = propose(frames([0.1, 0.2], [0.9]), CALIBRATION, WORDS)
    assert proposal.calibration is None
    assert proposal.before == proposal.after
    assert proposal.changed == 0
    assert propose([], CALIBRATION, WORDS).calibration is None


def test_advice_names_what_a_threshold_cannot_mend() -> None:
    recorded = [
        *frames([0.2, 0.3, 0.31], [0.9]),
        Recorded(0.1, "defective", "burrs at the edge"),
        Recorded(0.12, "defective", "a Scratch, faint"),
    ]
    proposal = propose(recorded, CALIBRATION, WORDS, escape_cost=0.5)
    text = " | ".join(proposal.advice)
    assert "only 6 frames" in text
    assert "2 of 3 defective parts score no higher than the usual good part" in text
    assert "what no prompt names: burrs at the edge" in text
    assert "faint" not in text, "a scratch is named"
    assert "it is unknown whether defects escape" in " ".join(
        propose(frames([0.6], []), CALIBRATION, WORDS).advice
    )


def test_the_source_of_a_threshold_moved_twice_names_it_once() -> None:
    first = propose(frames([0.6], [0.9]), CALIBRATION, WORDS).calibration
    assert first is not None
    second = propose(frames([0.6, 0.8], [0.9]), first, WORDS).calibration
    assert second is not None
    assert second.source == "leave-one-out of 16 references, moved by feedback on 3 frames"


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        propose([Recorded(math.nan)], CALIBRATION, WORDS)
    with pytest.raises(ValueError, match="at least 0"):
        propose([], CALIBRATION, WORDS, escape_cost=-1.0)


finite = st.floats(-1e6, 1e6, allow_nan=False)
scores = st.one_of(finite, st.floats(0.0, 1.0), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
recordings = st.lists(st.builds(Recorded, scores, st.sampled_from([None, "good", "defective"])), max_size=25)
calibrations = st.tuples(scores, scores).map(
    lambda pair: Calibration(max(pair), min(pair), 8, 0.01, "by hand")
)


@example([Recorded(4.0, "good")], Calibration(2.2250738585072014e-308, 0.0, 8, 0.01, "by hand"), 0.0)
@given(recordings, calibrations, st.sampled_from([0.0, 1.0, 10.0]))
def test_a_proposal_is_never_worse_and_counts_as_verdicts_do(
    recorded: list[Recorded], calibration: Calibration, escape_cost: float
) -> None:
    proposal = propose(recorded, calibration, WORDS, escape_cost=escape_cost)
    costs = [escape_cost * e.escapes + e.false_alarms for e in (proposal.before, proposal.after)]
    assert costs[1] <= costs[0]
    assert (proposal.calibration is None) == (costs[1] == costs[0])
    new = proposal.calibration or calibration
    for found, used in ((proposal.before, calibration), (proposal.after, new)):
        verdicts = [(one.truth, decide(one.score, used)[0]) for one in recorded if one.truth]
        assert found == Effect(
            verdicts.count(("good", Verdict.FAIL)),
            verdicts.count(("defective", Verdict.PASS)),
            sum(verdict is Verdict.REVIEW for _, verdict in verdicts),
        )
        assert effect(recorded, used) == found
    changed = sum(decide(r.score, calibration)[0] is not decide(r.score, new)[0] for r in recorded)
    assert proposal.changed == changed
    assert 0.0 <= proposal.changed_share <= 1.0
    assert new.review_below <= new.threshold


@given(recordings, calibrations)
def test_the_order_of_frames_does_not_matter(recorded: list[Recorded], calibration: Calibration) -> None:
    one = propose(recorded, calibration, WORDS)
    assert one.calibration == propose(list(reversed(recorded)), calibration, WORDS).calibration


@given(calibrations, scores)
def test_the_margin_never_leaves_the_threshold(calibration: Calibration, threshold: float) -> None:
    new = with_threshold(calibration, threshold)
    assert new.threshold == threshold
    assert new.review_below <= threshold
    assert with_threshold(calibration, calibration.threshold).threshold == calibration.threshold


@given(st.lists(scores, max_size=12), st.lists(scores, max_size=12))
def test_auroc_is_the_share_of_pairs_in_order(good: list[float], bad: list[float]) -> None:
    pairs = [(b > g) + 0.5 * (b == g) for b in bad for g in good]
    assert auroc(good, bad) == (pytest.approx(sum(pairs) / len(pairs)) if pairs else None)
