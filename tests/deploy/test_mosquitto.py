"""The shipped broker configuration, started by the shipped script with a real mosquitto."""

from __future__ import annotations

import getpass
import os
import queue
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

DEPLOY = Path(__file__).parents[2] / "deploy"
DEADLINE_S = 10.0
SBIN = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Port of a running broker, and the folder with its users' passwords."""
    path = f"{os.environ.get('PATH', '')}:{SBIN}"
    for program in ("mosquitto", "mosquitto_passwd"):
        if shutil.which(program, path=path) is None:
            pytest.skip(f"{program} is not installed")
    folder = tmp_path_factory.mktemp("broker")
    for name in ("run", "data", "config"):
        (folder / name).mkdir()
    subprocess.run([str(DEPLOY / "prepare"), str(folder / "secrets")], check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    text = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
    text = text.replace("listener 1883", f"listener {port} 127.0.0.1", 1)
    text = text.replace("/run/mosquitto/", f"{folder}/run/").replace("/mosquitto/data/", f"{folder}/data/")
    (folder / "config" / "mosquitto.conf").write_text(f"{text}\nuser {getpass.getuser()}\n")
    shutil.copy(DEPLOY / "mosquitto" / "acl", folder / "config")
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", str(DEPLOY / "mosquitto" / "start")],
            env={
                "PATH": path,
                "RUN_FOLDER": str(folder / "run"),
                "SECRETS_FOLDER": str(folder / "secrets"),
                "CONFIG_FOLDER": str(folder / "config"),
                "OWNER": getpass.getuser(),
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"mosquitto did not start: {log.read_text()}")
                time.sleep(0.02)
        yield port, folder / "secrets"
    finally:
        process.terminate()
        process.wait(DEADLINE_S)
    complaints = re.findall(r"^\d+: (?:Error|Warning).*", log.read_text(), flags=re.MULTILINE)
    # Tests may run as root; the broker in its container does not.
    assert [line for line in complaints if "run as root" not in line] == []


class Client:
    """A connected client that keeps what it receives."""

    def __init__(self, port: int, user: str | None, secrets: Path) -> None:
        self.received: queue.Queue[tuple[str, int]] = queue.Queue()
        self.connected: queue.Queue[bool] = queue.Queue()
        self.subscribed: queue.Queue[bool] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        if user is not None:
            self._client.username_pw_set(user, (secrets / f"broker_{user}").read_text().strip())
        self._client.on_connect = lambda *arguments: self.connected.put(not arguments[3].is_failure)
        self._client.on_subscribe = lambda *_: self.subscribed.put(True)
        self._client.on_message = lambda _client, _data, message: self.received.put(
            (message.topic, len(message.payload))
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.accepted = self.connected.get(timeout=DEADLINE_S)

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)
        self.subscribed.get(timeout=DEADLINE_S)

    def publish(self, topic: str, payload: bytes = b"x") -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(DEADLINE_S)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_nobody_without_a_name(broker: tuple[int, Path]) -> None:
    with Client(broker[0], None, broker[1]) as nobody:
        assert not nobody.accepted


def test_a_large_frame_reaches_the_agent_and_its_verdict_the_reader(broker: tuple[int, Path]) -> None:
    with Client(*_as(broker, "agent")) as agent, Client(*_as(broker, "camera")) as camera:
        agent.subscribe("factory/+/+/frame")
        camera.publish("factory/press/top/frame", bytes(27_000_000))
        assert agent.received.get(timeout=DEADLINE_S) == ("factory/press/top/frame", 27_000_000)
        with Client(*_as(broker, "reader")) as reader:
            reader.subscribe("+/+/+/verdict")
            reader.subscribe("+/sightline/+/status")
            agent.publish("factory/press/top/verdict")
            agent.publish("factory/sightline/cell-7/status")
            seen = {reader.received.get(timeout=DEADLINE_S)[0] for _ in range(2)}
            assert seen == {"factory/press/top/verdict", "factory/sightline/cell-7/status"}


def test_a_camera_cannot_pass_a_verdict(broker: tuple[int, Path]) -> None:
    with Client(*_as(broker, "reader")) as reader, Client(*_as(broker, "camera")) as camera:
        reader.subscribe("+/+/+/verdict")
        camera.publish("factory/press/top/verdict")
        with Client(*_as(broker, "agent")) as agent:
            agent.publish("factory/press/side/verdict")
        # The broker delivers in order: had the forged one passed, it would come first.
        assert reader.received.get(timeout=DEADLINE_S)[0] == "factory/press/side/verdict"


def test_only_engineers_send_commands(broker: tuple[int, Path]) -> None:
    with Client(*_as(broker, "agent")) as agent, Client(*_as(broker, "engineer")) as engineer:
        agent.subscribe("factory/sightline/cell-7/command")
        engineer.subscribe("factory/sightline/+/reply")
        for user in ("reader", "camera"):
            with Client(*_as(broker, user)) as other:
                other.publish("factory/sightline/cell-7/command", b"forged")
        engineer.publish("factory/sightline/cell-7/command", b"{}")
        # Had a forged one passed, it would come first.
        assert agent.received.get(timeout=DEADLINE_S) == ("factory/sightline/cell-7/command", 2)
        agent.publish("factory/sightline/cell-7/reply")
        assert engineer.received.get(timeout=DEADLINE_S)[0] == "factory/sightline/cell-7/reply"


def _as(broker: tuple[int, Path], user: str) -> tuple[int, str, Path]:
    return broker[0], user, broker[1]
