"""The log at DEBUG and the pages of an agent hold no secret."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

from sqlalchemy import make_url

from tests.fixtures.mosquitto import StartMosquitto, free_port
from tests.support.factory import wait_until
from tests.system.agent_pages import UNWELL_S, AgentPages
from tests.system.conftest import StartAgent
from tests.system.images import drawn
from tests.system.subscriber import Subscriber

BASE = "factory/line-1/cam-1"
SECRET = "hunter2-öé%/@:s3cret"


def _spellings(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), quote_plus(secret), ascii(secret)[1:-1], json.dumps(secret)[1:-1]}


def test_no_secret_in_logs_and_pages(
    postgresql_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    database_secret = make_url(postgresql_url).password
    assert isinstance(database_secret, str)
    assert len(database_secret) > 8
    broker, port = start_mosquitto(users={"agent": SECRET, "camera": "c"}), free_port()
    agent = start_agent(
        broker.url,
        postgresql_url,
        broker={"username": "agent", "password": SECRET},
        inspection={"method": "null"},
        metrics={"enabled": True, "port": port},
        logging={"level": "DEBUG", "format": "json"},
    )
    pages = AgentPages(port)
    pages.wait_ready()
    with Subscriber(broker.url, f"{BASE}/verdict", username="camera", password="c") as customer:
        customer.publish(f"{BASE}/frame", next(drawn("gear", 1)).encoded)
        customer.publish(f"{BASE}/frame", b"no image")
        customer.wait_for(lambda s: len(s.of("verdict")) == 2, 60, "two verdicts")
    shown = [pages.metrics(), json.dumps(pages.wrong())]
    broker.stop(kill=True)
    pages.wait_wrong("broker")
    broker.users["agent"] = "changed"
    broker.start()
    wait_until(lambda: "not authori" in pages.wrong().get("broker", "").lower(), "the refusal", UNWELL_S)
    shown += [pages.metrics(), json.dumps(pages.wrong())]
    assert agent.stop() == 0
    log = agent.log
    for line in log.splitlines():
        assert {"time", "level", "message"} <= set(json.loads(line)), "one object a line"
    about_frames = [entry for entry in map(json.loads, log.splitlines()) if "frame_id" in entry]
    assert {entry["camera"] for entry in about_frames} == {"factory/line-1/cam-1"}
    for secret in (SECRET, database_secret):
        for spelling in _spellings(secret):
            assert spelling not in log
            assert not any(spelling in page for page in shown)
