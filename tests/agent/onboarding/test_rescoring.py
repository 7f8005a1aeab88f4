"""Recipes under other weights: thresholds are set anew from the stored references, never silently."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from agent.domain.calibration import Calibration
from agent.domain.frame import DeliveryKind
from agent.domain.recipe import Recipe, Reference
from agent.domain.regions import rectangle
from agent.inference.inspector import Inspector
from agent.methods.fade import Fade
from agent.methods.null import Null
from agent.methods.registry import MethodRegistry
from agent.onboarding.rescoring import Rescoring
from agent.recipes.cache import RecipeCache
from agent.recipes.regions import change_regions
from tests.support.encoders import ColourEncoder
from tests.support.factory import PARAMETERS, Rooms, encoded, in_use, wait_until
from tests.support.images import part, spotted
from tests.support.loopback import message
from tests.support.onboarding import onboarding
from tests.support.plant import Plant, frame

Start = Callable[..., Plant]
REFERENCES = 10


@pytest.fixture
def start(rooms: Rooms) -> Iterator[Start]:
    """``start(seed)``: the same factory with an encoder of other weights; the one before it is stopped."""
    plants: list[Plant] = []

    def start(seed: int, **options: Any) -> Plant:
        for plant in plants:
            plant.pipeline.stop()
        method = Fade(ColourEncoder(seed=seed), defaults=replace(PARAMETERS, **options))
        plants[:] = [Plant(rooms, method=method)]
        plants[-1].pipeline.start()
        return plants[-1]

    yield start
    for plant in plants:
        plant.pipeline.stop()


def enroll(plant: Plant, sku: str = "A", count: int = REFERENCES) -> None:
    first = {"A": 100, "B": 200, "C": 300}[sku]  # images of its own
    for seed in range(first, first + count):
        path = plant.rooms.media.put(encoded(part(seed)), ".png")
        plant.onboarding.add_reference(sku, Reference(path[6:70], path, f"part {seed}"))
    wait_until(lambda: not plant.rooms.book.held_references(sku), f"the references of {sku!r}")
    plant.onboarding.wait()


def active(plant: Plant, sku: str = "A") -> Recipe:
    recipe = plant.rooms.book.active(sku)
    assert recipe is not None
    return recipe


def settle(plant: Plant, rounds: int = 8) -> None:
    """Each task may hand over the next one."""
    for _ in range(rounds):
        plant.onboarding.wait()
    plant.event_log.flush()


def threshold(recipe: Recipe) -> Calibration:
    assert recipe.calibration is not None
    return recipe.calibration


def events(plant: Plant) -> list[dict[str, Any]]:
    return [dict(row) for row in plant.rooms.rows("event") if row["kind"] == "recalibration"]


def test_the_same_recipe_judges_with_a_threshold_of_the_new_weights(start: Start) -> None:
    plant = start(0)
    enroll(plant)
    before = active(plant)
    plant = start(1)
    settle(plant)
    after = active(plant)
    assert (after.version, after.parent, after.origin) == (before.version + 1, before.version, "enrollment")
    assert after.references == before.references
    assert after.prompts.digest == before.prompts.digest
    assert threshold(after).scorer == plant.inspector.fingerprint(after) != threshold(before).scorer
    assert threshold(after).samples == after.shots
    assert after.note is not None
    assert f"threshold set from {threshold(before).threshold:.4g} to" in after.note
    (event,) = events(plant)
    assert f"version {after.version}: other weights" in event["message"]
    bad = message(DeliveryKind.FRAME, encoded(spotted(501)), sku="A", frame_id="bad")
    plant.inspected(frame(500), bad)
    rows = plant.by_frame()
    assert (rows["f-500"]["verdict"], rows["bad"]["verdict"]) == ("PASS", "FAIL")
    assert rows["bad"]["threshold"] == pytest.approx(threshold(after).threshold)


def test_the_same_weights_change_nothing(start: Start) -> None:
    enroll(start(0))
    plant = start(0)
    settle(plant)
    assert active(plant).version == 1 + 1  # the template, then its references
    assert not events(plant)


def test_other_parameters_are_another_scorer(start: Start) -> None:
    enroll(start(0))
    plant = start(0, smoothing=1)
    settle(plant)
    assert len(events(plant)) == 1


def test_every_product_has_its_turn_and_one_that_fails_stops_nobody(start: Start) -> None:
    plant = start(0)
    for sku in ("A", "B", "C"):
        enroll(plant, sku)
    (plant.rooms.folder / "media" / active(plant, "B").references[3].path).unlink()
    versions = {sku: active(plant, sku).version for sku in "ABC"}
    plant = start(1)
    settle(plant, 12)
    changed = {sku: active(plant, sku).version - version for sku, version in versions.items()}
    assert changed == {"A": 1, "B": 0, "C": 1}
    assert plant.events().count("recalibration-failed") == 1


def test_a_threshold_that_a_person_chose_is_named_with_a_warning(start: Start) -> None:
    plant = start(0)
    enroll(plant)
    enrolled = active(plant)
    chosen = replace(threshold(enrolled), threshold=7.5, review_below=7.0)
    plant.rooms.book.add(replace(enrolled, calibration=chosen, origin="person", id=None, version=0))
    plant = start(1)
    settle(plant)
    (event,) = events(plant)
    assert "threshold set from 7.5, which a person had chosen, to" in event["message"]
    assert event["severity"] == "warning"
    assert threshold(active(plant)).threshold < 7.0


def test_too_few_references_leave_the_version_in_force_with_a_warning(start: Start) -> None:
    plant = start(0)
    enroll(plant, count=3)
    few = active(plant)
    confirmed = Calibration(1.0, 0.9, 20, 0.01, "with frames that people confirmed", scorer=few_scorer(plant))
    plant.rooms.book.add(replace(few, calibration=confirmed, origin="recalibration", id=None, version=0))
    version = active(plant).version
    plant = start(1)
    settle(plant)
    assert active(plant).version == version
    (event,) = events(plant)
    assert "3 references are too few for another: its verdicts are REVIEW until it has 8" in event["message"]
    plant.inspected(frame(1))
    assert plant.by_frame()["f-1"]["verdict"] == "REVIEW"
    settle(plant)
    assert len(events(plant)) == 1  # and not again with every frame
    plant = start(0)  # the weights it was calibrated for
    settle(plant)
    plant.inspected(frame(2))
    assert plant.by_frame()["f-2"]["verdict"] == "PASS"


def few_scorer(plant: Plant) -> str:
    return plant.inspector.fingerprint(active(plant))


def test_a_recipe_that_comes_later_has_its_turn_with_its_first_frame_but_once(start: Start) -> None:
    plant = start(0)
    enroll(plant)
    old = active(plant)
    plant = start(1)
    settle(plant)
    mine = active(plant)
    plant.inspected(frame(1))

    # A colleague with other weights on the same database begins after us: nobody takes turns for ever.
    plant.rooms.book.activate("A", old.version)
    for seed in range(2, 40):
        plant.inspected(frame(seed))
        settle(plant, 2)
        if plant.by_frame()[f"f-{seed}"]["verdict"] == "REVIEW":
            break
    else:
        pytest.fail("the older version was never loaded")
    assert active(plant).version == old.version
    assert plant.rooms.book.get("A", mine.version + 1) is None

    # A product that was not there at the start: its recipe came from another site.
    imported = replace(old, sku="B", id=None, version=0, parent=None, origin="import")
    plant.rooms.book.add(imported)
    plant.inspected(frame(100, sku="B"))
    settle(plant)
    assert threshold(active(plant, "B")).scorer == plant.inspector.fingerprint(active(plant, "B"))
    plant.inspected(frame(101, sku="B"))
    assert plant.by_frame()["f-101"]["verdict"] == "PASS"


def test_each_change_of_regions_gets_a_threshold_of_its_own(start: Start) -> None:
    plant = start(0)
    enroll(plant)
    for number, side in enumerate((0.25, 0.5), start=1):
        before = active(plant)
        changed = change_regions(before, ignore=[rectangle(0.0, 0.0, side, 0.5)])
        assert changed.calibration == before.calibration, "its scorer shows that it does not apply"
        version = plant.rooms.book.add(changed).version
        wait_until(partial(takes_over, plant, version), "the new regions")
        settle(plant)
        now = active(plant)
        assert threshold(now).scorer == plant.inspector.fingerprint(now)
        assert (now.version, len(now.regions.ignore)) == (version + 1, number)
        plant.inspected(frame(400 + number))
        assert plant.by_frame()[f"f-{400 + number}"]["verdict"] == "PASS"


def takes_over(plant: Plant, version: int) -> bool:
    return in_use(plant.recipe_cache, "A").recipe.version >= version


def test_a_pipeline_without_a_model_leaves_thresholds_alone(start: Start, rooms: Rooms) -> None:
    """``inspection.method: "null"`` replaces every method, to measure the agent."""
    enroll(start(0))
    inspector = Inspector(MethodRegistry.only(Null(0.0), "null"))
    cache = RecipeCache(rooms.book, inspector, rooms.media, rooms.codec, method="null")
    measured = onboarding(rooms, cache, inspector, method="null")
    measured.start()
    for _ in range(4):
        measured.wait()
    measured.close()
    cache.close()
    assert rooms.book.active_version("A") == 2


def test_nothing_is_begun_while_the_agent_ends(start: Start, rooms: Rooms) -> None:
    plant = start(0)
    enroll(plant)
    plant.pipeline.stop()
    inspector = Inspector(Fade(ColourEncoder(seed=1), defaults=PARAMETERS))
    cache = RecipeCache(rooms.book, inspector, rooms.media, rooms.codec, method="fade")
    ending = onboarding(rooms, cache, inspector)
    ending.close()
    cache.rescoring = Rescoring(ending._context, ending._recipe_tasks)
    assert in_use(cache, "A").recipe.calibration is None
    cache.close()
    assert rooms.book.active_version("A") == 2
