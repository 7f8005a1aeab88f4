"""MessageRouter and FrameIngest: deliveries become work items; one that storage refused is handled again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.images.decoder import PayloadDecoder
from adapters.mqtt.codec import JsonMessageParser
from agent.domain.camera_rules import CameraRulebook
from agent.domain.errors import StorageError
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery, DeliveryKind, FrameIdentity, Job
from agent.domain.verdict import Verdict
from agent.event_log import EventLog
from agent.inference.inspector import Inspector
from agent.monitors.monitors import MonitorOptions, Monitors
from agent.pipeline.camera_jobs import CameraJobs
from agent.pipeline.in_flight import InFlight
from agent.pipeline.ingest import FrameIngest
from agent.pipeline.ingress_queue import IngressQueue
from agent.pipeline.router import MessageRouter
from agent.pipeline.superseded import SupersededFrames
from agent.pipeline.work_item import WorkItem
from agent.ports import OutboxMessage
from agent.recipes.cache import RecipeCache
from agent.telemetry import Counters
from storage import SqlHistory, SqlRecipeBook
from tests.support.factory import Rooms, encoded
from tests.support.images import part
from tests.support.loopback import CAMERA, LoopbackTransport, Sent, message
from tests.support.onboarding import onboarding

SIDE = Camera("plant", "line-1", "side")


class Failing:
    """Refuses so many calls."""

    failures = 0

    def _maybe(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageError("the database is away")


class FailingHistory(SqlHistory, Failing):
    def knows(self, identity: FrameIdentity) -> bool:
        self._maybe()
        return super().knows(identity)

    def record_event(self, event: Event, messages: Sequence[OutboxMessage] = ()) -> None:
        self._maybe()
        super().record_event(event, messages)


class FailingBook(SqlRecipeBook, Failing):
    def register(self, job: Job) -> bool:
        self._maybe()
        return super().register(job)


class AskedQueue(IngressQueue):
    """Records whose jobs were looked for."""

    asked: tuple[Camera, ...] = ()

    def take_job_of(self, camera: Camera, timeout_s: float) -> Delivery | None:
        self.asked += (camera,)
        return super().take_job_of(camera, timeout_s)


class Gate:
    """A router with its parts."""

    def __init__(self, rooms: Rooms, inspector: Inspector, grace_s: float = 0.05) -> None:
        self.rooms = rooms
        self.counters = Counters()
        self.history = FailingHistory(rooms.database, agent_id="cell-7", agent_version="1")
        self.book = FailingBook(rooms.database)
        self.events_log = EventLog(self.history, (), self.counters)
        self.in_flight = InFlight(self.history)
        self.decoder = PayloadDecoder()
        superseded = SupersededFrames(
            self.decoder, self.in_flight, self.events_log, self.counters, most=10, most_bytes=10**6
        )
        rules = CameraRulebook()
        self.queue = AskedQueue(10, rules, superseded, self.events_log, self.counters, threading.Event())
        self.recipe_cache = RecipeCache(self.book, inspector, rooms.media, rooms.codec, method="fade")
        self.onboarding = onboarding(
            rooms, self.recipe_cache, inspector, book=self.book, events=self.events_log
        )
        parser = JsonMessageParser()
        self.jobs = CameraJobs(
            self.queue, parser, self.onboarding, self.events_log, self.counters, grace_s=grace_s
        )
        monitors = Monitors(
            MonitorOptions(),
            rules,
            self.history,
            self.events_log,
            self.counters,
            transport=LoopbackTransport(),
            ingress=self.queue,
        )
        self.ingest = FrameIngest(
            self.decoder, self.history, self.in_flight, self.jobs, self.onboarding, monitors, self.counters
        )
        self.router = MessageRouter(
            self.ingest,
            self.jobs,
            self.events_log,
            self.counters,
            parser=parser,
            decoder=self.decoder,
            history=self.history,
            media=rooms.media,
            onboarding=self.onboarding,
        )

    def handle(self, sent: Sent) -> WorkItem | None:
        return self.router.handle(sent.delivery)

    def events(self, kind: str) -> list[str]:
        return [event["message"] for event in self.rooms.rows("event") if event["kind"] == kind]

    def close(self) -> None:
        self.onboarding.close()
        self.recipe_cache.close()


@pytest.fixture
def gate(rooms: Rooms, inspector: Inspector) -> Iterator[Gate]:
    made = Gate(rooms, inspector)
    yield made
    made.close()


def frame(
    seed: int = 1, camera: Camera = CAMERA, *, sku: str | None = None, part_id: str | None = None
) -> Sent:
    image = encoded(part(seed))
    return message(DeliveryKind.FRAME, image, camera, frame_id=f"f-{seed}", sku=sku, part_id=part_id)


def job(sku: str, camera: Camera = CAMERA) -> Sent:
    return message(DeliveryKind.JOB, json.dumps({"sku": sku}).encode(), camera)


def test_a_frame_becomes_work_for_the_inspector(gate: Gate) -> None:
    sent = frame(sku="A", part_id="17")
    work = gate.handle(sent)
    assert work is not None
    assert work.frame is not None
    assert (work.sku, work.identity.frame_id, work.identity.part_id) == ("A", "f-1", "17")
    assert (work.frame.width, work.result) == (64, None)
    assert work.decode_ms > 0.0
    assert not sent.acknowledged


def test_the_time_a_frame_waited_is_measured(gate: Gate) -> None:
    sent = frame(sku="A")
    tomorrow = sent.delivery.received_at + timedelta(days=1)
    work = gate.router.handle(replace(sent.delivery, received_at=tomorrow, arrived=time.monotonic() - 5.0))
    assert work is not None
    assert 5000.0 <= work.queue_ms < 3_600_000.0, "whatever the wall clock shows"


def test_an_unreadable_frame_becomes_work_for_the_recorder(gate: Gate) -> None:
    work = gate.handle(message(DeliveryKind.FRAME, b"no image", frame_id="f-1"))
    assert work is not None
    assert work.result is not None
    assert work.result.verdict is Verdict.ERROR
    assert work.frame is None
    assert len(gate.in_flight) == 1


def test_a_job_is_an_event_when_it_changes_and_only_then(gate: Gate) -> None:
    for sku in ("A", "A", "B"):
        sent = job(sku)
        assert gate.handle(sent) is None
        assert sent.acknowledged
    assert gate.events("job") == [f"{CAMERA} now runs A", f"{CAMERA} now runs B"]
    work = gate.handle(frame())
    assert work is not None
    assert work.sku == "B"
    cleared = message(DeliveryKind.JOB, b"")
    gate.handle(cleared)
    assert gate.events("job")[-1] == f"{CAMERA} now runs no job"


def test_a_frame_without_sku_says_that_its_job_was_refused(gate: Gate) -> None:
    assert gate.handle(message(DeliveryKind.JOB, b'{"sku": "A"')) is None
    work = gate.handle(frame())
    assert work is not None
    assert work.result is not None
    assert "the last job of its camera was refused: the payload is not JSON" in work.result.reason
    gate.handle(message(DeliveryKind.JOB, b"A"))
    assert gate.handle(frame(2)).sku == "A"  # type: ignore[union-attr]
    gate.handle(message(DeliveryKind.JOB, b""))
    assert "refused" not in gate.handle(frame(3)).result.reason  # type: ignore[union-attr]


def test_frames_jobs_and_references_find_a_product_in_its_older_spelling(gate: Gate) -> None:
    gate.rooms.book.register(Job("Ref\u00a0 12"))  # as version 0.1 stored it
    assert gate.handle(frame(sku="Ref\u202f12")).sku == "Ref\u00a0 12"  # type: ignore[union-attr]
    gate.handle(job("Ref 12"))
    assert gate.handle(frame(2)).sku == "Ref\u00a0 12"  # type: ignore[union-attr]
    image = encoded(part(7))
    gate.handle(message(DeliveryKind.REFERENCE, image, sku="Ref 12"))
    assert gate.rooms.book.skus() == ["Ref\u00a0 12"]
    gate.handle(frame(3, sku="REF 12"))
    gate.onboarding.wait(20.0)
    gate.events_log.flush()
    (told,) = gate.events("sku-case")
    assert "only upper and lower case tell it from" in told


@pytest.mark.parametrize(
    ("feedback", "words"),
    [
        ({"frame_id": "f-9", "truth": "good"}, f"no inspection matches frame 'f-9' of camera {CAMERA}"),
        ({"inspection_id": "i", "truth": "good"}, "no inspection matches inspection id 'i'"),
    ],
)
def test_feedback_that_fits_nothing_says_what_it_looked_for(
    gate: Gate, feedback: dict[str, str], words: str
) -> None:
    gate.handle(message(DeliveryKind.FEEDBACK, json.dumps(feedback).encode()))
    assert words in gate.events("bad-feedback")[0]


def test_a_frame_waits_for_a_job_once_only(gate: Gate) -> None:
    for seed in range(3):
        work = gate.handle(frame(seed))
        assert work is not None
        assert work.result is not None
    gate.handle(frame(9, SIDE))
    assert gate.queue.asked == (CAMERA, SIDE)


@pytest.mark.parametrize("failing", ["book", "history"])
def test_a_job_taken_out_of_turn_survives_a_database_that_refuses(gate: Gate, failing: str) -> None:
    """The frame is handled again, and finds its job again."""
    unhandled, sent = job("J"), frame()
    gate.queue.admit(unhandled.delivery)
    getattr(gate, failing).failures = 1
    with pytest.raises(StorageError):
        gate.handle(sent)
    assert not unhandled.acknowledged
    work = gate.handle(sent)
    assert work is not None
    assert work.sku == "J"
    assert unhandled.acknowledged
    assert len(gate.queue) == 0
    assert gate.events("job") == [f"{CAMERA} now runs J"]


def test_a_frame_that_storage_refused_leaves_no_trace_and_is_handled_again(gate: Gate) -> None:
    sent = frame(sku="A").again()
    gate.history.failures = 1
    with pytest.raises(StorageError):
        gate.handle(sent)
    assert len(gate.in_flight) == 0
    assert gate.handle(sent) is not None
    gate.book.failures = 1
    other = frame(2, sku="never met")
    with pytest.raises(StorageError):
        gate.handle(other)
    assert gate.handle(other) is not None
    assert gate.rooms.book.job("never met") is not None, "its recipe is still written"


def test_a_refused_message_is_an_event_even_where_the_event_is_refused_first(gate: Gate) -> None:
    sent = message(DeliveryKind.FEEDBACK, b"{}")
    gate.history.failures = 1
    with pytest.raises(StorageError):
        gate.handle(sent)
    assert not sent.acknowledged
    assert gate.handle(sent) is None
    assert sent.acknowledged
    assert len(gate.events("bad-feedback")) == 1


def test_a_reference_is_safe_before_it_is_acknowledged(gate: Gate) -> None:
    sent = message(DeliveryKind.REFERENCE, encoded(part(1)), sku="A", frame_id="good part")
    assert gate.handle(sent) is None
    assert sent.acknowledged
    reference = gate.rooms.book.held_references("A")[0]
    assert reference.name == "good part"
    assert gate.rooms.media.get(reference.path) == sent.delivery.payload
    assert gate.counters.get("references") == 1


def test_a_repeated_frame_is_counted(gate: Gate) -> None:
    first = frame(sku="A")
    assert gate.handle(first) is not None
    assert gate.handle(first.again()) is None
    assert gate.counters.get("frames_repeated") == 1


def test_a_superseded_frame_is_skipped_without_decoding_it(gate: Gate) -> None:
    sent = message(DeliveryKind.FRAME, b"\xff\xd8\xff whatever", frame_id="f-1", sku="A")
    identity = PayloadDecoder().identify(sent.delivery)
    work = gate.ingest.skip(sent.delivery, identity)
    assert work is not None
    assert work.result is not None
    assert work.result.verdict is Verdict.SKIPPED
    assert (work.sku, work.identity.frame_id) == ("A", "f-1")
    assert gate.ingest.skip(sent.again().delivery) is None


def test_a_frame_that_is_not_an_image_still_belongs_to_its_product(gate: Gate) -> None:
    works = [gate.handle(message(DeliveryKind.FRAME, b"no image", frame_id="a", sku="gear"))]
    gate.handle(message(DeliveryKind.JOB, json.dumps({"sku": "plate"}).encode()))
    works.append(gate.handle(message(DeliveryKind.FRAME, b"no image", frame_id="b")))
    works.append(gate.handle(message(DeliveryKind.FRAME, b"no image", SIDE, frame_id="c")))
    assert [work.sku for work in works if work is not None] == ["gear", "plate", None]
    # Nobody enrolls a product because of bytes that are not an image of it.
    assert "gear" not in {row["sku"] for row in gate.rooms.rows("sku")}
