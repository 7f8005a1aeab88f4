"""JsonMessageParser and the MQTT messages: the contract's fields, and MessageError for the rest."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.messages.outgoing import VerdictMessage
from adapters.mqtt.codec import JsonMessageParser
from adapters.mqtt.messages import MqttMessageComposer
from adapters.mqtt.sink import MqttSink
from adapters.mqtt.topics import Topics
from agent.domain.errors import MessageError
from agent.domain.events import Event
from agent.domain.frame import Job
from agent.domain.verdict import Verdict
from agent.ports import OutboxMessage, Sink
from agent.telemetry import Counters
from tests.adapters.messages.examples import CAMERA, CONTRACT, NOW, delivery, inspection
from tests.support.loopback import Ticket


def composer(counters: Counters | None = None) -> MqttMessageComposer:
    return MqttMessageComposer(Topics("factory", "cell-7"), "0.1.0", counters)


# ------------------------------------------------------------------------------------------ outgoing


def test_a_failed_inspection_is_verdict_mask_and_alert() -> None:
    verdict, mask, alert = composer().compose(inspection(), b"png", delivery())
    assert [one.destination for one in (verdict, mask, alert)] == [
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
    document = json.loads(mask.payload)
    assert list(document) == ["inspection_id", "frame_id", "sent_frame_id", "width", "height", "png"]
    assert (document["width"], document["height"], base64.b64decode(document["png"])) == (640, 480, b"png")
    alarm = json.loads(alert.payload)
    assert (alarm["schema"], alarm["kind"], alarm["severity"]) == ("sightline.alert/1", "fail", "error")
    assert (alarm["camera"], alarm["inspection_id"]) == ("factory/line-1/top", "i-1")


@pytest.mark.parametrize("more", [{"shadow": True}, {"verdict": Verdict.REVIEW}, {"verdict": Verdict.PASS}])
def test_no_alert_in_shadow_mode_or_without_fail(more: Any) -> None:
    kinds = [one.kind for one in composer().compose(inspection(**more), None, delivery())]
    assert kinds == ["verdict"]


def test_an_error_has_few_fields() -> None:
    one = inspection(
        verdict=Verdict.ERROR, score=None, threshold=None, recipe=None, defects=(), size=None, sku=None
    )
    (verdict,) = composer().compose(one, None, delivery())
    body = json.loads(verdict.payload)
    assert body["verdict"] == "ERROR"
    assert body["score"] is body["recipe"] is body["sku"] is None
    assert VerdictMessage.model_validate_json(verdict.payload).frame_id == "f-1"


def test_the_answer_goes_to_the_response_topic_with_its_correlation_data() -> None:
    asked = delivery(response_topic="plc/7/answer", correlation_data=b"\x01")
    *_, answer = composer().compose(inspection(), None, asked)
    assert (answer.kind, answer.destination, answer.correlation_data) == ("verdict", "plc/7/answer", b"\x01")


@pytest.mark.parametrize("topic", ["factory/a/b/frame", "x/+/y", "#", "$SYS/x", ""])
def test_response_topics_that_would_come_back_or_are_not_topics(topic: str) -> None:
    counters = Counters()
    messages = composer(counters).compose(inspection(), None, delivery(response_topic=topic))
    assert [one.kind for one in messages] == ["verdict", "alert"]
    assert counters.get("mqtt_response_topics_refused") == 1


def test_an_alert_about_an_event() -> None:
    event = Event("silent", "no frame for 60 s", NOW, sku="M8", severity="warning")
    (message,) = composer().compose_alert(event, CAMERA)
    assert (message.sink, message.kind, message.destination) == ("mqtt", "alert", "factory/line-1/top/alert")
    body = json.loads(message.payload)
    assert (body["kind"], body["severity"], body["sku"]) == ("silent", "warning", "M8")
    assert (body["camera"], body["reason"]) == ("factory/line-1/top", "no frame for 60 s")


class Publisher:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.published: list[OutboxMessage] = []

    def publish(self, message: OutboxMessage) -> Ticket:
        self.published.append(message)
        return Ticket(True)


def test_the_broker_is_a_sink() -> None:
    publisher = Publisher()
    sink: Sink = MqttSink(publisher, composer())
    (verdict,) = sink.compose(inspection(verdict=Verdict.PASS), None, delivery())
    (alert,) = sink.compose_alert(Event("gap", "2 frames are missing", NOW), CAMERA)
    assert {verdict.sink, alert.sink} == {sink.name} == {"mqtt"}
    assert sink.parked is None
    assert sink.publish(verdict).wait(0.0)
    assert publisher.published == [verdict]


# ------------------------------------------------------------------------------------------ incoming


def test_a_job() -> None:
    payload = json.dumps({"sku": " M8 ", "name": "nut", "lot": 7, "gtin": "", "colour": "red"}).encode()
    assert JsonMessageParser().job(delivery(payload)) == Job("M8", "nut", lot="7")


@pytest.mark.parametrize(
    ("payload", "sku"),
    [
        (b"cube", "cube"),
        (b'"cube"', "cube"),
        (b"4711", "4711"),
        (b"0042", "0042"),
        (b"1e3", "1e3"),
        (b"cube\r\n", "cube"),
        (b"cube\0", "cube"),
        (b"\xef\xbb\xbfcube\n", "cube"),
        (b'\xef\xbb\xbf{"sku": "cube"}', "cube"),
        ('{"sku": "Schäkel"}'.encode("utf-16"), "Schäkel"),
        ("Schäkel M8".encode(), "Schäkel M8"),
        ("Ref\u00a012 ".encode(), "Ref 12"),
        (b'{"sku": "Ref\\u202f12"}', "Ref 12"),
    ],
)
def test_a_job_may_be_the_sku_alone(payload: bytes, sku: str) -> None:
    assert JsonMessageParser().job(delivery(payload)) == Job(sku)


@pytest.mark.parametrize("payload", [b"", b"\n", b" ", b"\0", b"\xef\xbb\xbf"])
def test_an_empty_job_clears(payload: bytes) -> None:
    assert JsonMessageParser().job(delivery(payload)) is None


def test_feedback() -> None:
    payload = b'{"frame_id": 12, "truth": "defective", "by": "anna", "note": "burr"}'
    feedback = JsonMessageParser().feedback(delivery(payload))
    assert (feedback.frame_id, feedback.truth, feedback.by, feedback.at) == ("12", "defective", "anna", NOW)
    assert feedback.camera == "factory/line-1/top"
    odd = '\ufeff{"frame_id": "Shot 10\u202fPM.jpg", "truth": "good"}'.encode()
    assert JsonMessageParser().feedback(delivery(odd)).frame_id == "Shot 10 PM.jpg"


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (b"M8\xff", "not JSON, and not a SKU as text in UTF-8"),
        (b"null", "an empty message to clear"),
        (b'{"sku": "M8"', "not JSON"),
        (b"a\x07b", "sku has the control character U.0007"),
        (b"x" * 300, "255"),
        (b"[1]", "not an object"),
        (b"{}", "sku"),
        (b'{"sku": ""}', "sku"),
        (b'{"sku": true}', "sku"),
        (b'{"sku": "a\\u0000b"}', "U.0000, which cannot be printed"),
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
