"""Metrics and health pages of a whole agent: each part is broken, and a real HTTP client looks."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.app import Application
from agent.app.agent import Agent
from agent.domain.errors import ConfigurationError
from config import load
from tests.deploy.test_monitoring import queries, rules, told_by
from tests.fixtures.mosquitto import Mosquitto, StartMosquitto, free_port
from tests.support.factory import wait_until
from tests.support.promql import metrics_of
from tests.system.agent_pages import UNWELL_S, AgentPages
from tests.system.conftest import StartAgent
from tests.system.images import drawn
from tests.system.process import write_config
from tests.system.subscriber import Subscriber

BASE = "factory/line-1/cam-1"
NULL = {"method": "null"}


class Systemd:
    """The manager's end of the socket that it names to its services; it hears all the time."""

    def __init__(self, address: Path) -> None:
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        self._socket.settimeout(0.1)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def wait_for(self, start: str) -> None:
        """Wait until a word begins so, after those that were waited for before."""
        wait_until(lambda: any(one.startswith(start) for one in list(self.heard)), start, UNWELL_S)
        self.heard.clear()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._socket.close()

    def _hear(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                self.heard.append(self._socket.recv(4096).decode())


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """Whoever is started by this test is started by systemd."""
    manager = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    yield manager
    manager.close()


@contextmanager
def inside(folder: Path, broker: Mosquitto, **sections: dict[str, Any]) -> Iterator[tuple[Agent, AgentPages]]:
    """The agent in this process, so that a test can break its parts."""
    port = free_port()
    url = f"sqlite:///{folder / 'history.db'}"
    config = write_config(
        folder,
        broker.url,
        url,
        inspection=NULL,
        metrics={"enabled": True, "port": port},
        **sections,
    )
    agent = Application().agent(load(config, environ={}).settings)
    try:
        agent.start()
        yield agent, AgentPages(port)
    finally:
        agent.stop()


def test_a_broker_that_goes_and_comes_and_what_a_scrape_holds(
    sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent, systemd: Systemd
) -> None:
    broker, port = start_mosquitto(), free_port()
    agent = start_agent(broker.url, sqlite_url, inspection=NULL, metrics={"enabled": True, "port": port})
    pages = AgentPages(port)
    systemd.wait_for("READY=1")
    pages.wait_ready()
    systemd.wait_for("WATCHDOG=1\nSTATUS=judging frames")
    shots = list(drawn("gear", 4))
    with Subscriber(broker.url, f"{BASE}/verdict") as customer:
        customer.publish(f"{BASE}/sku", json.dumps({"sku": "gear"}).encode(), retain=True)
        for shot in shots:
            customer.publish(f"{BASE}/frame", shot.encoded)
        customer.publish(f"{BASE}/frame", b"no image")
        customer.wait_for(lambda s: len(s.of("verdict")) == 5, 60, "five verdicts")
    wait_until(lambda: pages.value("outbox_messages", sink="mqtt") == 0, "the outbox to be empty", UNWELL_S)
    assert pages.value("frames_received_total") == 5
    assert pages.value("frames_judged_total", verdict="ERROR") == 1
    assert pages.value("frame_seconds_count") == 5
    assert {pages.value("stage_seconds_count", stage=one) for one in ("queue", "decode", "infer")} == {5.0}
    assert pages.value("camera_frames_total", camera="factory/line-1/cam-1") == 5
    assert pages.value("database_size_bytes") > 0
    scraped = told_by(pages.metrics())
    for expression in (*queries(), *(rule["expr"] for rule in rules())):
        assert metrics_of(expression) <= scraped, expression

    broker.stop(kill=True)
    assert pages.wait_wrong("broker")
    wait_until(lambda: "nothing listens there" in pages.wrong()["broker"], "the reason", UNWELL_S)
    assert pages.status("/healthz") == 200
    assert pages.value("broker_connected") == 0
    systemd.wait_for("WATCHDOG=1\nSTATUS=broker: ")
    broker.start()
    pages.wait_ready()
    assert pages.value("mqtt_connections_total", outcome="lost") == 1
    assert agent.stop() == 0
    systemd.wait_for("STOPPING=1")
    assert pages.status("/healthz") == 0


def test_a_database_that_cannot_be_read(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with inside(tmp_path, mosquitto, agent={"id": "unreadable"}) as (_agent, pages):
        pages.wait_ready()
        other = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
        other.execute("ALTER TABLE outbox RENAME TO elsewhere")
        assert "no such table" in pages.wait_wrong("storage")
        assert pages.status("/healthz") == 200
        assert pages.value("outbox_messages", sink="mqtt") == -1
        assert pages.value("scrape_errors_total", part="outbox") >= 1
        assert pages.value("frames_received_total") == 0
        other.execute("ALTER TABLE elsewhere RENAME TO outbox")
        pages.wait_ready()
        other.close()
        shutil.move(tmp_path / "history.db", tmp_path / "taken.db")
        assert "history.db is gone" in pages.wait_wrong("storage")
        shutil.move(tmp_path / "taken.db", tmp_path / "history.db")
        pages.wait_ready()


def _dies(*_arguments: object) -> None:
    raise AssertionError("nobody foresaw this")


def test_a_stage_that_dies_for_good(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    with inside(tmp_path, mosquitto, agent={"id": "dying", "restarts": 1}) as (agent, pages):
        pages.wait_ready()
        monkeypatch.setattr(agent.store.history, "record", _dies)
        with Subscriber(mosquitto.url, "factory/line-1/dying/verdict") as camera:
            camera.publish("factory/line-1/dying/frame", b"no image")
        wait_until(lambda: pages.status("/healthz") == 503, "the agent to be unhealthy", UNWELL_S)
        assert agent.wait(UNWELL_S)
        assert "pipeline" in pages.wrong()
        assert pages.status("/metrics") == 200
        assert pages.value("healthy") == 0
        assert pages.value("stage_restarts_total", stage="record") >= 1
        monkeypatch.undo()


def test_a_port_that_is_taken_stops_the_start_with_a_sentence(
    tmp_path: Path, sqlite_url: str, mosquitto: Mosquitto
) -> None:
    with inside(tmp_path, mosquitto, agent={"id": "first"}) as (agent, pages):
        url = agent.observability.url
        assert url is not None
        folder = tmp_path / "second"
        folder.mkdir()
        config = write_config(
            folder,
            mosquitto.url,
            f"sqlite:///{folder / 'history.db'}",
            inspection=NULL,
            metrics={"enabled": True, "port": int(url.rpartition(":")[2])},
        )
        second = Application().agent(load(config, environ={}).settings)
        try:
            with pytest.raises(ConfigurationError, match=r"is in use, perhaps by .* metrics\.enabled: false"):
                second.start()
        finally:
            second.stop()
        pages.wait_ready()


def test_refused_messages_are_named_by_topic_until_the_broker_takes_one(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    """The agent may read everything, and may write neither verdicts nor its status."""
    rights = tmp_path / "acl"
    rights.write_text("topic read #\ntopic write +/+/+/frame\ntopic write +/+/+/mask\n")
    rights.chmod(0o600)
    broker = start_mosquitto(extra=f"acl_file {rights}")
    verdicts, status = f"{BASE}/verdict", "factory/sightline/under-test/status"

    def broker_check() -> str:
        return next(one["detail"] for one in pages.checks("/readyz") if one["name"] == "broker")

    with (
        inside(tmp_path, broker, agent={"heartbeat": "1s"}) as (agent, pages),
        Subscriber(broker.url, verdicts) as people,
    ):
        people.publish(f"{BASE}/frame", next(drawn("gear", 1)).encoded)
        wait_until(lambda: all(one in broker_check() for one in (verdicts, status)), "both topics", UNWELL_S)
        assert "give this user (broker.username) the right to publish" in broker_check()
        assert pages.status("/readyz") == 200, "frames are judged and recorded"
        kinds = "SELECT message FROM events WHERE kind = 'publish-refused' ORDER BY message"
        wait_until(lambda: len(agent.store.query(kinds)) == 2, "two events", UNWELL_S)
        verdict_event, status_event = (str(row["message"]) for row in agent.store.query(kinds))
        assert verdicts in status_event + verdict_event
        assert status in status_event + verdict_event

        rights.write_text("topic readwrite #\n")
        assert broker.process is not None
        broker.process.send_signal(signal.SIGHUP)
        wait_until(lambda: broker_check() == "ok", "the broker to take both", UNWELL_S)
        people.wait_for(lambda s: len(s.of("verdict")) == 1, UNWELL_S, "the verdict that was refused")
