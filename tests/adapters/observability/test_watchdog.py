"""WatchdogNotifier: what it sends to systemd, received on a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.observability.health import Health
from adapters.observability.health_source import BrokerState
from adapters.observability.watchdog import Notifier, WatchdogNotifier
from tests.support.observed_agent import ObservedAgent, pipeline_state


class Systemd:
    """The manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(20.0)

    def hear(self) -> dict[str, str]:
        lines = self._socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def systemd(address: str) -> Iterator[Systemd]:
    manager = Systemd(address)
    yield manager
    manager.close()


def test_each_word(systemd: Systemd, address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    assert notifier.wanted
    notifier.ready()
    assert systemd.hear() == {"READY": "1"}
    notifier.alive("judging\nREADY=1")
    assert systemd.hear() == {"WATCHDOG": "1", "STATUS": "judging READY=1"}
    notifier.ailing("stages: inspect does not run")
    assert systemd.hear() == {"STATUS": "stages: inspect does not run"}
    notifier.stopping()
    assert systemd.hear()["STOPPING"] == "1"


def test_an_abstract_socket() -> None:
    name = f"sightline-test-{os.getpid()}"
    manager = Systemd(f"\0{name}")
    Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
    assert manager.hear() == {"READY": "1"}
    manager.close()


def test_without_systemd_nothing_is_sent(address: str) -> None:
    notifier = Notifier({})
    assert not notifier.wanted
    notifier.ready()
    Notifier({"NOTIFY_SOCKET": address}).ready()  # nothing listens there: logged, not raised


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_how_often_the_watchdog_must_be_fed(environ: dict[str, str], expected: float | None) -> None:
    assert Notifier(environ).watchdog_s == expected


def test_the_watchdog_is_fed_only_while_the_agent_is_well(systemd: Systemd, address: str) -> None:
    agent = ObservedAgent()
    watchdog = WatchdogNotifier(Notifier({"NOTIFY_SOCKET": address}), Health(agent.source()))
    watchdog.notify()
    assert systemd.hear() == {"WATCHDOG": "1", "STATUS": "judging frames"}
    agent.broker = BrokerState(False, "Connection refused", 0)
    watchdog.notify()
    assert systemd.hear() == {"WATCHDOG": "1", "STATUS": "broker: Connection refused"}, "no reason to restart"
    agent.pipeline = pipeline_state(failed=True)
    watchdog.notify()
    heard = systemd.hear()
    assert "WATCHDOG" not in heard
    assert "has given up" in heard["STATUS"]
    watchdog.stopping()
    assert systemd.hear()["STOPPING"] == "1"
    watchdog.notify()
    assert systemd.hear()["WATCHDOG"] == "1", "stages end one by one while frames are finished"


def test_the_thread_sends_ready_and_keeps_feeding(systemd: Systemd, address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000"})
    watchdog = WatchdogNotifier(notifier, Health(ObservedAgent().source()))
    watchdog.start()
    assert systemd.hear() == {"READY": "1"}
    assert [systemd.hear()["WATCHDOG"] for _ in range(3)] == ["1", "1", "1"]
    watchdog.stop()
