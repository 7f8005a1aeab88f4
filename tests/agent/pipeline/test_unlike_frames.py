"""A frame unlike its references in form says so in its reason, and once as an event."""

from __future__ import annotations

import numpy as np
import pytest

from agent.domain.frame import Camera, DeliveryKind, Image
from tests.support.factory import encoded, in_use, wait_until
from tests.support.images import part
from tests.support.loopback import CAMERA, Sent, message
from tests.support.plant import Plant


def sent(
    frame_id: str, image: Image, camera: Camera = CAMERA, kind: DeliveryKind = DeliveryKind.FRAME
) -> Sent:
    return message(kind, encoded(np.ascontiguousarray(image)), camera, sku="A", frame_id=frame_id)


@pytest.fixture
def enrolled(plant: Plant) -> Plant:
    """With ten references of 64 x 64 pixels in force."""
    references = [sent(f"r-{seed}", part(seed), kind=DeliveryKind.REFERENCE) for seed in range(10)]
    plant.deliver(*references)
    plant.acknowledged(*references)
    plant.inspected(sent("first", part(20)))
    wait_until(lambda: in_use(plant.recipe_cache, "A").recipe.calibration is not None, "the enrollment")
    return plant


def test_it_is_in_the_reason_and_one_event_of_the_camera(enrolled: Plant) -> None:
    other = Camera(CAMERA.site, CAMERA.line, "another")
    wide = part(30)[:40]
    enrolled.inspected(sent("good", part(31)))
    assert "frame-unlike-references" not in enrolled.events()
    enrolled.inspected(sent("w-1", wide), sent("w-2", wide), sent("w-3", wide, other))
    enrolled.event_log.flush(everything=True)
    rows = enrolled.by_frame()
    for frame_id in ("w-1", "w-2", "w-3"):
        assert rows[frame_id]["verdict"] in ("PASS", "REVIEW", "FAIL")
        if rows[frame_id]["verdict"] != "PASS":
            assert "unlike its references in form: its width is 1.60 times" in rows[frame_id]["reason"]
    events = [one for one in enrolled.rooms.rows("event") if one["kind"] == "frame-unlike-references"]
    assert sorted(one["camera"] for one in events) == sorted((str(CAMERA), str(other)))
    assert all("its width is 1.60 times its height and theirs 1.00 times" in one["message"] for one in events)
