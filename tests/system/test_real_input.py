"""Real input: a folder of images through a real broker into a real database, one row and verdict each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.mosquitto import StartMosquitto
from tests.system.conftest import StartAgent, rows
from tests.system.images import drawn, photographs
from tests.system.process import sightline
from tests.system.subscriber import Subscriber

CAMERA = "line-1/cam-1"


def _publish(folder: Path, url: str, form: str, protocol: str) -> None:
    done = sightline(
        "camera", "--source", folder, "--camera", CAMERA, "--sku", "cube", "--broker", url,
        "--form", form, "--protocol", protocol, "--rate", "200", "--announce-job",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("form", "protocol", "database"), [("raw", "5", "postgresql"), ("json", "3.1.1", "sqlite")]
)
def test_each_image_of_a_folder_has_one_row_and_one_verdict(
    form: str,
    protocol: str,
    database: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    start_mosquitto: StartMosquitto,
    start_agent: StartAgent,
) -> None:
    database_url = request.getfixturevalue(f"{database}_url")
    source = tmp_path / "images"
    source.mkdir()
    for item in drawn("gear", 40):
        (source / f"{item.frame_id}.jpg").write_bytes(item.encoded)
    broker = start_mosquitto()
    agent = start_agent(broker.url, database_url)
    with Subscriber(broker.url, "factory/line-1/cam-1/verdict", "factory/sightline/+/status") as customer:
        customer.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
        _publish(source, broker.url, form, protocol)
        customer.wait_for(lambda s: len(s.frame_ids()) == 40, 60, "a verdict for each of 40 frames")
        assert agent.stop() == 0
        verdicts = customer.of("verdict")
    assert len(verdicts) == 40
    found = rows(database_url, "SELECT frame_id, verdict, sku, score FROM inspection_history")
    assert {row["frame_id"] for row in found} == {verdict["frame_id"] for verdict in verdicts}
    assert len(found) == 40
    assert {row["sku"] for row in found} == {"cube"}
    assert {row["verdict"] for row in found} == {"REVIEW"}, "nothing was enrolled, so nobody may judge"
    assert all(row["score"] is not None for row in found)


def some_of(folder: Path, count: int, target: Path) -> Path:
    """A folder with links to the first ``count`` photographs of ``folder``."""
    target.mkdir(parents=True)
    for file in sorted(folder.iterdir())[:count]:
        (target / file.name).symlink_to(file)
    return target


def test_the_cubes_are_enrolled_and_separated(
    tmp_path: Path, sqlite_url: str, start_mosquitto: StartMosquitto, start_agent: StartAgent
) -> None:
    cubes = photographs("cubes")
    references = some_of(cubes / "train" / "good", 8, tmp_path / "references")
    for kind in ("good", "abnormal"):
        some_of(cubes / "test" / kind, 10, tmp_path / "test" / kind)
    broker = start_mosquitto()
    agent = start_agent(broker.url, sqlite_url)
    with Subscriber(broker.url, "factory/line-1/cam-1/+", "factory/sightline/+/status") as customer:
        customer.wait_for(lambda s: bool(s.of("status")), 60, "the agent's birth")
        enrolled = sightline(
            "enroll", "--sku", "cube", "--name", "cube", "--references", references,
            "--config", tmp_path / "sightline.yaml",
        )  # fmt: skip
        assert enrolled.returncode == 0, enrolled.stderr
        _publish(tmp_path / "test", broker.url, "raw", "5")
        customer.wait_for(lambda s: len(s.frame_ids()) == 20, 120, "a verdict for each of 20 photographs")
        assert agent.stop() == 0
        verdicts = customer.of("verdict")
    assert len(verdicts) == 20
    assert all(verdict["calibrated"] for verdict in verdicts)
    assert all(verdict["recipe"]["shots"] == 8 for verdict in verdicts)
    failed = [verdict for verdict in verdicts if verdict["verdict"] == "FAIL"]
    assert failed
    assert all(verdict["defects"] for verdict in failed), "a FAIL has its defects"
    found = rows(sqlite_url, "SELECT frame_id FROM inspection_history")
    assert len({row["frame_id"] for row in found}) == len(found) == 20
