"""``sightline run`` as a process of its own, against a real broker; the null method stands for the models."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from adapters.cli.commands import application
from adapters.cli.run import SWITCH_S, settle_process
from tests.adapters.cli.conftest import CommandLine
from tests.fixtures.mosquitto import Mosquitto

pytestmark = pytest.mark.system

DEADLINE_S = 60.0
MAIN = "from adapters.cli import main; main()"
Gears = Callable[[str, int], Path]


class Mailbox:
    """JSON messages of a site, waited for by topic and content."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, dict[str, Any]]] = []
        self._changed = threading.Condition()

    def put(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self._messages.append((message.topic, json.loads(message.payload)))
            self._changed.notify_all()

    def wait_for(self, last_level: str, **fields: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            for topic, body in self._messages:
                if topic.endswith(f"/{last_level}") and fields.items() <= body.items():
                    return body
            return None

        with self._changed:
            body = self._changed.wait_for(found, DEADLINE_S)
        assert body is not None, self._messages
        return body


@contextmanager
def mailbox(broker: Mosquitto, site: str) -> Iterator[Mailbox]:
    box, client = Mailbox(), mqtt.Client(CallbackAPIVersion.VERSION2)

    def subscribe(*_: object) -> None:
        client.subscribe([(f"{site}/+/+/verdict", 1), (f"{site}/sightline/+/status", 1)])

    client.on_connect = subscribe
    client.on_message = box.put
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield box
    client.disconnect()
    client.loop_stop()


def test_it_inspects_until_it_is_stopped(sightline: CommandLine, mosquitto: Mosquitto, gears: Gears) -> None:
    site = f"site-{uuid.uuid4().hex[:8]}"
    options = (
        "--set",
        f"broker.url={mosquitto.url}",
        "--set",
        f"agent.site={site}",
        "--set",
        f"agent.id={site}",
    )
    command = [
        sys.executable,
        "-c",
        MAIN,
        "run",
        *options,
        "--set",
        "inspection.method=null",
        "--set",
        "metrics.port=0",
    ]
    with mailbox(mosquitto, site) as box:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=sightline.folder)
        try:
            assert box.wait_for("status", status="online")["agent"] == site
            sightline(
                "camera", "--source", str(gears("images", 1)), "--camera", "l/c", "--sku", "A", *options
            )
            assert box.wait_for("verdict", frame_id="000.jpg")["verdict"] == "PASS"
            process.send_signal(signal.SIGTERM)
            _, text = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
        assert process.returncode == 0, text
        box.wait_for("status", status="stopped")
    assert all(word in text for word in ("version:", "profile: embedded", "broker:", "database:", "device:"))
    assert "Traceback" not in text


class DyingAgent:
    """An agent one of whose parts dies at once."""

    description: ClassVar[dict[str, str]] = {"version": "0"}
    stopped = False
    stuck = False

    def start(self) -> None:
        """See RunningAgent."""

    def stop(self) -> None:
        """See RunningAgent."""
        self.stopped = True

    def wait(self, timeout_s: float) -> bool:
        """See RunningAgent."""
        return True


class DyingComposition:
    """Builds it."""

    def __init__(self) -> None:
        self.built = DyingAgent()

    def agent(self, _settings: object) -> DyingAgent:
        """See Composition."""
        return self.built


def test_a_part_that_dies_ends_the_process_with_an_error() -> None:
    composition = DyingComposition()
    result = CliRunner().invoke(application(), ["run"], obj=composition)
    assert result.exit_code == 1
    assert composition.built.stopped
    assert "a part of the agent died" in result.stderr


def test_weights_that_are_not_there_are_one_sentence(sightline: CommandLine) -> None:
    command = [sys.executable, "-c", MAIN, "run", "--set", "models.clip=no-such-model"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=sightline.folder, check=False)
    assert ended.returncode == 1
    assert "no-such-model" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_the_start_left_is_no_garbage_to_look_through() -> None:
    before = sys.getswitchinterval()
    try:
        settle_process()
        assert gc.get_freeze_count() > 0
        assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)
