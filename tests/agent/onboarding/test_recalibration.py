"""Thresholds follow judged frames and feedback; first frames become references if an operator says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.frame import DeliveryKind
from agent.domain.recipe import Recipe, Reference
from agent.enrollment.first_frames import commission
from agent.methods.prepared import Method
from tests.support.factory import Rooms, encoded, wait_until
from tests.support.images import part
from tests.support.loopback import Sent, message
from tests.support.plant import GatedFade, Plant, frame

Start = Callable[..., Plant]
REFERENCES = 10


@pytest.fixture
def start(rooms: Rooms) -> Iterator[Start]:
    plants: list[Plant] = []

    def start(*, method: Method | None = None, **options: Any) -> Plant:
        plants.append(Plant(rooms, method=method, onboarding_options=options))
        plants[-1].pipeline.start()
        return plants[-1]

    yield start
    for plant in plants:
        plant.pipeline.stop()


def active(plant: Plant) -> Recipe:
    recipe = plant.rooms.book.active("A")
    assert recipe is not None
    return recipe


def enrolled(plant: Plant) -> Recipe:
    for seed in range(100, 100 + REFERENCES):
        plant.deliver(
            message(DeliveryKind.REFERENCE, encoded(part(seed)), sku="A", frame_id=f"reference-{seed}")
        )
    wait_until(lambda: plant.rooms.book.active("A") and active(plant).shots == REFERENCES, "the references")
    return active(plant)


def judged(frame_id: str, truth: str) -> Sent:
    return message(DeliveryKind.FEEDBACK, json.dumps({"frame_id": frame_id, "truth": truth}).encode())


def other(seed: int) -> Sent:
    """A good part of a batch that scores higher than the references do."""
    return message(DeliveryKind.FRAME, encoded(part(seed, noise=30.0)), sku="A", frame_id=f"f-{seed}")


def give_feedback(plant: Plant, seeds: range, truth: str) -> None:
    feedback = [judged(f"f-{seed}", truth) for seed in seeds]
    plant.deliver(*feedback)
    plant.acknowledged(*feedback)


def run(plant: Plant, task: str) -> None:
    """Run a task of the schedule, wait for the recipe tasks that follow, and store their events."""
    plant.schedule.run(task)
    plant.onboarding.wait()
    plant.event_log.flush()


@pytest.mark.slow
def test_frames_that_people_call_good_move_the_threshold_in_a_version_of_its_own(start: Start) -> None:
    plant = start()
    before = enrolled(plant)
    assert before.calibration is not None
    plant.inspected(*(other(seed) for seed in range(20)))
    assert {row["verdict"] for row in plant.rows()} == {"FAIL"}
    give_feedback(plant, range(20), "good")
    run(plant, "recalibration")
    after = active(plant)
    assert (after.version, after.parent, after.origin) == (
        before.version + 1,
        before.version,
        "recalibration",
    )
    assert after.calibration is not None
    assert after.calibration.threshold > max(row["score"] for row in plant.rows())
    assert after.calibration.samples == REFERENCES + 20
    sources = "from 10 references and 20 judged frames, 20 of which people called good"
    assert sources in after.calibration.source
    assert after.note is not None
    assert after.note.endswith(sources)
    assert after.calibration.map_threshold == before.calibration.map_threshold
    assert after.references == before.references
    assert plant.rooms.book.get("A", before.version) == before  # a version never changes
    assert plant.events().count("recalibration") == 1
    run(plant, "recalibration")
    assert active(plant).version == after.version  # nothing new came


def test_frames_as_the_references_leave_the_threshold_as_it_is(start: Start) -> None:
    plant = start()
    before = enrolled(plant)
    plant.inspected(*(frame(seed) for seed in range(20)))
    give_feedback(plant, range(20), "good")
    run(plant, "recalibration")
    assert active(plant).version == before.version  # within its own error


def test_references_are_scored_once_for_all_rounds(start: Start) -> None:
    method = GatedFade()
    plant = start(method=method)
    enrolled(plant)
    plant.inspected(*(frame(seed) for seed in range(20)))
    give_feedback(plant, range(20), "good")
    scored = [method.scored]
    for _ in range(3):
        run(plant, "recalibration")
        scored.append(method.scored)
    assert scored == [scored[0], *[scored[0] + REFERENCES] * 3]


def test_four_frames_are_too_few_for_a_version(start: Start) -> None:
    plant = start()
    before = enrolled(plant)
    plant.inspected(*(other(seed) for seed in range(4)))
    give_feedback(plant, range(4), "good")
    run(plant, "recalibration")
    assert active(plant).version == before.version


@pytest.mark.slow
@pytest.mark.parametrize("truth", [None, "defective"])
def test_frames_that_nobody_calls_good_do_not_move_the_threshold(start: Start, truth: str | None) -> None:
    plant = start()
    before = enrolled(plant)
    plant.inspected(*(other(seed) for seed in range(20)))
    if truth is not None:
        give_feedback(plant, range(20), "good")
        give_feedback(plant, range(20), truth)  # the last feedback counts
    run(plant, "recalibration")
    assert active(plant).version == before.version


@pytest.mark.slow
def test_feedback_alone_calibrates_a_product_without_references(start: Start) -> None:
    plant = start()
    plant.inspected(*(frame(seed) for seed in range(12)))
    plant.onboarding.wait()
    plant.inspected(*(frame(seed) for seed in range(12, 24)))
    assert active(plant).calibration is None
    give_feedback(plant, range(12, 20), "good")
    run(plant, "recalibration")
    calibration = active(plant).calibration
    assert calibration is not None
    assert calibration.samples == 8  # without a threshold, unanswered frames do not count
    assert "threshold set for the first time" in (active(plant).note or "")


def test_feedback_on_frames_of_another_recipe_does_not_count(start: Start) -> None:
    plant = start()
    plant.inspected(*(other(seed) for seed in range(20)))  # judged by the template, on another scale
    before = enrolled(plant)
    give_feedback(plant, range(20), "good")
    run(plant, "recalibration")
    assert active(plant).version == before.version


def test_first_frames_become_references_if_an_operator_answers_for_them(start: Start) -> None:
    plant = start(commission=9)
    plant.inspected(*(frame(seed) for seed in range(8)))
    plant.schedule.run("commissioning")
    plant.onboarding.wait()
    assert active(plant).shots == 0  # one is missing
    plant.inspected(*(frame(seed) for seed in range(8, 12)))
    plant.schedule.run("commissioning")
    wait_until(lambda: active(plant).shots == 9, "the references")
    recipe = active(plant)
    assert [one.name for one in recipe.references] == [f"f-{seed}" for seed in range(9)]
    assert recipe.calibration is not None
    plant.event_log.flush()
    assert plant.events().count("commissioned") == 1


def test_commissioning_leaves_out_what_a_person_called_defective(start: Start) -> None:
    plant = start(commission=8)
    plant.inspected(*(frame(seed) for seed in range(9)))
    plant.inspected(judged("f-3", "defective"))
    plant.schedule.run("commissioning")
    wait_until(lambda: active(plant).shots, "the references")
    named = [one.name for one in active(plant).references]
    assert "f-3" not in named
    plant.onboarding.wait()
    plant.event_log.flush()
    left_out = [e["message"] for e in plant.rooms.rows("event") if e["kind"] == "reference-left-out"]
    assert len(named) + len(left_out) == 8  # the next one came in its place, and all are accounted for


def test_nothing_is_taken_as_good_unasked(start: Start) -> None:
    plant = start()
    plant.inspected(*(frame(seed) for seed in range(20)))
    assert "commissioning" not in plant.schedule.periodic


@pytest.mark.slow
def test_a_threshold_that_a_person_chose_stands(start: Start) -> None:
    plant = start()
    before = enrolled(plant)
    chosen = plant.rooms.book.add(replace(before, origin="person", parent=before.version))
    plant.inspected(*(other(seed) for seed in range(20)))
    give_feedback(plant, range(20), "good")
    run(plant, "recalibration")
    assert active(plant).version == chosen.version


def test_references_that_came_by_a_command_are_enrolled_at_the_second_look(start: Start) -> None:
    plant = start()
    plant.inspected(*(frame(seed) for seed in range(10)))
    assert commission(plant.rooms.book, plant.rooms.samples, "A", 8).complete
    run(plant, "held references")
    assert active(plant).shots == 0  # another agent may be at them
    plant.schedule.run("held references")
    wait_until(lambda: active(plant).shots, "the references")


def test_references_that_cannot_be_enrolled_are_reported_once(start: Start) -> None:
    plant = start()
    plant.inspected(frame(0))
    plant.rooms.book.hold_reference("A", Reference("0" * 64, f"00/00/{0:064x}.png", "gone"))
    for _ in range(6):
        run(plant, "held references")
    assert plant.events().count("enrollment-failed") == 1
    plant.rooms.book.hold_reference("A", Reference("1" * 64, f"00/00/{1:064x}.png", "gone too"))
    for _ in range(6):
        run(plant, "held references")
    assert plant.events().count("enrollment-failed") == 2
