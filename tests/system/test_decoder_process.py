"""The decoder's process in the running agent: killed, it is replaced; the agent gone, it is gone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from adapters.images.worker import DecodeWorker
from tests.fixtures.mosquitto import StartMosquitto
from tests.support.factory import wait_until
from tests.system.conftest import StartAgent, rows
from tests.system.images import drawn
from tests.system.process import AgentProcess
from tests.system.subscriber import Subscriber

BASE = "factory/line-1/cam-1"

pytestmark = pytest.mark.skipif(
    not DecodeWorker.supported() or not Path("/proc/self/stat").exists(), reason="looks for it in /proc"
)


def decoders(agent: AgentProcess) -> list[int]:
    """The agent's living children; it has no others."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if int(parent) == agent.pid and state not in "ZX":
            found.append(int(entry.name))
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_the_decoder_comes_and_goes_with_the_agent(
    sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    shots = [shot.encoded for shot in drawn("gear", 9)]
    broker = start_mosquitto()
    agent = start_agent(broker.url, sqlite_url, inspection={"method": "null"})
    with Subscriber(broker.url, f"{BASE}/verdict", "factory/sightline/+/status") as customer:

        def judged(count: int) -> None:
            # Some may come again: the agent is killed before their acknowledgements reach it.
            customer.wait_for(lambda s: len(s.frame_ids()) == count, 60, f"{count} verdicts")

        customer.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
        customer.publish(f"{BASE}/sku", b'{"sku": "gear"}', retain=True)
        (first,) = decoders(agent)
        for index, shot in enumerate(shots[:3]):
            customer.publish(f"{BASE}/frame", shot)
            judged(index + 1)
            os.kill(decoders(agent)[0], signal.SIGKILL)
        for index, shot in enumerate(shots[3:6], 3):
            customer.publish(f"{BASE}/frame", shot)
            judged(index + 1)
        (second,) = decoders(agent)
        assert second != first
        agent.kill()
        wait_until(lambda: gone(second), "the end of the decoder")
        agent.start()
        for shot in shots[6:]:
            customer.publish(f"{BASE}/frame", shot)
        judged(9)
        (third,) = decoders(agent)
        os.kill(third, signal.SIGTERM)  # as systemd does, to every process of the service
        os.kill(third, signal.SIGINT)
        customer.publish(f"{BASE}/frame", shots[0])
        judged(10)
        assert agent.stop() == 0
        assert gone(third)
    found = rows(sqlite_url, "SELECT verdict FROM inspection_history")
    assert len(found) == 10
    assert not [row for row in found if row["verdict"] == "ERROR"]
