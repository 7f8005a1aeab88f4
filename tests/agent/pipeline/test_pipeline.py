"""Pipeline: every delivery ends as exactly one row, whatever happens around it."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.camera_rules import CameraRules, Overload
from agent.domain.frame import Camera, DeliveryKind
from tests.support.factory import Rooms, encoded, wait_until
from tests.support.images import part, spotted
from tests.support.loopback import CAMERA, Sent, message
from tests.support.plant import QUICK, GatedFade, Plant, frame

SIDE = Camera("plant", "line-1", "side")
Build = Callable[..., Plant]


# --------------------------------------------------------------------------------- the usual course


@pytest.mark.slow
def test_every_frame_ends_as_one_row_one_verdict_and_one_acknowledgement(plant: Plant) -> None:
    sent = [frame(seed, camera) for seed in range(12) for camera in (CAMERA, SIDE)]
    rows = plant.inspected(*sent)
    assert len(rows) == 24
    assert len({(row["camera"], row["frame_id"]) for row in rows}) == 24
    assert {one.acknowledgement.count for one in sent} == {1}
    wait_until(lambda: plant.rooms.outbox.depth() == 0, "the verdicts")
    verdicts = [json.loads(m.payload) for m in plant.transport.published if m.kind == "verdict"]
    assert sorted(v["inspection_id"] for v in verdicts) == sorted(row["inspection_id"] for row in rows)
    assert plant.transport.topics().count("plant/line-1/top/verdict") == 12


def test_a_frame_is_acknowledged_after_its_row_was_committed(plant: Plant, rooms: Rooms) -> None:
    seen: list[list[str]] = []

    def look() -> None:
        with sqlite3.connect(rooms.path) as other:
            seen.append([row[0] for row in other.execute("SELECT frame_id FROM inspection")])

    plant.inspected(*(frame(seed, on_acknowledge=look) for seed in range(5)))
    assert [f"f-{i}" in ids for i, ids in enumerate(seen)] == [True] * 5


def test_a_row_explains_itself(plant: Plant) -> None:
    wait_until(lambda: plant.inspected(frame(random.randrange(10**9)))[-1]["recipe_id"], "the first recipe")
    row = plant.rows()[-1]
    assert (row["verdict"], row["sku"], row["recipe_version"], row["method"]) == ("REVIEW", "A", 1, "fade")
    assert "8 more good parts" in row["reason"]
    assert row["model_digest"] == plant.inspector.method.digest
    assert (row["width"], row["height"]) == (64, 64)
    assert plant.rooms.media.get(row["image_path"])


BAD = {
    "no image": b"hello",
    "nothing": b"",
    "truncated": encoded(part(1), ".jpg")[:400],
    "json without an image": b'{"frame_id": "json without an image"}',
    "broken json": b'{"image": ',
    "huge header": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
    + (40000).to_bytes(4, "big") * 2
    + b"\x08\x02\0\0\0\0\0\0\0",
}


def test_bad_frames_end_as_error_and_their_neighbours_are_judged(plant: Plant) -> None:
    sent = []
    for index, (name, payload) in enumerate(BAD.items()):
        sent += [frame(index), message(DeliveryKind.FRAME, payload, sku="A", frame_id=name)]
    sent.append(message(DeliveryKind.FRAME, encoded(part(99)), sku="x" * 300, frame_id="long sku"))
    sent.append(message(DeliveryKind.FRAME, encoded(part(98)), sku="nul\0\ud800", frame_id="odd sku"))
    sent.append(frame(1000))
    plant.inspected(*sent)
    rows = plant.by_frame()
    bad = {*BAD, "long sku", "odd sku"}
    assert {name: rows[name]["verdict"] for name in bad} == dict.fromkeys(bad, "ERROR")
    assert all(rows[name]["reason"] for name in bad)
    good = {f"f-{i}" for i in (*range(len(BAD)), 1000)}
    assert {rows[name]["verdict"] for name in good} == {"REVIEW"}
    assert len(rows) == len(bad) + len(good)


def test_an_answer_goes_to_the_response_topic(plant: Plant) -> None:
    image = encoded(part(1))
    plant.inspected(message(DeliveryKind.FRAME, image, response_topic="answers/7", sku="A", frame_id="f"))
    wait_until(lambda: "answers/7" in plant.transport.topics(), "the answer")


# -------------------------------------------------------------------------------------- delivered twice


def test_a_frame_redelivered_under_way_is_acknowledged_with_the_first(build: Build) -> None:
    method = GatedFade()
    plant = build(method=method)
    method.gate.clear()
    first = frame(1)
    plant.deliver(first)
    wait_until(lambda: method.scored, "the frame before the model")
    again = first.again()
    plant.deliver(again)
    wait_until(lambda: plant.counters.get("frames_repeated") == 1, "the repetition")
    assert not first.acknowledged
    assert not again.acknowledged
    method.gate.set()
    plant.acknowledged(first, again)
    assert len(plant.rows()) == 1


def test_a_frame_redelivered_after_its_row_is_acknowledged_and_not_judged_again(build: Build) -> None:
    method = GatedFade()
    plant = build(method=method)
    first = frame(1)
    plant.inspected(first)
    again = first.again()
    assert len(plant.inspected(again)) == 1
    assert method.scored == 1


def test_the_same_id_sent_twice_by_a_camera_is_one_row(plant: Plant) -> None:
    plant.inspected(frame(1))
    assert len(plant.inspected(frame(1), frame(1))) == 1


def test_equal_images_without_ids_are_parts_of_their_own(plant: Plant) -> None:
    rows = plant.inspected(*(frame(1, named=False) for _ in range(20)))
    ids = [row["frame_id"] for row in rows]
    base = min(ids, key=len)
    assert sorted(ids) == sorted([base, *(f"{base}-{i}" for i in range(2, 21))])
    one = frame(1, named=False)
    plant.inspected(one)
    plant.inspected(one.again())
    assert len(plant.rows()) == 21


# ------------------------------------------------------------------------------------------ overload


def test_with_latest_every_frame_is_judged_or_skipped(build: Build) -> None:
    method = GatedFade()
    plant = build(method=method, rules=CameraRules(overload=Overload.LATEST), max_batch=1)
    method.gate.clear()
    sent = [frame(seed) for seed in range(30)]
    plant.deliver(*sent)
    method.gate.set()
    plant.acknowledged(*sent)
    rows = plant.by_frame()
    assert len(plant.rows()) == len(rows) == 30
    skipped = {name for name, row in rows.items() if row["verdict"] == "SKIPPED"}
    assert plant.counters.get("verdict_SKIPPED") == len(skipped) > 0
    assert rows["f-29"]["verdict"] == "REVIEW", "the newest is never skipped"
    assert "newer frame" in rows[min(skipped)]["reason"]
    wait_until(lambda: plant.rooms.outbox.depth() == 0, "the verdicts")
    verdicts = [one for one in plant.transport.published if one.kind == "verdict"]
    assert len(verdicts) == 30 - len(skipped), "skipped frames have no verdict message"


def test_equal_images_that_are_skipped_have_rows_of_their_own(build: Build) -> None:
    method = GatedFade()
    plant = build(method=method, rules=CameraRules(overload=Overload.LATEST), max_batch=1)
    method.gate.clear()
    sent = [frame(7, named=False) for _ in range(30)]
    plant.deliver(*sent)
    method.gate.set()
    plant.acknowledged(*sent)
    assert len(plant.rows()) == 30


@pytest.mark.slow
def test_with_wait_nothing_is_skipped(build: Build) -> None:
    method = GatedFade()
    plant = build(method=method, max_batch=1)
    method.gate.clear()
    sent = [frame(seed) for seed in range(30)]
    plant.deliver(*sent)
    method.gate.set()
    plant.acknowledged(*sent)
    assert {row["verdict"] for row in plant.rows()} == {"REVIEW"}
    assert len(plant.rows()) == 30


# --------------------------------------------------------------------------------- recipes and jobs


def test_an_unknown_sku_is_reviewed_at_once_and_gets_one_recipe(plant: Plant) -> None:
    rows = plant.inspected(*(frame(seed, sku="new") for seed in range(6)))
    assert {row["verdict"] for row in rows} == {"REVIEW"}
    assert {row["prompt_source"] for row in rows} == {"template"}
    wait_until(lambda: plant.rooms.book.active_version("new") == 1, "the recipe")
    plant.inspected(*(frame(seed, sku="new") for seed in range(6, 9)))
    assert plant.rooms.count("recipe") == 1


def enroll_good_parts(plant: Plant) -> None:
    references = [
        message(DeliveryKind.REFERENCE, encoded(part(seed)), sku="A", frame_id=f"good-{seed}")
        for seed in range(10)
    ]
    plant.deliver(*references)
    plant.acknowledged(*references)

    def calibrated() -> bool:
        recipe = plant.rooms.book.active("A")
        return recipe is not None and recipe.shots == 10 and recipe.calibration is not None

    wait_until(calibrated, "the recipe")


def judged_until(plant: Plant, verdict: str) -> dict[str, Any]:
    """Defective parts until one is judged by the recipe that was just written; the row of that one."""
    for seed in range(1000, 2000):
        bad = message(DeliveryKind.FRAME, encoded(spotted(seed)), sku="A", frame_id=f"bad-{seed}")
        row = plant.inspected(bad)[-1]
        if row["verdict"] == verdict:
            return row
        assert row["verdict"] == "REVIEW", "the version before"
    raise AssertionError(f"none was judged {verdict}")


def test_references_become_a_recipe_that_finds_defects(plant: Plant) -> None:
    enroll_good_parts(plant)
    assert not plant.rows(), "references are not inspected"
    row = judged_until(plant, "FAIL")
    assert row["shots"] == 10
    assert row["threshold"] < row["score"]
    assert "leave-one-out of 10" in row["threshold_source"]
    mask = plant.rooms.codec.decode(plant.rooms.media.get(row["mask_path"]))
    assert mask[24, 48].max() == 1
    assert plant.rooms.media.get(row["overlay_path"])
    defects = [d for d in plant.rooms.rows("defect") if d["inspection_id"] == row["inspection_id"]]
    assert defects
    wait_until(lambda: plant.rooms.outbox.depth() == 0, "the messages")
    topics = plant.transport.topics()
    assert topics.count("plant/line-1/top/alert") == 1
    assert topics.count("plant/line-1/top/mask") >= 1


def test_references_in_the_database_survive_a_stop(build: Build) -> None:
    plant = build()
    reference = message(DeliveryKind.REFERENCE, encoded(part(1)), sku="A", frame_id="good")
    plant.deliver(reference)
    plant.acknowledged(reference)
    plant.pipeline.stop(10.0)
    later = build()
    wait_until(lambda: (r := later.rooms.book.active("A")) is not None and r.shots == 1, "the recipe")


def test_the_recipe_of_one_sku_that_cannot_be_used_costs_the_others_nothing(
    plant: Plant, rooms: Rooms
) -> None:
    # No frame has its bytes: that frame would put its file back.
    reference = message(DeliveryKind.REFERENCE, encoded(part(7)), sku="A", frame_id="good")
    plant.deliver(reference)
    wait_until(lambda: (r := rooms.book.active("A")) is not None and r.shots == 1, "the recipe")
    plant.pipeline.stop(10.0)
    recipe = rooms.book.active("A")
    assert recipe is not None
    (rooms.folder / "media" / recipe.references[0].path).unlink()
    later = Plant(rooms)
    later.pipeline.start()
    later.inspected(frame(1, sku="A"), frame(2, sku="B"), frame(3, sku="A"))
    verdicts = {name: row["verdict"] for name, row in later.by_frame().items()}
    assert verdicts == {"f-1": "ERROR", "f-2": "REVIEW", "f-3": "ERROR"}
    assert "cannot be read" in later.by_frame()["f-1"]["reason"]
    later.pipeline.stop(10.0)


def job(payload: object, camera: Camera = CAMERA) -> Sent:
    content = b"" if payload is None else json.dumps(payload).encode()
    return message(DeliveryKind.JOB, content, camera)


def test_a_frame_without_a_sku_belongs_to_the_job_of_its_camera(plant: Plant) -> None:
    jobs = [job({"sku": "J-1", "name": "nut"}), job({"sku": "J-2"}, SIDE)]
    plant.inspected(*jobs, frame(1, sku=None), frame(2, SIDE, sku=None), frame(3, sku="own"))
    assert {n: r["sku"] for n, r in plant.by_frame().items()} == {"f-1": "J-1", "f-2": "J-2", "f-3": "own"}
    plant.inspected(job({"sku": "J-3"}), frame(4, sku=None))
    assert plant.by_frame()["f-4"]["sku"] == "J-3"
    wait_until(lambda: (r := plant.rooms.book.active("J-1")) is not None and r.noun == "nut", "the noun")


def test_a_job_that_comes_just_after_its_first_frame_counts(build: Callable[..., Plant]) -> None:
    """After a restart the frames that the broker held come before the retained job."""
    plant = build(pace=replace(QUICK, job_grace_s=30.0))
    plant.inspected(frame(1, sku=None), frame(2, sku=None), job({"sku": "J-1"}))
    assert {row["sku"] for row in plant.rows()} == {"J-1"}


def test_a_frame_without_sku_and_job_is_an_error_that_says_what_to_do(plant: Plant) -> None:
    rows = plant.inspected(frame(1, sku=None), frame(2, sku=None))
    assert [row["verdict"] for row in rows] == ["ERROR", "ERROR"]
    assert "publish a retained job" in rows[0]["reason"]
    plant.inspected(job({"sku": "J"}), frame(3, sku=None), job(None), frame(4, sku=None))
    assert plant.by_frame()["f-3"]["verdict"] == "REVIEW"
    assert plant.by_frame()["f-4"]["verdict"] == "ERROR"


def test_bad_small_messages_are_events_and_are_acknowledged(plant: Plant) -> None:
    sent = [
        job({"sku": ""}),
        job([1]),
        message(DeliveryKind.JOB, b"{"),
        message(DeliveryKind.FEEDBACK, b'{"truth": "maybe", "frame_id": "1"}'),
        message(DeliveryKind.FEEDBACK, b'{"truth": "good", "frame_id": "unknown"}'),
        message(DeliveryKind.REFERENCE, b"no image", sku="A"),
        message(DeliveryKind.REFERENCE, encoded(part(1))),
    ]
    assert plant.inspected(*sent) == []
    assert plant.events() == ["bad-sku"] * 3 + ["bad-feedback"] * 2 + ["bad-reference"] * 2
    assert plant.counters.get("messages_refused") == 7
    assert plant.inspected(frame(1))[0]["verdict"] == "REVIEW"


def test_feedback_finds_its_row(plant: Plant) -> None:
    plant.inspected(frame(1))
    word = message(DeliveryKind.FEEDBACK, b'{"truth": "good", "frame_id": "f-1", "by": "Ada"}')
    plant.inspected(word)
    assert [(row["truth"], row["given_by"]) for row in plant.rooms.rows("feedback")] == [("good", "Ada")]


def test_in_shadow_mode_nothing_is_alarmed(build: Build) -> None:
    plant = build(rules=CameraRules(shadow=True))
    enroll_good_parts(plant)
    row = judged_until(plant, "FAIL")
    assert row["shadow"]
    wait_until(lambda: plant.rooms.outbox.depth() == 0, "the messages")
    assert "plant/line-1/top/mask" in plant.transport.topics()
    assert "plant/line-1/top/alert" not in plant.transport.topics()
