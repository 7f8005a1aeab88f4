"""``Plant``: a broker, an agent and a camera in processes of their own, for ``bench --agent``."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agent.domain.errors import ConfigurationError, SightlineError
from agent.domain.frame import Camera

if TYPE_CHECKING:
    import paho.mqtt.client as mqtt

    from adapters.mqtt.camera_publisher import CameraPublisher
    from adapters.mqtt.connection import Connection
    from adapters.mqtt.publish_queue import PublishPacket
    from adapters.mqtt.session import Session
    from config import Settings

SKU = "bench"
READY_S = 300.0
QUIET_S = 60.0
"""If no verdict arrives for so long, the missing ones are lost."""
OPEN = 256
"""Frames on their way at full load: enough that the agent never waits for the camera."""

_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
_STARTED_S = 20.0
_END_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class Load:
    """What came of frames that were published at one rate."""

    frames: int
    seconds: float
    """From the first image to the last verdict."""
    latency_ms: tuple[float, ...]
    """From publishing an image to its verdict's arrival, in order of arrival."""
    stages_ms: Mapping[str, float]
    """Mean time of a frame by stage, as the agent measures it; ``total``: from receipt to row."""
    commits: float
    """Writing transactions a frame."""
    syncs: float
    """Syncs of media files and folders a frame."""
    messages: float
    """Messages sent a frame."""
    cpu_ms: Mapping[str, float]
    """Processor time a frame of ``agent``, ``decoder`` and ``broker``; ``camera``: of this process."""


class Broker(AbstractContextManager["Broker"]):
    """A mosquitto of its own on a free port, without persistence."""

    def __init__(self, folder: Path, name: str = "mosquitto") -> None:
        """Raises ConfigurationError: mosquitto is not installed under that name."""
        found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(_FOLDERS))
        if found is None:
            raise ConfigurationError(
                "bench --agent needs the broker mosquitto, which is not installed here; "
                "on Debian or Ubuntu: sudo apt install mosquitto"
            )
        self.port = free_port()
        config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "log_dest none"]
        # Started by root, mosquitto becomes a user of its own, who may not read this folder.
        config.write_text("\n".join([*lines, f"user {getpass.getuser()}", ""]), encoding="utf-8")
        self._process = subprocess.Popen(
            [found, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        """Raises SightlineError: it does not accept connections."""
        deadline = time.monotonic() + _STARTED_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
                    return self
            except OSError as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.__exit__(None, None, None)
                    raise SightlineError(f"mosquitto does not start: {error}") from error
                time.sleep(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(_END_S)


class AgentProcess(AbstractContextManager["AgentProcess"]):
    """``sightline run`` with the options of this command and its own broker, history and port."""

    def __init__(self, options: Sequence[str], folder: Path) -> None:
        self._port = free_port()
        self._log = folder / "agent.log"
        more = [f"metrics.port={self._port}", "metrics.enabled=true", "metrics.host=127.0.0.1"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command("run", *options, *overrides(more)), stdout=log, stderr=log
            )

    def __enter__(self) -> Self:
        """Raises SightlineError: it does not become ready."""
        deadline = time.monotonic() + READY_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise SightlineError(f"the agent did not become ready: {self._last_line()}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def metrics(self) -> dict[str, float]:
        """Values by name and labels, as the metrics page writes them."""
        text = self._get("/metrics").decode()
        rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name.removeprefix("sightline_"): float(value) for name, _, value in rows}

    def processes(self) -> dict[str, int]:
        """Process ids of the agent and its decoder."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        found = {"agent": self._process.pid}
        try:
            ids = [int(one) for one in children.read_text().split()]
        except OSError:
            return found
        return found | ({"decoder": ids[0]} if ids else {})

    def _ready(self) -> bool:
        try:
            self._get("/readyz")
        except (OSError, HTTPException):
            return False
        return True

    def _get(self, page: str) -> bytes:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        with closing(connection):
            connection.request("GET", page)
            answer = connection.getresponse()
            content = answer.read()
        if answer.status != HTTPStatus.OK:
            raise ConnectionError(f"{page} answers {answer.status}")
        return content

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote no log"


class Plant(AbstractContextManager["Plant"]):
    """Broker, agent and camera; publishes images and receives their verdicts."""

    def __init__(self, settings: Settings, options: Sequence[str], folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._options = options
        self._stack = ExitStack()
        self._verdicts = Verdicts()
        self._number = 0

    def __enter__(self) -> Self:
        """Start everything. Raises SightlineError."""
        with ExitStack() as stack:
            self._broker = stack.enter_context(Broker(self._folder))
            url = self._broker.url
            options = [*self._options, *overrides([f"broker.url={url}"])]
            self._agent = stack.enter_context(AgentProcess(options, self._folder))
            stack.enter_context(self._verdicts.received_from(self._settings, url))
            self._camera = stack.enter_context(self._publisher(url))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, images: Sequence[bytes], seconds: float, most: int, rate_hz: float | None = None) -> Load:
        """Publish for so long, at most ``most`` images, and wait for their verdicts.

        Args:
            images: JPEG files, used in turn; each is sent as a file of its own.
            rate_hz: images a second; None: as fast as the agent takes them.

        Raises SightlineError: verdicts are missing.
        """
        before, cpu = self._agent.metrics(), self._cpu()
        first = self._number
        started = time.monotonic()
        while self._number - first < most and time.monotonic() < started + seconds:
            due = 0.0 if rate_hz is None else started + (self._number - first) / rate_hz
            time.sleep(max(0.0, due - time.monotonic()))
            self._publish(images[self._number % len(images)])
        latency, last = self._verdicts.wait(first, self._number)
        frames = self._number - first
        self._settle(before, frames)
        after = self._agent.metrics()
        used = {name: one - cpu[name] for name, one in self._cpu().items()}
        return Load(
            frames=frames,
            seconds=last - started,
            latency_ms=latency,
            stages_ms=dict(_stages(before, after)),
            commits=_rise(before, after, "database_commits_total") / frames,
            syncs=_rise(before, after, "media_syncs_total") / frames,
            messages=_rise(before, after, 'messages_sent_total{sink="mqtt"}') / frames,
            cpu_ms={name: 1000.0 * one / frames for name, one in used.items()},
        )

    def _publish(self, image: bytes) -> None:
        from adapters.mqtt.camera_publisher import Shot

        self._verdicts.wait_for_room(self._number, OPEN)
        # Bytes behind the end of a JPEG do no harm, and make it a file that the media folder does not have.
        content = image + b"%d" % self._number
        self._verdicts.published(self._number)
        self._camera.publish(Shot(content, sku=SKU, frame_id=f"frame-{self._number}"))
        self._number += 1

    def _settle(self, before: Mapping[str, float], frames: int) -> None:
        """Wait until the messages of all frames are marked as sent, so that they are counted."""
        name, deadline = 'messages_sent_total{sink="mqtt"}', time.monotonic() + QUIET_S
        while _rise(before, self._agent.metrics(), name) < frames and time.monotonic() < deadline:
            time.sleep(0.05)

    def _publisher(self, url: str) -> CameraPublisher:
        from agent.app.broker import camera_publisher

        camera = Camera(self._settings.agent.site, "bench", "camera")
        return camera_publisher(self._settings, url, camera, form="raw", version="5")

    def _cpu(self) -> dict[str, float]:
        """Seconds of processor time so far by process; those that the system does not report are missing."""
        ids = {**self._agent.processes(), "broker": self._broker.pid, "camera": os.getpid()}
        found = {name: _processor_s(number) for name, number in ids.items()}
        return {name: seconds for name, seconds in found.items() if seconds is not None}


class Verdicts:
    """A subscriber that notes when each verdict arrived; a listener of its session."""

    def __init__(self) -> None:
        self._published: dict[int, float] = {}
        self._arrived: dict[int, float] = {}
        self._changed = threading.Condition()

    def received_from(self, settings: Settings, url: str) -> AbstractContextManager[object]:
        """Connected to the broker for as long as the context lasts."""
        from adapters.mqtt.session import Session
        from agent.app.broker import client_options, topics_of
        from agent.telemetry import Counters

        topic = topics_of(settings).build("verdict", Camera(settings.agent.site, "bench", "camera"))
        options = client_options(settings, url, "observer", "5")
        session = Session(options, Counters(), subscriptions=(topic,), listener=self, name="observer")
        return _Connected(session)

    def published(self, number: int) -> None:
        self._published[number] = time.monotonic()

    def wait_for_room(self, number: int, most: int) -> None:
        """Wait until fewer than ``most`` frames before ``number`` are without their verdict."""
        with self._changed:
            if not self._changed.wait_for(lambda: number - len(self._arrived) < most, QUIET_S):
                raise SightlineError(f"no verdict arrived for {QUIET_S:g} s")

    def wait(self, first: int, after: int) -> tuple[tuple[float, ...], float]:
        """Milliseconds of each frame, and when the last verdict arrived. Raises SightlineError."""
        with self._changed:
            while (missing := after - len(self._arrived)) > 0:
                done = len(self._arrived)
                if not self._changed.wait_for(lambda done=done: len(self._arrived) > done, QUIET_S):  # type: ignore[misc]
                    raise SightlineError(f"{missing} of {after - first} verdicts never arrived")
        times = sorted((self._arrived[one], self._published[one]) for one in range(first, after))
        return tuple(1000.0 * (arrived - sent) for arrived, sent in times), times[-1][0]

    def will(self) -> PublishPacket:
        """As an observer has to have one."""
        from adapters.mqtt.publish_queue import PublishPacket

        return PublishPacket("bench/observer", b"gone")

    def on_ready(self, connection: Connection) -> None:
        """Does nothing."""

    def on_message(self, connection: Connection, message: mqtt.MQTTMessage) -> None:
        """Note the arrival; a repeated verdict keeps its first time."""
        now, payload = time.monotonic(), bytes(message.payload)
        connection.unacknowledged.receive(message.mid)()
        _, _, rest = payload.partition(b'"frame_id":"frame-')
        with self._changed:
            self._arrived.setdefault(int(rest.partition(b'"')[0]), now)
            self._changed.notify_all()


class _Connected(AbstractContextManager["_Connected"]):
    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> Self:
        self._session.start()
        if not self._session.wait_connected(_STARTED_S):
            raise SightlineError(f"the observer cannot connect: {self._session.last_error}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.stop()


def command(*arguments: str) -> list[str]:
    """This installation's ``sightline``, without its entry point: that may not be on the path."""
    return [sys.executable, "-c", "from adapters.cli import main; main()", *arguments]


def overrides(pairs: Sequence[str]) -> list[str]:
    return [part for pair in pairs for part in ("--set", pair)]


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rise(before: Mapping[str, float], after: Mapping[str, float], name: str) -> float:
    return after.get(name, 0.0) - before.get(name, 0.0)


def _stages(before: Mapping[str, float], after: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for stage in ("queue", "decode", "infer", "record", "commit"):
        label = f'{{stage="{stage}"}}'
        count = _rise(before, after, f"stage_seconds_count{label}")
        yield stage, 1000.0 * _rise(before, after, f"stage_seconds_sum{label}") / max(1.0, count)
    count = _rise(before, after, "frame_seconds_count")
    yield "total", 1000.0 * _rise(before, after, "frame_seconds_sum") / max(1.0, count)


def _processor_s(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS
