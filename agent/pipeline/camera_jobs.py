"""CameraJobs: which product each camera's production line makes now."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from agent.domain.errors import FrameError, MessageError
from agent.domain.events import Event
from agent.domain.frame import Camera, Delivery, DeliveryKind, Job
from agent.event_log import EventLog
from agent.onboarding import OnboardingCoordinator
from agent.pipeline.ingress_queue import IngressQueue
from agent.ports import MessageParser
from agent.recipes.cache import RecipeCache
from agent.telemetry import Counters

NO_SKU = (
    "the frame names no SKU and no job is announced for its camera; send one with the frame or publish a "
    "retained job on the camera's sku topic"
)


class CameraJobs:
    """The jobs that cameras have, from the retained messages on the ``sku`` topics."""

    def __init__(
        self,
        ingress: IngressQueue,
        parser: MessageParser,
        onboarding: OnboardingCoordinator,
        events: EventLog,
        counters: Counters,
        *,
        grace_s: float,
        recipes: RecipeCache | None = None,
    ) -> None:
        """
        Args:
            grace_s: how long the first frames without a SKU wait for the jobs of their cameras.
            recipes: prepares those of announced products before their first frames.
        """
        self._ingress = ingress
        self._parser = parser
        self._onboarding = onboarding
        self._events = events
        self._counters = counters
        self._recipes = recipes
        self._grace_s = grace_s
        self._grace_ends: float | None = None
        self._jobs: dict[Camera, Job | None] = {}
        self._refused: dict[Camera, str] = {}

    def known_sku(self, camera: Camera) -> str | None:
        """The SKU of the camera's job, if its job has come."""
        job = self._jobs.get(camera)
        return job.sku if job else None

    def why_none(self, camera: Camera) -> str:
        """Why a frame that names no SKU has none, as its reason says it."""
        refused = self._refused.get(camera)
        return NO_SKU if refused is None else f"{NO_SKU}; the last job of its camera was refused: {refused}"

    def sku_of(self, camera: Camera) -> str | None:
        """The SKU of the camera's job. A job that waits behind the camera's frames is taken first.

        Raises:
            StorageError: the job could not be recorded; it is the next delivery to be taken.
        """
        if camera not in self._jobs:
            announced = self._ingress.take_job_of(camera, self._grace_left())
            if announced is not None:
                try:
                    self.receive(announced)
                except Exception:  # whatever it was: nobody else has the job, so it comes next
                    self._ingress.put_back(announced)
                    raise
            self._jobs.setdefault(camera, None)
        return self.known_sku(camera)

    def receive(self, delivery: Delivery) -> None:
        """Take in a job: from now on the camera's frames are of its SKU. Acknowledges the message.

        Raises:
            StorageError: nothing changed; the delivery may be handled again.
        """
        try:
            self._take(delivery)
        except MessageError as error:
            self.refuse(delivery, error)
        delivery.acknowledge()

    def refuse(self, delivery: Delivery, error: MessageError | FrameError) -> None:
        """Record that a message other than a frame cannot be understood, and acknowledge it.

        Raises StorageError.
        """
        self._counters.add("messages_refused")
        if delivery.kind is DeliveryKind.JOB:
            self._refused[delivery.camera] = str(error)
        event = Event(
            f"bad-{delivery.kind}",
            str(error),
            datetime.now(UTC),
            camera=str(delivery.camera),
            severity="warning",
        )
        self._events.store(event)

    def _take(self, delivery: Delivery) -> None:
        camera, job = delivery.camera, self._parser.job(delivery)
        if job is not None:
            job = replace(job, sku=self._onboarding.known_as(job.sku))
            self._onboarding.register(job)
            if self._recipes is not None:
                self._recipes.expect(job.sku, camera)
        if job != self._jobs.get(camera):
            sku = job.sku if job else None
            message = f"{camera} now runs {sku or 'no job'}"
            self._events.store(Event("job", message, datetime.now(UTC), camera=str(camera), sku=sku))
        self._jobs[camera] = job
        self._refused.pop(camera, None)

    def _grace_left(self) -> float:
        """Seconds left to wait. All cameras share one wait: retained jobs come together."""
        now = time.monotonic()
        if self._grace_ends is None:
            self._grace_ends = now + self._grace_s
        return max(0.0, self._grace_ends - now)
