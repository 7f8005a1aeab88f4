"""Inspections and feedback validate themselves."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Feedback, Inspection
from agent.domain.verdict import Verdict

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
IDENTITY = FrameIdentity(Camera("plant", "line-1", "top"), "f-1")


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_cannot_become_a_row(score: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Inspection("i", IDENTITY, "A", Verdict.FAIL, "", NOW, NOW, score=score)


def test_an_inspection_may_have_no_score() -> None:
    inspection = Inspection("i", IDENTITY, None, Verdict.ERROR, "unreadable", NOW, NOW)
    assert (inspection.score, inspection.size, inspection.defects) == (None, None, ())
    assert not inspection.calibrated


def test_feedback_is_good_or_defective() -> None:
    with pytest.raises(ValueError, match='"good" or "defective"'):
        Feedback("maybe", NOW, inspection_id="i")


@pytest.mark.parametrize("names", [{}, {"inspection_id": "i", "frame_id": "f"}])
def test_feedback_names_an_inspection_or_a_frame(names: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="one of them"):
        Feedback("good", NOW, **names)
    assert Feedback("good", NOW, frame_id="f").inspection_id is None
