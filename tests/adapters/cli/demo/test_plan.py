"""The plan of ``sightline demo``: which parts it produces."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cli.demo.plan import FIRST_SEED, LEAST_FRAMES, make_plan, share_out
from adapters.simulator import HELD_OUT


@given(st.integers(LEAST_FRAMES, 500))
def test_all_frames_are_shared_out(frames: int) -> None:
    assert make_plan(frames, seed=0).frames == frames


@given(st.integers(0, 1000), st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
def test_shares_are_whole_and_within_one_of_exact(total: int, shares: list[float]) -> None:
    counts = share_out(total, shares)
    assert sum(counts) == total
    for count, share in zip(counts, shares, strict=True):
        assert abs(count - total * share / sum(shares)) < 1 + 1e-9


def test_the_factory_has_what_the_demonstration_promises() -> None:
    plan = make_plan(160, seed=0)
    assert len(plan.cameras) >= 2
    assert len({article.sku for article in plan.articles}) >= 3
    assert any(len(camera.articles) > 1 for camera in plan.cameras), "no changeover"
    assert {article.enrolled for article in plan.articles} == {True, False}
    assert not {article.family for article in plan.articles} & HELD_OUT
    for camera in plan.cameras:
        assert camera.feed.station.seed >= FIRST_SEED
        assert all(run.product.seed >= FIRST_SEED for run in camera.feed.runs)
        assert all(0.25 <= run.rejects / run.frames <= 0.30 for run in camera.feed.runs)


def test_a_shot_carries_its_truth() -> None:
    camera = make_plan(LEAST_FRAMES, seed=3).cameras[0]
    for shot in itertools.islice(camera.shots(), 8):
        mask = cv2.imdecode(np.frombuffer(shot.mask, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        assert (shot.truth == "defective") == bool(mask.any()) == (shot.defect is not None)
        assert shot.encoded.startswith(b"\xff\xd8")


def test_the_same_seed_gives_the_same_images_and_another_one_does_not() -> None:
    first, again, other = (next(make_plan(30, seed).cameras[0].shots()).encoded for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        make_plan(LEAST_FRAMES - 1, seed=0)
