"""Commands to a running pipeline: a frame is judged wholly by one version, whenever another is activated."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.domain.calibration import Calibration
from agent.domain.frame import DeliveryKind
from agent.domain.prompts import PromptSet, PromptSource
from agent.domain.recipe import Recipe
from tests.support.factory import Rooms, wait_until
from tests.support.loopback import Sent, message
from tests.support.plant import Plant, frame

STRICT = Calibration(-1.0, -2.0, 9, 0.01, "strict", map_threshold=-1.0)
LENIENT = Calibration(1e6, 1e5, 21, 0.01, "lenient", map_threshold=1e6)


def recipe(calibration: Calibration, source: PromptSource) -> Recipe:
    prompts = PromptSet(("a grey part",), ("a red part",), source=source)
    return Recipe("A", "part", prompts, "fade", calibration=calibration)


def command(**content: Any) -> Sent:
    return message(DeliveryKind.COMMAND, json.dumps(content).encode())


def activate(version: int) -> Sent:
    return command(command="recipe.activate", sku="A", version=version)


WHOLE = {
    1: ("FAIL", -1.0, "strict", 9, "template"),
    2: ("PASS", 1e6, "lenient", 21, "manual"),
}


@pytest.mark.slow
def test_every_frame_is_judged_wholly_by_one_version(rooms: Rooms) -> None:
    stored = [
        rooms.book.add(recipe(STRICT, PromptSource.TEMPLATE)),
        rooms.book.add(recipe(LENIENT, PromptSource.MANUAL)),
    ]
    plant = Plant(rooms, max_batch=4)
    plant.pipeline.start()
    try:
        seed = 0
        for turn in range(6):
            wanted = 1 + turn % 2
            sent = [activate(wanted), *(frame(seed + n) for n in range(8))]
            seed += 8
            plant.inspected(*sent)
            assert rooms.book.active_version("A") == wanted

            def judged(wanted: int = wanted) -> bool:
                """More frames until the pipeline, which prepares a version beside itself, has taken it up."""
                nonlocal seed
                seed += 1
                plant.inspected(frame(seed))
                return bool(plant.by_frame()[f"f-{seed}"]["recipe_version"] == wanted)

            wait_until(judged, f"version {wanted}")
    finally:
        plant.pipeline.stop()
    rows = plant.rows()
    assert {row["recipe_version"] for row in rows} == {1, 2}
    for row in rows:
        version = row["recipe_version"]
        found = (
            row["verdict"], row["threshold"], row["threshold_source"].partition(" ")[0].rstrip(","),
            row["calibration_samples"], row["prompt_source"],
        )  # fmt: skip
        assert found == WHOLE[version]
        assert row["recipe_id"] == stored[version - 1].id
    assert plant.events().count("command") == 6


def test_a_command_among_frames_is_answered_and_holds_none_up(rooms: Rooms) -> None:
    rooms.book.add(recipe(LENIENT, PromptSource.TEMPLATE))
    plant = Plant(rooms)
    plant.pipeline.start()
    try:
        sent = [frame(1), command(command="recipe.list", request_id="r-1"), command(command="x"), frame(2)]
        plant.inspected(*sent)
        wait_until(lambda: plant.transport.topics().count(plant.topics.reply) == 2, "two answers")
    finally:
        plant.pipeline.stop()
    answers = [json.loads(one.payload) for one in plant.transport.published if one.kind == "reply"]
    assert [(one["ok"], one["request_id"]) for one in answers] == [(True, "r-1"), (False, None)]
    assert sorted(plant.by_frame()) == ["f-1", "f-2"]
    assert {"command", "bad-command"} <= set(plant.events())
