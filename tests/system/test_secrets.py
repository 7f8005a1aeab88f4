"""Passwords in every place that takes one, and found in none that shows something."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from sqlalchemy import text

from storage import Database, schema
from tests.fixtures.mosquitto import StartMosquitto, free_port
from tests.support.factory import wait_until
from tests.system.conftest import StartAgent
from tests.system.images import drawn
from tests.system.process import sightline
from tests.system.subscriber import Subscriber

BROKER = "broker-secret-9f3c"
REFERENCE = "reference-secret-71ab"
BASE = "factory/line-1/cam-1"


@pytest.mark.slow
@pytest.mark.system
def test_no_secret_is_seen_anywhere(
    tmp_path: Path, postgresql_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    database_secret = urlsplit(postgresql_url).password or ""
    secrets = {BROKER, REFERENCE, database_secret, unquote(database_secret)}
    assert all(secrets)
    broker = start_mosquitto(users={"agent": BROKER})
    password = tmp_path / "broker-password"
    password.write_text(f"{BROKER}\n")
    password.chmod(0o600)
    port = free_port()
    agent = start_agent(
        broker.url,
        postgresql_url,
        broker={"username": "agent", "password_file": str(password)},
        inspection={"method": "null"},
        logging={"level": "DEBUG"},
        metrics={"enabled": True, "port": port},
    )
    config = tmp_path / "sightline.yaml"
    seen: dict[str, str] = {}
    with Subscriber(broker.url, "factory/#", username="agent", password=BROKER) as customer:
        customer.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
        seen["command line"] = _command_line(agent.pid)
        customer.publish(f"{BASE}/frame", next(iter(drawn("gear", 1))).encoded)
        for host in ("files.example", "127.0.0.1:1"):
            url = f"http://me:{REFERENCE}@{host}/x.jpg?token={REFERENCE}"
            asked = {"frame_id": f"by {host}", "sku": "gear", "image_ref": url}
            customer.publish(f"{BASE}/frame", json.dumps(asked).encode())
        customer.wait_for(lambda s: len(s.of("verdict")) == 3, 60, "three verdicts")
        for page in ("metrics", "healthz", "readyz"):
            answer = httpx.get(f"http://127.0.0.1:{port}/{page}", timeout=10.0, trust_env=False)
            seen[page] = answer.text
    published = [(topic, payload) for topic, payload, _ in customer.messages if not topic.endswith("/frame")]
    seen["messages"] = repr(published)
    broker.stop()
    broker.users = {"agent": "another"}
    (broker.folder / "passwords").unlink()
    broker.start()
    wait_until(lambda: "check broker.username and broker.password_file" in agent.log, "the refusal", 60.0)
    another = f"database.url={postgresql_url}x"
    refused = sightline("check", "--json", "--config", config, "--set", another)
    assert refused.returncode == 1
    parts = {finding["part"]: finding for finding in json.loads(refused.stdout)}
    assert parts["broker"]["state"] == parts["database"]["state"] == "failed"
    assert "check broker.username and broker.password_file" in parts["broker"]["detail"]
    seen["check"] = refused.stdout + refused.stderr
    shown = sightline("config", "show", "--config", config)
    assert shown.returncode == 0, shown.stderr
    seen["config show"] = shown.stdout
    agent.stop()
    seen["log"] = agent.log
    seen["database"] = _dump(postgresql_url)
    found = [(place, secret) for place, text in seen.items() for secret in secrets if secret in text]
    assert found == []
    assert all(seen.values())


def _command_line(pid: int | None) -> str:
    file = Path(f"/proc/{pid}/cmdline")
    return file.read_bytes().replace(b"\0", b" ").decode() if file.exists() else "not on this system"


def _dump(url: str) -> str:
    """All rows of all tables."""
    with Database(url) as database, database.read() as connection:
        return "\n".join(
            repr(dict(row))
            for table in schema.metadata.tables
            for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()  # noqa: S608
        )
