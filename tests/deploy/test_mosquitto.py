"""The shipped broker configuration, started by the shipped script with a real mosquitto."""

from __future__ import annotations

import getpass
import json
import os
import queue
import re
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from adapters.cli.checks import check_broker
from agent.app import Application
from agent.ports import OutboxMessage
from config import load
from tests.adapters.mqtt.helpers import Agent, until
from tests.adapters.mqtt.helpers import options as mqtt_options
from tests.support.factory import encoded
from tests.support.images import part

DEPLOY = Path(__file__).parents[2] / "deploy"
README = DEPLOY / "README.md"
DEADLINE_S = 10.0
OWN_CAMERAS = ("top", "side")
WITNESS = "witness"
TLS_SECRETS = {"tls_ca": "ca.pem", "tls_certificate": "server.pem", "tls_key": "server.key"}
SBIN = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"


@contextmanager
def shipped_broker(folder: Path, *, tls: bool = False) -> Iterator[int]:
    """The shipped configuration, rights and start script in ``folder``; yields the port."""
    path = f"{os.environ.get('PATH', '')}:{SBIN}"
    for program in ("mosquitto", "mosquitto_passwd", *(("openssl",) if tls else ())):
        if shutil.which(program, path=path) is None:
            pytest.skip(f"{program} is not installed")
    for name in ("run", "data", "config"):
        (folder / name).mkdir()
    subprocess.run(
        [str(DEPLOY / "prepare"), str(folder / "secrets"), *OWN_CAMERAS], check=True, capture_output=True
    )
    (folder / "secrets" / f"broker_camera_{WITNESS}").write_text("seen\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])

    def install(name: str, more: str = "") -> None:
        text = (DEPLOY / "mosquitto" / name).read_text()
        text = re.sub(r"^listener \d+$", f"listener {port} 127.0.0.1", text, flags=re.MULTILINE)
        text = text.replace("/run/mosquitto/", f"{folder}/run/")
        text = text.replace("/mosquitto/data/", f"{folder}/data/")
        (folder / "config" / name).write_text(f"{text}\n{more}\n")

    install("mosquitto.conf", f"user {getpass.getuser()}")
    # The shipped rules as they are, and somebody who sees and says everything.
    install("acl", f"user {WITNESS}\ntopic readwrite #")
    if tls:
        install("tls.conf")
        command = [str(DEPLOY / "certificates"), str(folder / "tls"), "broker.factory.example", "192.0.2.10"]
        subprocess.run(command, check=True, capture_output=True)
        for secret, file in TLS_SECRETS.items():
            (folder / "secrets" / secret).symlink_to(folder / "tls" / file)
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
        yield port
    finally:
        process.terminate()
        process.wait(DEADLINE_S)
    complaints = re.findall(r"^\d+: (?:Error|Warning).*", log.read_text(), flags=re.MULTILINE)
    # Tests may run as root; the broker in its container does not.
    assert [line for line in complaints if "run as root" not in line] == []


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Port of a running broker, and the folder with its users' passwords."""
    folder = tmp_path_factory.mktemp("broker")
    with shipped_broker(folder) as port:
        yield port, folder / "secrets"


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
STATUS = {"p/sightline/c/status"}
VERDICTS = {"response/controller/plc-1", "response/controller/x/y"}
OF_TOP = {"response/controller/top/1"}
PEOPLES = {"p/l/top/sku", "p/l/top/reference", "p/l/top/feedback", "p/sightline/c/command"}
REPLIES = {"p/sightline/c/reply", "response/one", "response/one/two"}
ELSEWHERE = {"p/l/top/frame/x", "p/l/top", "other", "$SYS/broker/uptime", "p/l/top/x"}
TOPICS = RESULTS | FRAMES | OF_ROLES | PEOPLES | REPLIES | VERDICTS | OF_TOP | ELSEWHERE

WRITES: dict[str, set[str]] = {
    "agent": RESULTS | REPLIES | VERDICTS | OF_TOP,
    "camera": FRAMES | OF_ROLES,
    "controller": FRAMES | OF_ROLES,
    "viewer": set(),
    "operator": PEOPLES,
    "top": {"p/l/top/frame", "p/other/top/frame"},
    "side": {"p/l/side/frame"},
}
READS: dict[str, set[str]] = {
    "agent": FRAMES | (OF_ROLES - {"p/l/agent/frame"}) | PEOPLES | STATUS,
    "camera": set(),
    "controller": VERDICTS | OF_TOP,
    "viewer": RESULTS,
    "operator": RESULTS | REPLIES,
    "top": OF_TOP,
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


@pytest.mark.slow
def test_a_controller_gets_the_verdict_on_its_frame_and_nobody_else_sees_it(
    broker: tuple[int, Path], tmp_path: Path
) -> None:
    """Request and response of MQTT 5 with a whole agent, the shipped rights and the shipped passwords."""
    port, secrets = broker
    settings = load(
        overrides=[
            f"broker.url=mqtt://127.0.0.1:{port}",
            "broker.username=agent",
            f"broker.password_file={secrets / 'broker_agent'}",
            f"database.url=sqlite:///{tmp_path / 'history.db'}",
            f"media.path={tmp_path / 'media'}",
            "agent.id=cell-8",
            "inspection.method=null",
            "metrics.enabled=false",
            "ollama.enabled=false",
        ],
        environ={},
    ).settings
    image = tmp_path / "part.png"
    image.write_bytes(encoded(part(1)))
    others = ("camera", "viewer", "operator", "side")
    agent = Application().agent(settings)
    with ExitStack() as stack:
        watching = [stack.enter_context(Client(*_as(broker, user))) for user in others]
        for client in watching:
            client.subscribe("response/#", "response/controller/plc-1", "response/+/+")
        agent.start()
        stack.callback(agent.stop)
        assert until(lambda: agent.connected)
        answers = [
            _ask(broker, image, user, topic)
            for user, topic in (
                ("controller", "response/controller/plc-1"),
                ("top", "response/controller/top"),
            )
        ]
        for client in watching:
            client.subscribe("nothing")
            assert client.drain() == []
    for answer, data in answers:
        assert answer["schema"] == "sightline.verdict/1"
        assert answer["camera"] == "top"
        assert data == b"\x00part 7"


def _ask(broker: tuple[int, Path], image: Path, user: str, topic: str) -> tuple[dict[str, Any], bytes]:
    """Send a frame as a controller does; the verdict and the correlation data that came back with it."""
    came: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
    with Client(*_as(broker, user)) as controller:
        controller.subscribe(topic)
        controller._client.on_message = lambda _client, _data, message: came.put(message)
        asked = Properties(PacketTypes.PUBLISH)
        asked.ResponseTopic, asked.CorrelationData = topic, b"\x00part 7"
        controller._client.publish("factory/press/top/frame", image.read_bytes(), 1, properties=asked)
        message = came.get(timeout=DEADLINE_S)
    return json.loads(message.payload), getattr(message.properties, "CorrelationData", b"")


def test_the_request_of_the_documentation_is_one_that_mosquittos_own_client_can_make(
    broker: tuple[int, Path], tmp_path: Path
) -> None:
    """Word for word, but for the port and the file: answered here by a stand-in with the agent's rights."""
    if shutil.which("mosquitto_rr") is None:
        pytest.skip("mosquitto_rr is not installed")
    (command,) = re.findall(r"^mosquitto_rr (?:.*\\\n)*.*$", README.read_text(), flags=re.MULTILINE)
    (tmp_path / "part.jpg").write_bytes(b"image")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "secrets").symlink_to(broker[1])
    with Client(*_as(broker, "agent")) as agent:

        def answer(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
            client.publish(getattr(message.properties, "ResponseTopic", ""), b"the verdict", 1)

        agent._client.on_message = answer
        agent.subscribe("factory/+/+/frame")
        done = subprocess.run(
            ["/bin/sh", "-c", command.replace("-h 127.0.0.1", f"-h 127.0.0.1 -p {broker[0]}")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.stdout.strip(), done.stderr) == ("the verdict", "")


@pytest.mark.slow
def test_compose_with_tls(tmp_path: Path) -> None:
    """The script's certificates, the shipped listener, the health check as written, and an agent by TLS."""
    compose = yaml.safe_load((DEPLOY / "compose.tls.yaml").read_text())
    assert {name: Path(one["file"]).name for name, one in compose["secrets"].items()} == TLS_SECRETS
    variables = compose["services"]["agent"]["environment"]
    _, test = compose["services"]["mosquitto"]["healthcheck"]["test"]
    with shipped_broker(tmp_path, tls=True) as port:

        def here(text: str) -> str:
            """What the container sees, where it lies in this test."""
            found = text.replace("/run/secrets/", f"{tmp_path}/secrets/").replace("8883", str(port))
            return found.replace("$$", "$").replace("mosquitto:", "localhost:")

        def healthy(command: str) -> bool:
            return (
                subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False).returncode == 0
            )

        if shutil.which("mosquitto_sub") is not None:
            assert healthy(here(test))
            assert not healthy(
                here(test).replace("-h localhost", "-h 127.0.0.2"),
            ), "the name is verified"
            assert not healthy(here(test).replace("tls_ca", "broker_agent")), "the authority is verified"
        environ = {name: here(value) for name, value in variables.items()}
        places = [
            f"broker.password_file={tmp_path}/secrets/broker_agent",
            f"database.url=sqlite:///{tmp_path}/history.db",
            "database.password_file=",
            f"media.path={tmp_path}/media",
            "inspection.method=null",
            "metrics.enabled=false",
            "ollama.enabled=false",
        ]
        settings = load(DEPLOY / "sightline.yaml", overrides=places, environ=environ).settings
        agent = Application().agent(settings)
        agent.start()
        try:
            assert until(lambda: agent.connected)
            assert " by TLS" in check_broker(settings).detail
        finally:
            agent.stop()
        made = [str(DEPLOY / "certificates"), "--client", "agent", str(tmp_path / "tls")]
        subprocess.run(made, check=True, capture_output=True)
        answer = subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "ca.pem", "agent.pem"],
            cwd=tmp_path / "tls",
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.stdout.strip() == "agent.pem: OK", answer.stderr


def test_certificates_are_renewed_by_the_same_authority_and_names_are_checked(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")

    def make(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(DEPLOY / "certificates"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    folder = tmp_path / "tls"
    assert make(str(folder)).returncode == 0
    before = {file.name: file.read_text() for file in folder.iterdir()}
    assert make(str(folder), "10.0.0.7", "fe80::1", "line-1.example").returncode == 0
    after = {file.name: file.read_text() for file in folder.iterdir()}
    assert set(after) == {"ca.key", "ca.pem", "server.key", "server.pem"}
    assert {name for name in after if after[name] == before[name]} == {"ca.key", "ca.pem"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    show = ["openssl", "x509", "-in", str(folder / "server.pem"), "-noout", "-ext", "subjectAltName"]
    names = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    for name in ("DNS:mosquitto", "DNS:localhost", "IP Address:127.0.0.1", "IP Address:10.0.0.7"):
        assert name in names
    assert "DNS:line-1.example" in names
    for refused in (("a,DNS:evil",), ("",)):
        assert make(str(folder), *refused).returncode == 1
    assert make("--client", "../x", str(folder)).returncode == 1
    assert make("--client", "server", str(folder)).returncode == 1


@pytest.mark.parametrize("name", ["viewer", "controller", "a/b", "+", ""])
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
