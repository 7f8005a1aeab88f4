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

from agent.ports import OutboxMessage
from tests.adapters.mqtt.helpers import Agent, until
from tests.adapters.mqtt.helpers import options as mqtt_options

DEPLOY = Path(__file__).parents[2] / "deploy"
DEADLINE_S = 10.0
OWN_CAMERAS = ("top", "side")
WITNESS = "witness"
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
    subprocess.run(
        [str(DEPLOY / "prepare"), str(folder / "secrets"), *OWN_CAMERAS], check=True, capture_output=True
    )
    (folder / "secrets" / f"broker_camera_{WITNESS}").write_text("seen\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    text = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
    text = text.replace("listener 1883", f"listener {port} 127.0.0.1", 1)
    text = text.replace("/run/mosquitto/", f"{folder}/run/").replace("/mosquitto/data/", f"{folder}/data/")
    (folder / "config" / "mosquitto.conf").write_text(f"{text}\nuser {getpass.getuser()}\n")
    # The shipped rules as they are, and somebody who sees and says everything.
    shipped = (DEPLOY / "mosquitto" / "acl").read_text()
    (folder / "config" / "acl").write_text(f"{shipped}\nuser {WITNESS}\ntopic readwrite #\n")
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
        self.received: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.connected: queue.Queue[bool] = queue.Queue()
        self.subscribed: queue.Queue[bool] = queue.Queue()
        self.answers: queue.Queue[int] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        if user is not None:
            self._client.username_pw_set(user, _password(secrets, user))
        self._client.on_connect = lambda *arguments: self.connected.put(not arguments[3].is_failure)
        self._client.on_subscribe = lambda *_: self.subscribed.put(True)
        self._client.on_publish = lambda *arguments: self.answers.put(arguments[3].value)
        self._client.on_message = lambda _client, _data, message: self.received.put(
            (message.topic, bytes(message.payload))
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.accepted = self.connected.get(timeout=DEADLINE_S)

    def subscribe(self, *topics: str) -> None:
        """Returns once the broker has answered, and so after all that it sent before."""
        self._client.subscribe([(topic, 0) for topic in topics])
        self.subscribed.get(timeout=DEADLINE_S)

    def publish(self, topic: str, payload: bytes = b"x") -> bool:
        """Whether the broker took it."""
        self._client.publish(topic, payload, qos=1)
        return self.answers.get(timeout=DEADLINE_S) < 0x80

    def drain(self) -> list[tuple[str, bytes]]:
        """What was received so far."""
        found = []
        while not self.received.empty():
            found.append(self.received.get())
        return found

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _password(secrets: Path, user: str) -> str:
    file = secrets / f"broker_{user}"
    own = secrets / f"broker_camera_{user}"
    return (own if own.exists() else file).read_text().strip()


RESULTS = {"p/l/top/verdict", "p/l/top/alert", "p/l/top/mask", "p/sightline/c/status", "p/sightline/c/alert"}
FRAMES = {"p/l/top/frame", "p/l/side/frame", "p/other/top/frame"}
OF_ROLES = {"p/l/agent/frame", "p/l/viewer/frame", "p/l/operator/frame"}
PEOPLES = {"p/l/top/sku", "p/l/top/reference", "p/l/top/feedback", "p/sightline/c/command"}
REPLIES = {"p/sightline/c/reply", "response/one", "response/one/two"}
ELSEWHERE = {"p/l/top/frame/x", "p/l/top", "other", "$SYS/broker/uptime", "p/l/top/x"}
TOPICS = RESULTS | FRAMES | OF_ROLES | PEOPLES | REPLIES | ELSEWHERE

WRITES: dict[str, set[str]] = {
    "agent": RESULTS | REPLIES,
    "camera": FRAMES | OF_ROLES,
    "viewer": set(),
    "operator": PEOPLES,
    "top": {"p/l/top/frame", "p/other/top/frame"},
    "side": {"p/l/side/frame"},
}
READS: dict[str, set[str]] = {
    "agent": FRAMES | (OF_ROLES - {"p/l/agent/frame"}) | PEOPLES,
    "camera": set(),
    "viewer": RESULTS,
    "operator": RESULTS | REPLIES,
    "top": set(),
    "side": set(),
}


@pytest.mark.parametrize("user", sorted(WRITES))
def test_what_each_user_may_publish(broker: tuple[int, Path], user: str) -> None:
    """Every topic is really tried, and it is the delivery that counts."""
    with Client(*_as(broker, WITNESS)) as witness, Client(*_as(broker, user)) as client:
        witness.subscribe(*TOPICS)
        witness.drain()
        taken = {topic for topic in sorted(TOPICS) if client.publish(topic, b"forged")}
        witness.subscribe("nothing")
        passed = {topic for topic, payload in witness.drain() if payload == b"forged"}
    assert passed == WRITES[user]
    assert taken == WRITES[user]


@pytest.mark.parametrize("user", sorted(READS))
def test_what_each_user_receives(broker: tuple[int, Path], user: str) -> None:
    with Client(*_as(broker, WITNESS)) as witness, Client(*_as(broker, user)) as client:
        client.subscribe("#", "$SYS/#", *TOPICS)
        for topic in TOPICS:
            witness.publish(topic, b"shown")
        client.subscribe("nothing")
        assert {topic for topic, _ in client.drain()} == READS[user]


def test_nobody_without_a_name(broker: tuple[int, Path]) -> None:
    with Client(broker[0], None, broker[1]) as nobody:
        assert not nobody.accepted


def test_a_large_frame_reaches_the_agent(broker: tuple[int, Path]) -> None:
    with Client(*_as(broker, "agent")) as agent, Client(*_as(broker, "camera")) as camera:
        agent.subscribe("factory/+/+/frame")
        assert camera.publish("factory/press/top/frame", bytes(27_000_000))
        topic, payload = agent.received.get(timeout=DEADLINE_S)
        assert (topic, len(payload)) == ("factory/press/top/frame", 27_000_000)


def test_an_agent_works_with_its_rights(broker: tuple[int, Path]) -> None:
    """Subscriptions, presence and a verdict, as the agent does them."""
    port, secrets = broker
    password = _password(secrets, "agent")
    options = mqtt_options(f"mqtt://127.0.0.1:{port}", username="agent", password=password)
    with Client(*_as(broker, "viewer")) as viewer, Client(*_as(broker, "camera")) as camera:
        with Agent(options, "plant", prompt=True) as agent:
            assert agent.transport.wait_connected(DEADLINE_S), agent.transport.last_error
            viewer.subscribe("plant/#")
            assert camera.publish("plant/line/top/frame", b"image")
            assert until(lambda: agent.deliveries)
            for kind in ("verdict", "mask", "alert"):
                message = OutboxMessage("mqtt", kind, f"plant/line/top/{kind}", b"{}")
                assert agent.transport.publish(message).wait(DEADLINE_S)
        viewer.subscribe("nothing")
        seen = [topic for topic, _ in viewer.drain()]
        for kind in ("verdict", "mask", "alert"):
            assert f"plant/line/top/{kind}" in seen
        assert "plant/sightline/cell-7/status" in seen


@pytest.mark.parametrize("name", ["viewer", "a/b", "+", ""])
def test_a_camera_cannot_be_called_as_a_role_or_a_wildcard(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [str(DEPLOY / "prepare"), str(tmp_path / "secrets"), name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is not a role" in done.stderr


def _as(broker: tuple[int, Path], user: str) -> tuple[int, str, Path]:
    return broker[0], user, broker[1]
