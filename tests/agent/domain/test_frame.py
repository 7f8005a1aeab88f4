"""The nouns of a frame."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.domain.frame import MAX_SKU, Camera, Delivery, DeliveryKind, Frame, FrameIdentity, Image, Job

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
