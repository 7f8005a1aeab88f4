"""Frames, jobs and deliveries validate themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.domain.frame import (
    MAX_SKU,
    MEDIA_TYPE_OF,
    SUFFIX_OF,
    Camera,
    Delivery,
    DeliveryKind,
    Frame,
    FrameIdentity,
    Image,
    Job,
    derived_frame_id,
)

CAMERA = Camera("plant", "line-1", "top")
NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


def test_a_camera_is_written_as_the_levels_of_its_topics() -> None:
    assert str(CAMERA) == "plant/line-1/top"
    assert sorted([Camera("b", "a", "a"), Camera("a", "b", "c")])[0].site == "a"


def test_a_frame_knows_its_size() -> None:
    frame = Frame(FrameIdentity(CAMERA, "1"), np.zeros((3, 5, 3), np.uint8), b"", "image/png", NOW)
    assert (frame.width, frame.height) == (5, 3)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((3, 5), np.uint8),
        np.zeros((3, 5, 4), np.uint8),
        np.zeros((3, 5, 3), np.float32),
    ],
)
def test_a_frame_is_rgb_of_eight_bits(image: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="uint8 RGB"):
        Frame(FrameIdentity(CAMERA, "1"), cast("Image", image), b"", "image/png", NOW)


@pytest.mark.parametrize("length", [0, MAX_SKU + 1])
def test_a_job_refuses_a_sku_that_no_row_can_hold(length: int) -> None:
    with pytest.raises(ValueError, match=f"this one has {length}"):
        Job("x" * length)


def test_the_longest_sku_is_accepted() -> None:
    assert Job("x" * MAX_SKU).sku == "x" * MAX_SKU


def test_a_delivery_without_acknowledgement_can_be_acknowledged() -> None:
    delivery = Delivery(DeliveryKind.FRAME, CAMERA, b"", NOW)
    delivery.acknowledge()
    assert not delivery.redelivered


def test_a_frame_without_an_id_is_known_by_its_camera_and_its_bytes() -> None:
    # Written out: rows of earlier versions carry ids made in this way, and a frame that comes again is known.
    assert derived_frame_id(CAMERA, b"pixels") == "h-4dfac78876715b4d69e0ad50"
    elsewhere = Camera("plant", "line-2", "top")
    assert derived_frame_id(elsewhere, b"pixels") != derived_frame_id(CAMERA, b"pixels")


def test_every_media_type_has_a_suffix_that_leads_back_to_it() -> None:
    assert {MEDIA_TYPE_OF[suffix] for suffix in SUFFIX_OF.values()} == set(SUFFIX_OF)
    assert set(MEDIA_TYPE_OF.values()) == set(SUFFIX_OF)
