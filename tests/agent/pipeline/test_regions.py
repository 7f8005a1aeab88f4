"""Regions in the pipeline: of a camera and of a recipe, by configuration and by message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from agent.calibration.threshold import CalibrationPolicy
from agent.domain.camera_rules import CameraRules
from agent.domain.frame import Camera, DeliveryKind, Image
from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.domain.regions import Regions, rectangle
from agent.enrollment.enroll import enroll
from agent.ports import Brief, Description
from agent.ports.language import LanguageModel
from tests.support.factory import Rooms, encoded, in_use, wait_until
from tests.support.images import part, spotted
from tests.support.loopback import CAMERA, Sent, message
from tests.support.plant import Plant

Start = Callable[..., Plant]
CLOCKED = Camera(CAMERA.site, CAMERA.line, "clocked")
CLOCK = Regions(ignore=(rectangle(0.0, 0.0, 0.5, 0.125),))
RULES = {f"{CLOCKED.line}/{CLOCKED.camera}": CameraRules(regions=CLOCK)}
SHOTS = 9


@pytest.fixture
def start(rooms: Rooms) -> Iterator[Start]:
    plants: list[Plant] = []

    def start(**options: Any) -> Plant:
        plant = Plant(rooms, **options)
        plant.pipeline.start()
        plants.append(plant)
        return plant

    yield start
    for plant in plants:
        plant.pipeline.stop()


def with_clock(image: Image) -> Image:
    clocked = image.copy()
    clocked[1:7, 1:31] = 255
    return clocked


def frame(name: str, image: Image, camera: Camera = CAMERA) -> Sent:
    return message(DeliveryKind.FRAME, encoded(image), camera, sku="A", frame_id=name)


def enrolled(plant: Plant, regions: Regions | None = None) -> Recipe:
    """Nine good parts of ``A`` without a clock, calibrated and stored."""
    rooms = plant.rooms
    images = [part(seed) for seed in range(SHOTS)]
    paths = [rooms.media.put(encoded(image), ".png") for image in images]
    references = tuple(Reference(path[6:70], path, path) for path in paths)
    draft = replace(template_recipe("A", "fade"), references=references, regions=regions or Regions())
    return rooms.book.add(enroll(plant.inspector, draft, images, policy=CalibrationPolicy(0.01)).recipe)


def verdicts(plant: Plant) -> dict[str, str]:
    return {name: row["verdict"] for name, row in plant.by_frame().items()}


def test_a_cameras_ignored_region_concerns_its_own_frames_alone(start: Start) -> None:
    plant = start(named_rules=RULES)
    enrolled(plant)
    plant.inspected(
        frame("elsewhere", with_clock(part(50))),
        frame("ignored", with_clock(part(50)), CLOCKED),
        frame("bad", with_clock(spotted(51)), CLOCKED),
        frame("plain", part(52)),
    )
    assert verdicts(plant) == {"elsewhere": "FAIL", "ignored": "PASS", "bad": "FAIL", "plain": "PASS"}
    row = plant.by_frame()["bad"]
    media = plant.rooms.media
    mask = cv2.imdecode(np.frombuffer(media.get(row["mask_path"]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert not mask[~CLOCK.mask(64, 64)].any()
    overlay = plant.rooms.codec.decode(media.get(row["overlay_path"]))
    assert overlay[30:50, 20:300].mean() < 0.7 * 255, "the white clock is darkened"


def test_a_cameras_threshold_is_set_from_what_it_inspects(start: Start) -> None:
    plant = start(named_rules=RULES)
    recipe = enrolled(plant)
    assert recipe.calibration is not None
    own = recipe.calibration.threshold
    plant.inspected(frame("first", part(50), CLOCKED))

    def threshold() -> float:
        calibration = in_use(plant.recipe_cache, "A", CLOCK).recipe.calibration
        assert calibration is not None
        return calibration.threshold

    wait_until(lambda: threshold() != own, "the camera's threshold")
    seen = enrolled(plant, CLOCK).calibration
    assert seen is not None
    assert threshold() == pytest.approx(seen.threshold)
    assert plant.rooms.book.get("A", 1) == recipe, "what is stored has not changed"


def test_a_threshold_that_a_person_chose_stays_the_cameras_too(start: Start) -> None:
    plant = start(named_rules=RULES)
    recipe = enrolled(plant)
    assert recipe.calibration is not None
    chosen = replace(recipe.calibration, threshold=0.7, review_below=0.6)
    plant.rooms.book.add(replace(recipe, calibration=chosen, origin="person"))
    plant.inspected(frame("bad", with_clock(spotted(51)), CLOCKED))
    plant.recipe_cache.close()  # after what is under way
    calibration = in_use(plant.recipe_cache, "A", CLOCK).recipe.calibration
    assert calibration is not None
    assert calibration.threshold == 0.7


def test_an_unknown_product_is_seen_through_the_cameras_regions(start: Start) -> None:
    plant = start(named_rules=RULES)
    plant.inspected(frame("a", with_clock(part(50)), CLOCKED), frame("b", part(50), CLOCKED))
    one, other = (plant.by_frame()[name] for name in "ab")
    assert one["score"] == other["score"]


def test_regions_that_leave_nothing_end_as_error_with_a_remedy(start: Start) -> None:
    plant = start(named_rules=RULES)
    enrolled(plant, Regions(inspect=(rectangle(0.0, 0.0, 0.4, 0.1),)))
    (row,) = plant.inspected(frame("a", part(50), CLOCKED))
    assert (row["verdict"], "the regions leave nothing" in row["reason"]) == ("ERROR", True)


def test_a_message_changes_regions_and_the_threshold_follows(start: Start) -> None:
    plant = start()
    before = enrolled(plant)
    plant.inspected(frame("before", with_clock(part(50))))
    command = {"command": "recipe.region", "sku": "A", "ignore": [[0.0, 0.0, 0.5, 0.125]]}
    asked = message(DeliveryKind.COMMAND, json.dumps(command).encode())
    plant.deliver(asked)
    plant.acknowledged(asked)

    def threshold_is_set() -> bool:
        plant.deliver(frame(f"f-{len(plant.rows())}", part(60)))
        active = plant.rooms.book.active("A")
        return active is not None and active.version == before.version + 2

    wait_until(threshold_is_set, "the threshold of the new regions")
    active = plant.rooms.book.active("A")
    assert active is not None
    assert active.calibration is not None
    assert (active.regions, active.references, active.prompts) == (CLOCK, before.references, before.prompts)
    assert active.calibration.scorer == plant.inspector.fingerprint(active)

    def takes_over() -> bool:
        return in_use(plant.recipe_cache, "A").recipe.version == active.version

    wait_until(takes_over, "the new version")
    plant.inspected(frame("after", with_clock(part(50))), frame("bad", with_clock(spotted(51))))
    found = verdicts(plant)
    assert (found["before"], found["after"], found["bad"]) == ("FAIL", "PASS", "FAIL")


class Looking:
    """A language model that keeps what it was shown."""

    def __init__(self) -> None:
        self.briefs: list[Brief] = []

    def look(self) -> LanguageModel:
        return LanguageModel("eyes", "d1", "here")

    def describe(self, brief: Brief) -> Description:
        self.briefs.append(brief)
        words = template_recipe("A", "fade").prompts
        return Description("part", ("part",), words)

    def close(self) -> None:
        pass


def test_a_vision_model_sees_neither_a_cameras_nor_a_recipes_ignored_regions(start: Start) -> None:
    model = Looking()
    plant = start(named_rules=RULES, writer=model)
    inspected = Regions(inspect=(rectangle(0.0, 0.0, 0.75, 1.0),))
    plant.rooms.book.add(replace(template_recipe("A", "fade"), regions=inspected))
    plant.inspected(*(frame(f"f-{seed}", with_clock(part(seed)), CLOCKED) for seed in range(4)))
    job = {"sku": "A", "name": "steel part"}
    plant.deliver(message(DeliveryKind.JOB, json.dumps(job).encode(), CLOCKED))
    wait_until(lambda: model.briefs, "a description")
    images = model.briefs[0].images
    assert images
    for image in images:
        assert image.shape == (64, 48, 3), "cropped to what the recipe inspects"
        assert len(np.unique(image[:8, :32])) == 1, "and blank where the camera ignores"
        assert len(np.unique(image[8:])) > 10
