"""The hourly task tells of what it did, and no error ends the thread that runs it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from agent.app.retention import RetentionTask, keep_by_verdict
from agent.counters import Counters
from agent.decision import Verdict
from agent.inspection import MediaPaths
from agent.ports import Entry
from config import Settings
from storage import Database, MediaFolder, SqlHistory, SqlRetention, schema, upgrade
from tests.storage.examples import NOON, inspected

KEEP: dict[str, timedelta | None] = {Verdict.PASS: timedelta(days=7)}


def events(database: Database) -> list[tuple[str, str, str, dict[str, int]]]:
    columns = schema.event.c
    with database.read() as connection:
        query = select(columns.kind, columns.severity, columns.message, columns.details)
        return [tuple(row) for row in connection.execute(query)]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'history.db'}"


def task(database: Database, folder: Path, counters: Counters) -> RetentionTask:
    history = SqlHistory(database, agent_id="a", agent_version="1")
    retention = SqlRetention(database, MediaFolder(folder))
    return RetentionTask(retention, history, KEEP, counters, clock=lambda: NOON + timedelta(days=8))


def test_every_verdict_with_media_has_its_keep() -> None:
    days = {verdict: keep.days for verdict, keep in keep_by_verdict(Settings()).items() if keep is not None}
    assert days == {"PASS": 7, "FAIL": 90, "REVIEW": 90, "ERROR": 30}


def test_a_run_that_removed_something_is_one_event(url: str, tmp_path: Path) -> None:
    upgrade(url)
    with Database(url) as database:
        media = MediaFolder(tmp_path / "media")
        path = media.put(b"picture", "jpg")
        at = NOON.timestamp()
        os.utime(tmp_path / "media" / path, (at, at))
        history = SqlHistory(database, agent_id="a", agent_version="1")
        history.record([Entry(inspected(media=MediaPaths(image=path)))])
        run = task(database, tmp_path / "media", Counters())
        run()
        run()
        ((kind, severity, message, details),) = events(database)
    assert (kind, severity) == ("retention", "info")
    assert message == "1 rows let go of their pictures; 1 files, 7 bytes"
    assert details == {"rows": 1, "files": 1, "bytes": 7, "missing": 0, "failed": 0}


def test_a_database_that_refuses_is_counted_and_logged(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counters = Counters()
    with Database(url) as database:
        task(database, tmp_path / "media", counters)()
    assert counters.get("retention_failed") == 1
    assert "tried again in an hour" in caplog.text


def test_a_task_that_was_stopped_changes_nothing(url: str, tmp_path: Path) -> None:
    upgrade(url)
    with Database(url) as database:
        history = SqlHistory(database, agent_id="a", agent_version="1")
        history.record([Entry(inspected(media=MediaPaths(image="aa/bb/x.jpg")))])
        run = task(database, tmp_path / "media", Counters())
        run.stop()
        run()
        assert events(database) == []
