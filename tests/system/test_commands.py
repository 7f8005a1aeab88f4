"""A person edits a recipe on the command line and activates it over MQTT, while the agent runs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fixtures.mosquitto import StartMosquitto
from tests.system.conftest import StartAgent, rows
from tests.system.images import drawn
from tests.system.process import sightline
from tests.system.subscriber import Subscriber

BASE = "factory/line-1/cam-1"
AGENT = "factory/sightline/under-test"
SMALL = {"parameters": {"sightline": {"scales": [160]}}}
"""Images at half the side of the profile: what is tested does not depend on it."""


def test_a_recipe_is_edited_and_takes_over_in_a_running_agent(
    tmp_path: Path, sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    source = tmp_path / "good"
    source.mkdir()
    images = list(drawn("gear", 14))
    for item in images[:10]:
        (source / f"{item.frame_id}.jpg").write_bytes(item.encoded)
    broker = start_mosquitto()
    agent = start_agent(broker.url, sqlite_url, inspection=SMALL, references={"rotations": []})
    config = ("--config", tmp_path / "sightline.yaml")
    with Subscriber(broker.url, f"{BASE}/verdict", f"{AGENT}/status", f"{AGENT}/reply") as customer:
        customer.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
        for command in (
            ("enroll", "--sku", "gear", "--name", "gear", "--references", source, *config),
            ("recipe", "export", "gear", "--out", tmp_path / "gear.yaml", *config),
        ):
            done = sightline(*command)
            assert done.returncode == 0, done.stderr
        text = (tmp_path / "gear.yaml").read_text().replace("severity: ''", "severity: critical", 1)
        asked = {"command": "recipe.import", "recipe": text, "activate": False, "request_id": "mes-1"}
        customer.publish(f"{AGENT}/command", json.dumps(asked).encode())
        customer.wait_for(lambda s: len(s.of("reply")) == 1, 60, "the answer to the import")
        imported = customer.of("reply")[0]
        assert (imported["ok"], imported["request_id"], imported["error"]) == (True, "mes-1", None)
        result = imported["result"]
        assert (result["new"], result["active"], result["calibrated"]) == (True, False, True)

        asked = {"command": "recipe.activate", "sku": "gear", "version": result["version"]}
        customer.publish(f"{AGENT}/command", json.dumps(asked).encode())
        customer.wait_for(lambda s: len(s.of("reply")) == 2, 60, "the answer to the activation")
        assert customer.of("reply")[1]["ok"]
        customer.publish(f"{BASE}/sku", b'{"sku": "gear"}', retain=True)
        # A version at hand goes on until the active one is prepared: frames are sent until it is.
        for number in range(60):
            customer.publish(f"{BASE}/frame", images[10 + number % 4].encoded)
            customer.wait_for(lambda s, n=number: len(s.of("verdict")) > n, 60, "a verdict")  # type: ignore[misc]
            if (verdict := customer.of("verdict")[-1])["recipe"]["version"] == result["version"]:
                break
        assert agent.stop() == 0
    assert verdict["recipe"]["version"] == result["version"]
    assert verdict["recipe"]["prompt_source"] == "manual"
    done = sightline("feedback", verdict["inspection_id"], "good", "--by", "Ada", *config)
    assert done.returncode == 0, done.stderr
    query = "SELECT feedback FROM sku_quality WHERE sku = 'gear' AND feedback > 0"
    assert rows(sqlite_url, query) == [{"feedback": 1}]
    commands = rows(sqlite_url, "SELECT message FROM event WHERE kind = 'command' ORDER BY id")
    assert [row["message"] for row in commands] == [
        "recipe.import, asked for as mes-1: done",
        "recipe.activate: done",
    ]
