"""Frames that a person calls good become references of a running agent, by a command over MQTT."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agent.domain.frame import Camera, DeliveryKind
from tests.support.factory import encoded, wait_until
from tests.support.images import part, spotted
from tests.support.loopback import Sent, message
from tests.support.plant import AGENT, Plant

Build = Callable[..., Plant]
QUICK_ENROLLMENT = {"quiet_s": 0.02}


def variant(seed: int) -> Sent:
    """A frame of a good part that looks otherwise: a larger label at another place."""
    image = spotted(seed, box=(8, 40, 20, 12))
    return message(DeliveryKind.FRAME, encoded(image), sku="A", frame_id=f"v-{seed}")


def asked(plant: Plant, command: str, **arguments: Any) -> dict[str, Any]:
    """The answer to a command."""
    number = len(plant.events())
    sent = message(
        DeliveryKind.COMMAND,
        json.dumps({"command": command, "request_id": f"r-{number}", **arguments}).encode(),
        AGENT,
    )
    plant.deliver(sent)
    plant.acknowledged(sent)

    def replies() -> list[dict[str, Any]]:
        bodies = [json.loads(one.payload) for one in plant.transport.published if one.kind == "reply"]
        return [body for body in bodies if body["request_id"] == f"r-{number}"]

    wait_until(replies, "the answer")
    return replies()[0]


def enrolled(build: Build) -> Plant:
    """A plant that knows eight good parts of product A."""
    plant = build(onboarding_options=QUICK_ENROLLMENT)
    references = [
        message(DeliveryKind.REFERENCE, encoded(part(100 + seed)), sku="A", frame_id=f"r-{seed}")
        for seed in range(8)
    ]
    plant.deliver(*references)
    plant.acknowledged(*references)
    wait_until(lambda: shots(plant) == 8, "the recipe")
    return plant


def shots(plant: Plant) -> int:
    recipe = plant.rooms.book.active("A")
    return 0 if recipe is None else recipe.shots


def judged(plant: Plant, sent: Sent, frame_id: str) -> dict[str, Any]:
    plant.inspected(sent)
    return plant.by_frame()[frame_id]


def test_a_variant_that_failed_passes_from_the_next_frame_on(build: Build) -> None:
    plant = enrolled(build)
    before = plant.rooms.book.active("A")
    assert before is not None
    assert before.calibration is not None
    for seed in (1, 2):
        assert judged(plant, variant(seed), f"v-{seed}")["verdict"] == "FAIL"
    answer = asked(plant, "recipe.add-reference", sku="A", frame_ids=["v-1", "v-2"], by="Ada")
    assert answer["ok"], answer
    assert answer["result"] == {"sku": "A", "frames": ["v-1", "v-2"], "references": 2}
    wait_until(lambda: shots(plant) == 10, "the next version")

    after = plant.rooms.book.active("A")
    assert after is not None
    assert after.calibration is not None
    assert (after.version, after.origin, after.parent) == (before.version + 1, "enrollment", before.version)
    assert judged(plant, variant(3), "v-3")["verdict"] == "PASS"
    defective = message(DeliveryKind.FRAME, encoded(spotted(4)), sku="A", frame_id="d-4")
    assert judged(plant, defective, "d-4")["verdict"] == "FAIL"
    assert after.calibration.threshold < 3 * before.calibration.threshold, "a variant raises it for nobody"
    feedback = [(row["truth"], row["given_by"]) for row in plant.rooms.rows("feedback")]
    assert feedback == [("good", "Ada")] * 2
    assert "reference-left-out" not in plant.events()
    again = asked(plant, "recipe.add-reference", sku="A", frame_ids=["v-1"])
    assert "is a reference of 'A' already" in again["error"]


def test_a_threshold_that_a_person_chose_judges_the_next_frame(build: Build) -> None:
    plant = enrolled(build)
    assert judged(plant, variant(1), "v-1")["verdict"] == "FAIL"
    score = plant.by_frame()["v-1"]["score"]
    answer = asked(plant, "recipe.threshold", sku="A", threshold=1.5 * score, review=1.2 * score, by="Ada")
    assert answer["ok"], answer
    version = answer["result"]["version"]

    def follows() -> bool:
        number = len(plant.rows())
        return bool(judged(plant, variant(1 + number), f"v-{1 + number}")["recipe_version"] == version)

    wait_until(follows, "the new threshold")
    row = plant.rows()[-1]
    assert (row["verdict"], row["threshold"]) == ("PASS", 1.5 * score)
    assert row["threshold_source"].startswith("chosen by Ada, before it 0.")


def refusal(plant: Plant, *frame_ids: str, **more: Any) -> str:
    answer = asked(plant, "recipe.add-reference", sku="A", frame_ids=list(frame_ids), **more)
    assert not answer["ok"]
    return str(answer["error"])


def test_frames_that_cannot_become_references_are_named(build: Build) -> None:
    plant = enrolled(build)
    plant.inspected(variant(1), message(DeliveryKind.FRAME, encoded(part(9)), sku="B", frame_id="b-1"))
    assert "no frame 'v-9' was inspected" in refusal(plant, "v-1", "v-9")
    assert "by camera a/b/c" in refusal(plant, "v-1", camera="a/b/c")
    assert "shows 'B', not 'A'" in refusal(plant, "b-1")
    told = message(DeliveryKind.FEEDBACK, b'{"frame_id": "v-1", "truth": "defective"}')
    plant.deliver(told)
    plant.acknowledged(told)
    assert "called frame 'v-1' defective" in refusal(plant, "v-1")
    assert shots(plant) == 8
    assert not plant.rooms.book.held_references("A")


def test_the_truth_of_a_part_reaches_the_frames_of_all_its_cameras(build: Build) -> None:
    plant = build()
    cameras = [Camera("plant", "line-1", name) for name in ("top", "side")]
    plant.inspected(*(
        message(DeliveryKind.FRAME, encoded(part(n)), camera, sku="A", frame_id=f"f-{n}", part_id="P-1")
        for n, camera in enumerate(cameras)
    ))  # fmt: skip
    told = message(DeliveryKind.FEEDBACK, b'{"part_id": "P-1", "truth": "defective"}', cameras[0])
    unknown = message(DeliveryKind.FEEDBACK, b'{"part_id": "P-2", "truth": "good"}', cameras[0])
    both = message(DeliveryKind.FEEDBACK, b'{"part_id": "P-1", "frame_id": "f-0", "truth": "good"}')
    plant.deliver(told, unknown, both)
    plant.acknowledged(told, unknown, both)
    assert [row["truth"] for row in plant.rooms.rows("feedback")] == ["defective"] * 2
    wait_until(lambda: plant.events().count("bad-feedback") == 2, "the events")
    messages = [row["message"] for row in plant.rooms.rows("event") if row["kind"] == "bad-feedback"]
    assert "no inspection of part 'P-2' is known" in messages[0]
    assert "one of them" in messages[1]
