"""The agent ends in bounded time with an exit status and a final status message, whatever state it is in."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from adapters.mqtt.camera_publisher import CameraPublisher
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.topics import Topics
from agent.domain.frame import Camera
from tests.fixtures.mosquitto import StartMosquitto
from tests.system.conftest import StartAgent, rows
from tests.system.images import drawn
from tests.system.subscriber import Subscriber

pytestmark = [pytest.mark.slow, pytest.mark.system]

CAMERA = Camera("factory", "line-1", "cam-1")
STATUS = "factory/sightline/under-test/status"
BOUND_S = 60.0
"""How long systemd is configured to wait."""


def publish(url: str, frames: int) -> None:
    """Frames whose arrival at the broker is waited for, and no longer."""
    options = BrokerOptions(url=url, client_id="camera-under-test", session_expiry_s=0)
    with CameraPublisher(options, Topics("factory"), CAMERA) as publisher:
        assert publisher.run(list(drawn("gear", frames))).acknowledged == frames


def statuses(subscriber: Subscriber) -> list[str]:
    return [message["status"] for message in subscriber.of("status")]


def test_a_model_that_hangs_ends_the_agent_with_an_error_and_its_frame_does_not_come_again(
    tmp_path: Path, sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    broker = start_mosquitto(persistence=True)
    hanging = {"method": "null", "null_cost_ms": 3_600_000, "max_batch": 1}
    agent = start_agent(broker.url, sqlite_url, inspection=hanging, agent={"hang_after": "1s"})
    with Subscriber(broker.url, STATUS, "factory/line-1/cam-1/verdict") as customer:
        customer.wait_for(lambda s: "online" in statuses(s), 60, "the agent's birth")
        publish(broker.url, 1)
        customer.wait_for(lambda s: "offline" in statuses(s), BOUND_S, "the agent's end")
        assert agent.wait(BOUND_S) == 1
        assert "did not come back within 1 s" in agent.log
        (row,) = rows(sqlite_url, "SELECT verdict, reason FROM inspection_history")
        assert row["verdict"] == "ERROR"
        assert "inspect stage" in row["reason"]
        agent.start()  # as systemd does
        customer.wait_for(lambda s: statuses(s)[-1] == "online", 60, "the second start")
        customer.wait_for(lambda s: len(s.frame_ids()) == 1, 60, "the verdict")
        assert agent.stop(BOUND_S) == 0
    assert len(rows(sqlite_url, "SELECT frame_id FROM inspection_history")) == 1


def test_sigterm_while_the_database_is_locked_ends_in_time_and_loses_nothing(
    tmp_path: Path, sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    broker = start_mosquitto(persistence=True)
    agent = start_agent(broker.url, sqlite_url, inspection={"method": "null"})
    with Subscriber(broker.url, STATUS, "factory/line-1/cam-1/verdict") as customer:
        customer.wait_for(lambda s: "online" in statuses(s), 60, "the agent's birth")
        lock = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        publish(broker.url, 30)
        assert agent.stop(BOUND_S) == 0
        assert statuses(customer)[-1] == "stopped"
        lock.execute("ROLLBACK")
        lock.close()
        agent.start()
        customer.wait_for(lambda s: len(s.frame_ids()) == 30, 60, "all verdicts")
        assert agent.stop(BOUND_S) == 0
    assert len(rows(sqlite_url, "SELECT frame_id FROM inspection_history")) == 30


def test_sigterm_while_the_broker_is_away_ends_in_time(
    sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    broker = start_mosquitto(persistence=True)
    agent = start_agent(broker.url, sqlite_url, inspection={"method": "null"})
    with Subscriber(broker.url, STATUS) as customer:
        customer.wait_for(lambda s: "online" in statuses(s), 60, "the agent's birth")
    broker.stop(kill=True)
    assert agent.stop(BOUND_S) == 0
