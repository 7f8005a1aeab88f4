"""``Factory``: enrolls the products of the demonstration, then runs every camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from adapters.cli.demo.live import Board
from adapters.cli.demo.observer import Observer, Received
from adapters.cli.demo.plan import SHOTS, CameraPlan, Key, Plan, Shot
from adapters.mqtt.camera_publisher import CameraPublisher
from adapters.mqtt.camera_publisher import Shot as Message
from agent.app.broker import camera_publisher
from agent.domain.errors import SightlineError, TransportError
from agent.domain.frame import Camera
from agent.ports import PublishTicket
from config import Settings

if TYPE_CHECKING:
    from agent.app.agent import Agent

WINDOW = 3
"""A production line stops while so many of its images wait for a verdict, as a full buffer would stop it."""
READY_S = 60.0
ENROLLED_S = 600.0
QUIET_S = 90.0
"""If no verdict arrives for so long, the missing ones are lost."""
ACKNOWLEDGED_S = 30.0
POLL_S = 0.05

_LEFT_OUT = "SELECT message FROM event WHERE kind = 'reference-left-out' AND sku = :sku"
_FAILURES = "SELECT message FROM event WHERE kind = 'enrollment-failed' AND sku = :sku"


@dataclass(frozen=True, slots=True)
class Production:
    """What was published, and what the observer received."""

    shots: dict[Key, Shot]
    received: list[Received]
    seconds: float
    """From the first image to the last verdict."""


class Factory:
    """One run of a plan against a started agent."""

    def __init__(self, plan: Plan, agent: Agent, settings: Settings, board: Board, rate_hz: float) -> None:
        self._plan = plan
        self._agent = agent
        self._settings = settings
        self._board = board
        self._rate_hz = rate_hz
        # Prefix of this run's frames, so that a second run on the same history (--keep) repeats none of them.
        self._run = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")

    def enroll(self, report: Callable[[str], None]) -> None:
        """Publish references of the products to be enrolled and wait for their recipes.

        Raises TransportError or SightlineError if that takes too long.
        """
        self._wait(lambda: self._agent.connected, READY_S, "the agent did not reach the broker")
        with ExitStack() as stack:
            for camera in self._plan.cameras:
                publisher = stack.enter_context(self._publisher(camera, "references"))
                for article in reversed(camera.articles):
                    _announce(publisher, camera, article.sku)
                    if article.enrolled and not self._complete(article.sku):
                        for number, encoded in enumerate(camera.references(article.sku), start=1):
                            name = f"reference-{number:02d}"
                            _settle(publisher.enroll(Message(encoded, sku=article.sku, frame_id=name)))
            for article in (one for one in self._plan.articles if one.enrolled):
                problem = f"{article.sku} was not enrolled in time"
                self._wait(lambda sku=article.sku: self._is_enrolled(sku), ENROLLED_S, problem)  # type: ignore[misc]
                report(self._enrolled(article.sku))

    def produce(self, observer: Observer) -> Production:
        """Let all cameras run to their end and wait for the verdicts."""
        stopping = threading.Event()
        producers = [self._producer(camera, stopping) for camera in self._plan.cameras]
        self._board.start_clock()
        started = time.monotonic()
        for producer in producers:
            producer.start()
        try:
            while any(producer.is_alive() for producer in producers):
                if self._agent.wait(POLL_S):
                    raise SightlineError("a part of the agent died; see its log")
        finally:
            stopping.set()
            for producer in producers:
                producer.join()
        for producer in producers:
            if producer.error is not None:
                raise producer.error
        shots = {key: shot for producer in producers for key, shot in producer.published.items()}
        observer.wait_for(set(shots), QUIET_S)
        seconds = time.monotonic() - started
        # Masks follow their verdicts; a repeated message would arrive now as well.
        self._until(lambda: self._agent.store.outbox.depth() == 0, READY_S)
        return Production(shots, observer.received, seconds)

    def _producer(self, camera: CameraPlan, stopping: threading.Event) -> Producer:
        publisher = self._publisher(camera, "camera")
        return Producer(camera, publisher, self._board, f"{self._run}-{camera.line}", self._rate_hz, stopping)

    def _publisher(self, camera: CameraPlan, role: str) -> CameraPublisher:
        identity = Camera(self._settings.agent.site, camera.line, camera.camera)
        # JSON frames: MQTT 3.1.1, which is what the embedded broker speaks, has no user properties.
        return camera_publisher(self._settings, self._agent.broker_url, identity, form="json", role=role)

    def _is_enrolled(self, sku: str) -> bool:
        for event in self._agent.store.query(_FAILURES, {"sku": sku}):
            raise SightlineError(str(event["message"]))
        return self._complete(sku)

    def _complete(self, sku: str) -> bool:
        """Whether every reference was enrolled or left out, and the threshold is set."""
        store = self._agent.store
        recipe = store.book.active(sku)
        if recipe is None or recipe.calibration is None:
            return False
        return recipe.shots + self._left_out(sku) >= SHOTS and not store.book.held_references(sku)

    def _left_out(self, sku: str) -> int:
        return len(self._agent.store.query(_LEFT_OUT, {"sku": sku}))

    def _enrolled(self, sku: str) -> str:
        recipe, left_out = self._agent.store.book.active(sku), self._left_out(sku)
        without = f", {left_out} left out as unlike the others or equal to one of them" if left_out else ""
        return f"{sku} enrolled with {recipe.shots if recipe else 0} references{without}, and calibrated"

    def _wait(self, condition: Callable[[], bool], timeout_s: float, problem: str) -> None:
        if not self._until(condition, timeout_s):
            raise TransportError(problem)

    def _until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            if self._agent.wait(POLL_S):
                raise SightlineError("a part of the agent died; see its log")
        return True


class Producer(threading.Thread):
    """One production line with its camera: publishes at a steady rate while not too many parts wait."""

    def __init__(
        self,
        camera: CameraPlan,
        publisher: CameraPublisher,
        board: Board,
        prefix: str,
        rate_hz: float,
        stopping: threading.Event,
    ) -> None:
        super().__init__(name=f"camera {camera.name}", daemon=True)
        self.published: dict[Key, Shot] = {}
        self.error: Exception | None = None
        self._camera = camera
        self._publisher = publisher
        self._board = board
        self._prefix = prefix
        self._period_s = 1.0 / rate_hz
        self._stopping = stopping

    def run(self) -> None:
        """Publish every image, each acknowledged by the broker."""
        try:
            with self._publisher as publisher:
                self._produce(publisher)
        except Exception as error:  # noqa: BLE001 - the thread's edge: produce() raises it again
            self.error = error

    def _produce(self, publisher: CameraPublisher) -> None:
        sku, due = None, time.monotonic()
        for shot in self._camera.shots():
            if shot.sku != sku:
                self._change_over(publisher, shot.sku)
                sku, due = shot.sku, time.monotonic()
            self._wait_for_room(WINDOW)
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            due = max(due, time.monotonic() - self._period_s) + self._period_s
            frame_id = f"{self._prefix}-{shot.index:04d}"
            self.published[self._camera.name, frame_id] = shot
            # The retained job gives the SKU, as for a camera that does not know the product.
            ticket = publisher.publish(Message(shot.encoded, frame_id=frame_id, part_id=shot.part_id))
            self._board.published(self._camera.name)
            _settle(ticket)

    def _change_over(self, publisher: CameraPublisher, sku: str) -> None:
        self._wait_for_room(1)
        article = next(one for one in self._camera.articles if one.sku == sku)
        _announce(publisher, self._camera, sku)
        self._board.job(self._camera.name, sku, self._camera.noun(sku), enrolled=article.enrolled)

    def _wait_for_room(self, limit: int) -> None:
        deadline = time.monotonic() + QUIET_S
        while not self._board.wait_until_open(self._camera.name, limit, 0.5):
            if self._stopping.is_set() or time.monotonic() > deadline:
                return


def _announce(publisher: CameraPublisher, camera: CameraPlan, sku: str) -> None:
    """Publish the retained job of a camera."""
    publisher.announce_job(sku, camera.noun(sku))


def _settle(ticket: PublishTicket) -> None:
    if not ticket.wait(ACKNOWLEDGED_S):
        raise TransportError("the broker did not acknowledge an image in time")
