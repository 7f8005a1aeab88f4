"""``sightline recipe commission``: first frames become references on a person's word."""

from __future__ import annotations

import json
import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import pytest

from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Inspection, MediaPaths
from agent.domain.verdict import Verdict
from agent.ports import Entry
from storage import Database, MediaFolder, SqlHistory
from tests.adapters.cli.conftest import CommandLine

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def inspected(sightline: CommandLine, count: int, first: int = 0) -> None:
    """A history of the frames of product A from ``first`` up to ``count``."""
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
        for index in range(first, count)
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


def test_it_may_be_said_before_the_first_part_and_shows_how_far_it_is(sightline: CommandLine) -> None:
    sightline("db", "upgrade")
    said = sightline("recipe", "commission", "A", "--frames", "4")
    assert "A: 0 of 4 first frames were inspected so far" in said.stdout
    inspected(sightline, 3)
    assert "A: 3 of 4 first frames" in sightline("recipe", "list").stdout
    again = json.loads(sightline("recipe", "commission", "A", "--json").stdout)
    assert (again["frames"], again["wanted"], again["complete"]) == (["f-0", "f-1", "f-2"], 4, False)
    assert held(sightline) == [], "an agent takes them once all are there"
    assert "taken back" in sightline("recipe", "commission", "A", "--cancel").stdout
    refused = sightline("recipe", "commission", "A", "--cancel", code=1)
    assert "nothing waits for frames of 'A'" in " ".join(refused.stderr.split())


def test_a_product_with_too_few_frames_waits_and_its_number_may_change(sightline: CommandLine) -> None:
    inspected(sightline, 3)
    assert "3 of 20 first frames" in sightline("recipe", "commission", "A").stdout
    assert "3 of 5 first frames" in sightline("recipe", "commission", "A", "--frames", "5").stdout
    done = sightline("recipe", "commission", "A", "--frames", "3")
    assert "3 frames from f-0 to f-2 wait for a running agent" in done.stdout
    assert held(sightline) == ["f-0", "f-1", "f-2"]
    assert "first frames" not in sightline("recipe", "list").stdout


@pytest.mark.slow
def test_waiting_ends_once_an_agent_has_taken_them(sightline: CommandLine) -> None:
    """The frames come while the command waits."""
    inspected(sightline, 2)
    coming = threading.Timer(0.6, lambda: inspected(sightline, 4, first=2))
    coming.start()
    try:
        done = sightline("recipe", "commission", "A", "--frames", "4", "--wait")
    finally:
        coming.join()
    assert "A: 2 of 4 first frames" in done.stderr
    assert "4 frames from f-0 to f-3" in done.stdout
