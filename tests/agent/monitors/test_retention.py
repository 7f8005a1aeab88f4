"""RetentionTask: it reports what it did, and no error ends the thread that runs it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from agent.app.options import keep_by_verdict
from agent.domain.events import Event
from agent.domain.inspection import MediaPaths
from agent.domain.verdict import Verdict
from agent.event_log import EventLog
from agent.monitors.clock import ClockGuard
from agent.monitors.retention import Keep, RetentionTask
from agent.ports import Entry
from agent.telemetry import Counters
from config import Settings
from storage import Database, MediaFolder, SqlHistory, SqlRetention, schema, upgrade
from tests.storage.examples import NOON, inspected

KEEP = Keep({Verdict.PASS: timedelta(days=7)}, events=timedelta(days=365), sent=timedelta(days=7))


def events(database: Database) -> list[tuple[str, str, str, dict[str, int]]]:
    columns = schema.event.c
    with database.read() as connection:
        query = select(columns.kind, columns.severity, columns.message, columns.details)
        return [tuple(row) for row in connection.execute(query)]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'history.db'}"


class Run:
    """A retention task; what it reports is stored after each run."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        counters: Counters,
        *,
        clock: Callable[[], datetime] = lambda: NOON + timedelta(days=8),
        guard: ClockGuard | None = None,
    ) -> None:
        self.log = EventLog(SqlHistory(database, agent_id="a", agent_version="1"), (), counters)
        retention = SqlRetention(database, MediaFolder(folder))
        self.task = RetentionTask(retention, self.log, KEEP, counters, clock, guard or steady())

    def __call__(self) -> None:
        self.task()
        self.log.flush()


def steady() -> ClockGuard:
    """The guard of an agent that has run for days."""
    times = iter([0.0, 0.0])
    day = 86_400.0
    return ClockGuard(lambda: NOON + timedelta(days=8), lambda: next(times, 3 * day))


def test_every_verdict_with_media_has_its_keep() -> None:
    days = {verdict: keep.days for verdict, keep in keep_by_verdict(Settings()).items() if keep is not None}
    assert days == {"PASS": 7, "FAIL": 90, "REVIEW": 90, "ERROR": 30}


def test_a_run_that_removed_something_is_one_event(url: str, tmp_path: Path) -> None:
    upgrade(url)
    with Database(url) as database:
        media = MediaFolder(tmp_path / "media")
        path = media.put(b"image", "jpg")
        at = NOON.timestamp()
        os.utime(tmp_path / "media" / path, (at, at))
        history = SqlHistory(database, agent_id="a", agent_version="1")
        history.record([Entry(inspected(media=MediaPaths(image=path)))])
        run = Run(database, tmp_path / "media", Counters())
        run()
        run()
        ((kind, severity, message, details),) = events(database)
    assert (kind, severity) == ("retention", "info")
    assert message == "1 rows let go of their images; 1 files, 5 bytes"
    counts = {"rows": 1, "files": 1, "bytes": 5, "missing": 0, "failed": 0}
    assert details == {**counts, "events": 0, "messages": 0}


def test_a_database_that_refuses_is_counted_and_logged(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counters = Counters()
    with Database(url) as database:
        Run(database, tmp_path / "media", counters)()
    assert counters.get("retention_failed") == 1
    assert "tried again in an hour" in caplog.text


def test_a_task_that_was_stopped_changes_nothing(url: str, tmp_path: Path) -> None:
    upgrade(url)
    with Database(url) as database:
        history = SqlHistory(database, agent_id="a", agent_version="1")
        history.record([Entry(inspected(media=MediaPaths(image="aa/bb/x.jpg")))])
        run = Run(database, tmp_path / "media", Counters())
        run.task.stop()
        run()
        assert events(database) == []


def test_a_date_that_jumped_deletes_nothing_and_is_reported_once(url: str, tmp_path: Path) -> None:
    """An agent is started with its clock two years ahead; on the next day somebody sets it right."""
    upgrade(url)
    jumped = NOON + timedelta(days=730)
    date, steady_s = [jumped], [0.0]
    with Database(url) as database:
        media = MediaFolder(tmp_path / "media")
        path = media.put(b"image", "jpg")
        history = SqlHistory(database, agent_id="a", agent_version="1")
        history.record([Entry(inspected(media=MediaPaths(image=path)))])
        guard = ClockGuard(lambda: date[0], lambda: steady_s[0])
        run = Run(database, tmp_path / "media", Counters(), clock=lambda: date[0], guard=guard)
        for _hour in range(20):
            date[0] += timedelta(hours=1)
            steady_s[0] += 3600.0
            run()
        assert media.get(path) == b"image"
        ((kind, severity, message, _),) = events(database)
        assert (kind, severity) == ("date-doubted", "warning")
        assert "the history has nothing from the 728 days before 2028-11-17" in message
        assert "set the clock if it is wrong" in message
        date[0] = NOON + timedelta(hours=20)
        run()
        assert media.get(path) == b"image"
        assert len(events(database)) == 1


def test_events_and_sent_messages_go_with_the_images(url: str, tmp_path: Path) -> None:
    upgrade(url)
    with Database(url) as database:
        history = SqlHistory(database, agent_id="a", agent_version="1")
        history.record_event(Event("job", "long ago", NOON - timedelta(days=400)))
        Run(database, tmp_path / "media", Counters())()
        ((kind, _, message, details),) = events(database)
    assert kind == "retention"
    assert message.endswith("1 events and 0 sent messages deleted")
    assert details["events"] == 1
