"""Messages in and out: the contract's fields, and nothing but MessageError for the rest."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.images.identity import parse_time
from adapters.mqtt.codec import (
    JsonMessageParser,
    VerdictMessage,
    alert_schema,
    rfc3339,
    verdict_schema,
)
from adapters.mqtt.messages import MqttMessageComposer
from adapters.mqtt.topics import Topics
from agent.domain.errors import MessageError
from agent.domain.frame import Camera, Delivery, DeliveryKind, FrameIdentity, Job
from agent.domain.inspection import Defect, Inspection, MediaPaths, RecipeStamp, Timings
from agent.domain.verdict import Verdict
from agent.telemetry import Counters

NOW = datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC)
CAMERA = Camera("factory", "line-1", "top")
CONTRACT = [
    *("schema", "inspection_id", "frame_id", "part_id", "site", "line", "camera", "sku", "verdict", "score"),
    *("threshold", "calibrated", "shadow", "late", "reason", "defects", "recipe", "timings_ms"),
    *("captured_at", "received_at", "inspected_at", "media", "agent"),
]


def inspection(**more: Any) -> Inspection:
    given = {
        "inspection_id": "i-1",
        "identity": FrameIdentity(CAMERA, "f-1", part_id="p-1", captured_at=NOW),
        "sku": "M8",
        "verdict": Verdict.FAIL,
        "reason": "score 0.9 is above the threshold 0.5",
        "received_at": NOW,
        "inspected_at": NOW.astimezone(timezone(timedelta(hours=2))),
        "score": 0.9,
        "threshold": 0.5,
        "calibrated": True,
        "defects": (Defect(1, "scratch", 0.8, (1, 2, 3, 4), 12, 0.01),),
        "recipe": RecipeStamp(7, 3, "fade", "template", 4),
        "timings": Timings(1.0, 2.0, 3.0, 4.0),
        "media": MediaPaths("a.jpg", "b.png", "c.jpg"),
        "size": (640, 480),
    }
    return Inspection(**{**given, **more})


def delivery(payload: bytes = b"", **more: Any) -> Delivery:
    return Delivery(DeliveryKind.JOB, CAMERA, payload, NOW, **more)


def announcer(counters: Counters | None = None) -> MqttMessageComposer:
    return MqttMessageComposer(Topics("factory", "cell-7"), "0.1.0", counters)


# ------------------------------------------------------------------------------------------ outgoing


def test_a_failed_inspection_is_verdict_mask_and_alert() -> None:
    verdict, mask, alert = announcer().compose(inspection(), b"png", delivery())
    assert [one.topic for one in (verdict, mask, alert)] == [
        f"factory/line-1/top/{kind}" for kind in ("verdict", "mask", "alert")
    ]
    assert not any(one.retain for one in (verdict, mask, alert))
    body = json.loads(verdict.payload)
    assert list(body) == CONTRACT
    assert body["schema"] == "sightline.verdict/1"
    assert body["defects"] == [
        {
            "index": 1,
            "label": "scratch",
            "score": 0.8,
            "bbox": [1, 2, 3, 4],
            "area_px": 12,
            "area_fraction": 0.01,
        }
    ]
    assert body["recipe"] == {
        "id": 7,
        "version": 3,
        "method": "fade",
        "prompt_source": "template",
        "shots": 4,
    }
    assert body["timings_ms"] == {"queue": 1.0, "decode": 2.0, "infer": 3.0, "record": 4.0}
    assert body["captured_at"] == body["inspected_at"] == "2026-11-20T10:00:00.123Z"
    assert body["media"] == {"image": "a.jpg", "mask": "b.png", "overlay": "c.jpg"}
    assert body["agent"] == {"id": "cell-7", "version": "0.1.0"}
    told = json.loads(mask.payload)
    assert list(told) == ["inspection_id", "frame_id", "width", "height", "png"]
    assert (told["width"], told["height"], base64.b64decode(told["png"])) == (640, 480, b"png")
    alarm = json.loads(alert.payload)
    assert (alarm["schema"], alarm["kind"], alarm["severity"]) == ("sightline.alert/1", "fail", "error")
    assert (alarm["camera"], alarm["inspection_id"]) == ("factory/line-1/top", "i-1")


@pytest.mark.parametrize("more", [{"shadow": True}, {"verdict": Verdict.REVIEW}, {"verdict": Verdict.PASS}])
def test_no_alert_in_shadow_mode_or_without_fail(more: Any) -> None:
    kinds = [one.kind for one in announcer().compose(inspection(**more), None, delivery())]
    assert kinds == ["verdict"]


def test_an_error_has_little_to_tell() -> None:
    one = inspection(
        verdict=Verdict.ERROR, score=None, threshold=None, recipe=None, defects=(), size=None, sku=None
    )
    (verdict,) = announcer().compose(one, None, delivery())
    body = json.loads(verdict.payload)
    assert body["verdict"] == "ERROR"
    assert body["score"] is body["recipe"] is body["sku"] is None
    assert VerdictMessage.model_validate_json(verdict.payload).frame_id == "f-1"


def test_the_answer_goes_to_the_response_topic_with_its_correlation_data() -> None:
    asked = delivery(response_topic="plc/7/answer", correlation_data=b"\x01")
    *_, answer = announcer().compose(inspection(), None, asked)
    assert (answer.kind, answer.topic, answer.correlation_data) == ("verdict", "plc/7/answer", b"\x01")


@pytest.mark.parametrize("topic", ["factory/a/b/frame", "x/+/y", "#", "$SYS/x", ""])
def test_response_topics_that_would_come_back_or_are_no_topics(topic: str) -> None:
    counters = Counters()
    messages = announcer(counters).compose(inspection(), None, delivery(response_topic=topic))
    assert [one.kind for one in messages] == ["verdict", "alert"]
    assert counters.get("mqtt_response_topics_refused") == 1


def test_other_alerts() -> None:
    message = announcer().alert(CAMERA, "silent", "no frame for 60 s", NOW)
    assert json.loads(message.payload)["severity"] == "warning"


def test_the_schemas_tell_the_fields() -> None:
    schema = verdict_schema()
    assert list(schema["properties"]) == CONTRACT
    assert schema["required"] == CONTRACT
    inspected_at = schema["properties"]["inspected_at"]
    assert (inspected_at["type"], inspected_at["format"]) == ("string", "date-time")
    assert alert_schema()["$id"] == "sightline.alert/1"
    json.dumps(schema)


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_survive_to_the_millisecond(time: Any) -> None:
    text = rfc3339(time)
    assert text.endswith("Z")
    assert abs(parse_time(text) - time) < timedelta(milliseconds=1)


def test_times_without_zone_are_utc() -> None:
    assert parse_time("2026-11-20T10:00:00") == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert parse_time("2026-11-20T12:00:00+02:00") == datetime(2026, 11, 20, 10, tzinfo=UTC)


# ------------------------------------------------------------------------------------------ incoming


def test_a_job() -> None:
    payload = json.dumps({"sku": " M8 ", "name": "nut", "lot": 7, "gtin": "", "colour": "red"}).encode()
    assert JsonMessageParser().job(delivery(payload)) == Job("M8", "nut", lot="7")


def test_an_empty_job_clears() -> None:
    assert JsonMessageParser().job(delivery(b"")) is None


def test_feedback() -> None:
    payload = b'{"frame_id": 12, "truth": "defective", "by": "anna", "note": "burr"}'
    feedback = JsonMessageParser().feedback(delivery(payload))
    assert (feedback.frame_id, feedback.truth, feedback.by, feedback.at) == ("12", "defective", "anna", NOW)
    assert feedback.camera == "factory/line-1/top"


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (b"M8", "not JSON"),
        (b"[1]", "not an object"),
        (b"{}", "sku"),
        (b'{"sku": ""}', "sku"),
        (b'{"sku": true}', "sku"),
        (b'{"sku": "a\\u0000b"}', "printed"),
        (json.dumps({"sku": "x" * 300}).encode(), "255"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b" " * 70_000, "at most"),
    ],
)
def test_jobs_that_are_none(payload: bytes, word: str | None) -> None:
    with pytest.raises(MessageError, match=word):
        JsonMessageParser().job(delivery(payload))


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b'{"truth": "bad", "frame_id": "1"}', b'{"truth": "good"}',
     b'{"truth": "good", "frame_id": "1", "inspection_id": "2"}'],
)  # fmt: skip
def test_feedback_that_is_none(payload: bytes) -> None:
    with pytest.raises(MessageError):
        JsonMessageParser().feedback(delivery(payload))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["sku", "name", "description", "gtin", "lot", "truth", "frame_id", "inspection_id", "by", "note"]
)
OBJECTS = st.dictionaries(KEYS, JSON | st.sampled_from(["good", "defective"])).map(
    lambda one: json.dumps(one).encode()
)


@given(st.binary(max_size=200) | OBJECTS)
def test_only_message_errors_come_out(payload: bytes) -> None:
    for parse in (JsonMessageParser().job, JsonMessageParser().feedback):
        with contextlib.suppress(MessageError):
            parse(delivery(payload))
