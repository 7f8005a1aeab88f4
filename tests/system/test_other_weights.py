"""A person changes from the bundled model to the profile ``edge``: the same recipe goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from adapters.mqtt.camera_publisher import CameraPublisher, Shot
from adapters.mqtt.options import BrokerOptions
from adapters.mqtt.topics import Topics
from agent.domain.frame import Camera
from tests.fixtures.mosquitto import Mosquitto, StartMosquitto
from tests.system.conftest import StartAgent, rows
from tests.system.images import drawn
from tests.system.process import sightline, write_config
from tests.system.subscriber import Subscriber

pytestmark = [pytest.mark.slow, pytest.mark.lab]

SMALL = "test_vit"
"""A transformer of timm's own tests, in place of the one that the profile names."""
SHOWN = {"parameters": {"sightline": {"scales": [160]}}}
"""Images at half the side of the profiles: a slow machine ends in time, too."""
EDGE: dict[str, dict[str, Any]] = {
    "agent": {"profile": "edge"},
    "inspection": {"backbone": f"timm:{SMALL}", **SHOWN},
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(4)
    path = tmp_path / f"{SMALL}.safetensors"
    save_file(timm.create_model(SMALL, pretrained=False).state_dict(), path)
    return path


def inspected(broker: Mosquitto, shots: Sequence[Shot]) -> None:
    """Publish and wait for a verdict on each."""
    options = BrokerOptions(url=broker.url, client_id="camera-under-test", session_expiry_s=0)
    wanted = {shot.frame_id for shot in shots}
    with Subscriber(broker.url, "factory/line-1/cam-1/verdict") as customer:
        with CameraPublisher(options, Topics("factory"), Camera("factory", "line-1", "cam-1")) as publisher:
            assert publisher.run(list(shots)).acknowledged == len(shots)
        customer.wait_for(lambda s: s.frame_ids() >= wanted, 120, f"{len(wanted)} verdicts")


def test_a_recipe_made_with_the_bundled_model_runs_under_the_profile_edge(
    tmp_path: Path,
    sqlite_url: str,
    start_mosquitto: StartMosquitto,
    start_agent: StartAgent,
    checkpoint: Path,
) -> None:
    mosquitto = start_mosquitto()
    folder = tmp_path / "good"
    folder.mkdir()
    for shot in drawn("gear", 12, every_nth_defective=0, prefix="reference"):
        (folder / f"{shot.frame_id}.jpg").write_bytes(shot.encoded)
    upright: dict[str, Any] = {"rotations": []}
    written = write_config(tmp_path, mosquitto.url, sqlite_url, inspection=SHOWN, references=upright)
    enrolled = sightline(
        "enroll", "--sku", "gear", "--name", "gear", "--references", folder, "--config", written
    )
    assert enrolled.returncode == 0, enrolled.stderr
    agent = start_agent(mosquitto.url, sqlite_url, inspection=SHOWN, references=upright)
    with Subscriber(mosquitto.url, "factory/sightline/+/status") as customer:
        customer.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
    inspected(mosquitto, list(drawn("gear", 8, prefix="bundled")))
    assert agent.stop() == 0

    agent = start_agent(
        mosquitto.url, sqlite_url, models={"files": {SMALL: str(checkpoint)}}, references=upright, **EDGE
    )
    for attempt in range(60):  # frames meanwhile are REVIEW; the version is prepared beside the pipeline
        inspected(mosquitto, list(drawn("gear", 1, prefix=f"meanwhile-{attempt}")))
        if rows(sqlite_url, "SELECT 1 FROM event WHERE kind = 'recalibration'"):
            break
    inspected(mosquitto, list(drawn("gear", 8, prefix="edge")))
    assert agent.stop() == 0

    (event,) = rows(sqlite_url, "SELECT message, sku FROM event WHERE kind = 'recalibration'")
    assert event["sku"] == "gear"
    assert "references memorised anew" in event["message"]
    first, second = rows(
        sqlite_url,
        "SELECT version, origin, parent_version, note FROM recipe WHERE sku = 'gear' ORDER BY version",
    )[-2:]
    assert (second["origin"], second["parent_version"]) == ("enrollment", first["version"])
    judged = rows(
        sqlite_url,
        "SELECT frame_id, verdict, reason, threshold, recipe_version FROM inspection_history",
    )
    thresholds = {
        name: {row["threshold"] for row in judged if row["frame_id"].startswith(name)}
        for name in ("bundled", "edge")
    }
    assert all(len(found) == 1 and None not in found for found in thresholds.values()), thresholds
    assert thresholds["bundled"] != thresholds["edge"]
    edge = [row for row in judged if row["frame_id"].startswith("edge")]
    assert {row["recipe_version"] for row in edge} == {second["version"]}
    assert not [row for row in edge if "not calibrated" in row["reason"]]
