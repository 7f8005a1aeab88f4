"""``sightline recipe commission``: first frames become references on a person's word."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta

from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Inspection, MediaPaths
from agent.domain.verdict import Verdict
from agent.ports import Entry
from storage import Database, MediaFolder, SqlHistory
from tests.adapters.cli.conftest import CommandLine

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def inspected(sightline: CommandLine, count: int) -> None:
    """A history of ``count`` frames of product A."""
    sightline("db", "upgrade")
    database = Database(f"sqlite:///{sightline.folder / 'var/history.db'}")
    history = SqlHistory(database, agent_id="cell-7", agent_version="1")
    media = MediaFolder(sightline.folder / "var/media")
    entries = [
        Entry(
            Inspection(
                inspection_id=f"i-{index}",
                identity=FrameIdentity(Camera("factory", "line-1", "top"), f"f-{index}", sku="A"),
                sku="A",
                verdict=Verdict.REVIEW,
                reason="not calibrated",
                received_at=NOW + timedelta(seconds=index),
                inspected_at=NOW + timedelta(seconds=index),
                media=MediaPaths(image=media.put(b"frame %d" % index, "jpg")),
            )
        )
        for index in range(count)
    ]
    history.record(entries)
    database.close()


def held(sightline: CommandLine) -> list[str]:
    with sqlite3.connect(sightline.folder / "var/history.db") as connection:
        rows = connection.execute("SELECT name FROM reference WHERE recipe_id IS NULL ORDER BY id").fetchall()
    return [name for (name,) in rows]


def test_the_first_frames_wait_to_be_enrolled(sightline: CommandLine) -> None:
    inspected(sightline, 10)
    done = sightline("recipe", "commission", "A", "--frames", "8", "--json")
    assert json.loads(done.stdout)["frames"] == [f"f-{index}" for index in range(8)]
    assert held(sightline) == [f"f-{index}" for index in range(8)]


def test_frames_with_defective_feedback_are_passed_over(sightline: CommandLine) -> None:
    inspected(sightline, 10)
    sightline("feedback", "i-2", "defective")
    sightline("recipe", "commission", "A", "--frames", "3")
    assert held(sightline) == ["f-0", "f-1", "f-3"]


def test_too_few_frames_are_an_error(sightline: CommandLine) -> None:
    inspected(sightline, 3)
    refused = sightline("recipe", "commission", "A", "--frames", "20", code=1)
    assert "20 frames of 'A' were asked for and 3 were inspected" in " ".join(refused.stderr.split())
    assert held(sightline) == []
