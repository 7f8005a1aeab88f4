"""A real disk that is full to the last byte: frames wait, it is reported, room is made, nothing is lost."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.domain.errors import DiskFullError, TransportError
from agent.domain.frame import Camera, DeliveryKind
from agent.domain.inspection import MediaPaths
from agent.domain.verdict import Verdict
from agent.event_log import EventLog
from agent.monitors.disk_space import DiskParts, DiskPolicy, DiskSpaceMonitor, DiskState
from agent.ports import Entry, Pruned
from storage import LocalDisks, SqlHistory, SqlRetention, upgrade
from tests.fixtures.small_disk import small_disk
from tests.storage.examples import inspected
from tests.support.factory import Rooms, encoded, fill_disk, wait_until
from tests.support.loopback import Sent, message
from tests.support.parts import mqtt_event_log
from tests.support.plant import FlakyHistory, Plant

__all__ = ["small_disk"]

SECOND = timedelta(seconds=1)
BALLAST = 1_000_000
REPORTED = ["disk-full", "emergency-retention", "disk-recovered"]


class Shop:
    """A pipeline whose history and media lie on one small disk, and the monitor over it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        upgrade(f"sqlite:///{folder / 'history.db'}")
        self.folder = folder
        self.rooms = Rooms(folder)
        self.plant = Plant(self.rooms, **options)
        self.disks = LocalDisks(folder / "media", folder / "history.db", BALLAST)
        self.monitor = DiskSpaceMonitor(self._parts(options.get("history")), DiskPolicy(), grace=SECOND)
        self.rooms.database.on_full = self.rooms.media.on_full = self.monitor.refused

    def _parts(self, history: Any) -> DiskParts:
        plant, rooms = self.plant, self.rooms
        return DiskParts(
            disks=self.disks,
            retention=SqlRetention(rooms.database, rooms.media),
            events=self._events(history),
            schedule=plant.schedule,
            counters=plant.counters,
            agent=Camera("plant", "sightline", "cell-7"),
        )

    def _events(self, history: Any) -> EventLog:
        if history is None:
            return self.plant.event_log
        return mqtt_event_log(history, self.plant.transport, self.plant.counters)

    def record(self, verdict: Verdict, number: int, size: int = 100_000) -> str:
        """A row with an old image of that size."""
        content = number.to_bytes(4, "big") + os.urandom(size)
        path = self.rooms.media.put(content, "jpg")
        os.utime(self.folder / "media" / path, (1, 1))
        media = MediaPaths(image=path)
        one = inspected(f"{verdict}-{number}", verdict, minutes=number, media=media)
        self.rooms.history.record([Entry(one)])
        return path

    def fill(self) -> None:
        """Take whatever is left."""
        fill_disk(self.folder / "of others")

    def kept(self) -> dict[str, int]:
        """How many rows of each verdict still name an image."""
        counts: dict[str, int] = {}
        for row in self.plant.rows():
            counts[row["verdict"]] = counts.get(row["verdict"], 0) + (row["image_path"] is not None)
        return counts

    def alerts(self) -> list[dict[str, Any]]:
        """What was published on the agent's own topic."""
        topic = "plant/sightline/cell-7/alert"
        published = [*self.plant.transport.published, *self._waiting()]
        return [json.loads(one.payload) for one in published if one.destination == topic]

    def _waiting(self) -> list[Any]:
        return [one.message for one in self.rooms.outbox.pending(100)]

    def state(self) -> DiskState:
        return self.monitor.state

    def close(self) -> None:
        if self.plant.transport.final_status is None:
            self.plant.pipeline.stop(10.0)
        self.rooms.database.close()


@pytest.fixture
def shop(small_disk: Path) -> Iterator[Shop]:
    shop = Shop(small_disk)
    yield shop
    shop.close()


def noisy_frame(seed: int) -> Sent:
    """An image and its overlay that together have about 100 kB."""
    image = np.random.default_rng(seed).integers(126, 130, (240, 240, 3), dtype=np.uint8)
    return message(DeliveryKind.FRAME, encoded(image), sku="A", frame_id=f"f-{seed}")


def test_frames_wait_on_a_full_disk_and_are_recorded_once_there_is_room(shop: Shop) -> None:
    shop.monitor.start()
    failed = [shop.record(Verdict.FAIL, number) for number in range(20)]
    for number in range(60):  # enough, however many frames take the room while it is made
        shop.record(Verdict.PASS, number)
    shop.plant.pipeline.start()
    shop.fill()
    sent = [noisy_frame(seed) for seed in range(12)]
    shop.plant.deliver(*sent)
    wait_until(lambda: shop.plant.counters.get("storage_retries") >= 2, "frames that wait for the disk")
    assert not all(one.acknowledged for one in sent)
    assert "disk at once" in shop.plant.schedule.once, "the refused write asks for a look"

    shop.plant.schedule.run("disk at once")
    shop.plant.acknowledged(*sent)
    wait_until(lambda: len(shop.alerts()) >= 3 and not shop._waiting(), "the alerts")
    rows = shop.plant.rows()
    assert len(rows) == 92
    assert {one.acknowledgement.count for one in sent} == {1}
    assert shop.kept()[Verdict.FAIL] == 20, "images of failed parts are still there"
    for path in failed:
        shop.rooms.media.get(path)
    assert 0 < shop.kept()[Verdict.PASS] < 60, "and of the others no more went than had to"
    kinds = [one["kind"] for one in shop.alerts()]
    assert list(dict.fromkeys(kinds)) == REPORTED, "in order, at least once"
    assert [kind for kind in shop.plant.events() if kind != "recipe"] == REPORTED
    for row in rows:
        if row["image_path"] is not None:
            shop.rooms.media.get(row["image_path"])


def test_the_oldest_parts_that_passed_go_first_and_failed_ones_only_where_nothing_else_is_left(
    shop: Shop,
) -> None:
    order = (Verdict.FAIL, Verdict.REVIEW, Verdict.ERROR, Verdict.PASS)
    for verdict in order:
        for number in range(20):
            shop.record(verdict, number)
    reference = shop.plant.rows()[0]["image_path"]
    shop.rooms.book.hold_reference("bolt", _reference(reference))
    left = []
    for _ in range(4):
        shop.fill()
        shop.monitor()
        left.append(shop.kept())
    assert left[0][Verdict.PASS] < 20
    assert [left[0][one] for one in order[:2]] == [20, 20]
    for kept in left:
        gone = [one for one in reversed(order) if kept[one] < 20]
        assert gone == list(reversed(order))[: len(gone)]
        assert all(kept[one] == 0 for one in gone[:-1]), "one verdict after the other"
    for _ in range(9):
        shop.fill()
        shop.monitor()
    assert shop.kept() == dict.fromkeys(order, 0)
    assert len(shop.plant.rows()) == 80
    shop.rooms.media.get(reference)


def _reference(path: str) -> Any:
    from agent.domain.recipe import Reference

    return Reference(Path(path).stem, path, "good-1")


def test_while_the_history_refuses_the_alert_goes_out_directly_and_once(
    small_disk: Path, tmp_path: Path
) -> None:
    shop = Shop(small_disk)
    try:
        broken = _Refusing(shop.rooms.database, agent_id="cell-7", agent_version="1")
        shop.monitor = DiskSpaceMonitor(shop._parts(broken), DiskPolicy(), grace=SECOND)
        shop.plant.transport.start(lambda delivery: None)
        assert shop.plant.rows() == []
        shop.fill()
        for _ in range(3):
            shop.monitor()
        assert [one["kind"] for one in shop.alerts()] == ["disk-full"]
        assert shop.plant.events() == []
        broken.refuses = False
        (shop.folder / "of others").unlink()
        shop.monitor()
        assert shop.plant.events() == ["disk-full", "disk-recovered"]
        assert [one["kind"] for one in shop.alerts()] == ["disk-full", "disk-recovered"], "not sent again"
    finally:
        shop.close()


class _Refusing(FlakyHistory):
    refuses = True

    def record_event(self, event: Any, messages: Any = ()) -> None:
        if self.refuses:
            from agent.domain.errors import DiskFullError

            raise DiskFullError("the disk is full")
        super().record_event(event, messages)


def test_without_a_connection_the_alert_is_kept_for_later(shop: Shop) -> None:
    refusals = iter([TransportError("there is no connection")] * 2)
    shop.plant.transport.refuse = lambda message: next(refusals, None)
    broken = _Refusing(shop.rooms.database, agent_id="cell-7", agent_version="1")
    monitor = DiskSpaceMonitor(shop._parts(broken), DiskPolicy(), grace=SECOND)
    shop.plant.transport.start(lambda delivery: None)
    assert shop.plant.rows() == []
    shop.fill()
    for _ in range(2):
        monitor()
    assert shop.alerts() == []
    monitor()
    assert [one["kind"] for one in shop.alerts()] == ["disk-full"]


def test_the_ballast_is_given_up_on_a_full_disk_and_taken_again(shop: Shop) -> None:
    ballast = shop.folder / "media" / ".ballast"
    shop.monitor.start()
    assert ballast.stat().st_blocks * 512 >= BALLAST, "it really takes the space"
    shop.fill()
    shop.monitor()
    assert not ballast.exists()
    assert shop.state() is DiskState.FULL
    (shop.folder / "of others").unlink()
    shop.monitor()
    shop.monitor()
    assert ballast.exists()
    assert shop.state() is DiskState.OK
    assert shop.plant.events() == ["disk-full", "disk-recovered"]


def test_where_somebody_else_took_the_ballast_room_is_made_all_the_same(shop: Shop) -> None:
    for number in range(60):
        shop.record(Verdict.PASS, number)
    assert not (shop.folder / "media" / ".ballast").exists()
    with closing(sqlite3.connect(shop.folder / "history.db")) as connection:  # no room is left in its log
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shop.fill()
    shop.monitor()
    assert shop.monitor.state is DiskState.OK
    kept = {row["image_path"] for row in shop.plant.rows()} - {None}
    assert 0 < len(kept) < 60
    for path in kept:
        shop.rooms.media.get(path)


def test_low_space_is_reported_and_room_is_made_before_anything_is_refused(shop: Shop) -> None:
    for number in range(40):
        shop.record(Verdict.PASS, number)
    space = shop.disks.spaces()[0]
    (shop.folder / "of others").write_bytes(bytes(space.free - space.total // 15))
    shop.monitor()
    assert shop.monitor.state is DiskState.OK
    assert shop.plant.events() == ["disk-low", "emergency-retention", "disk-recovered"]
    assert 0 < shop.kept()[Verdict.PASS] < 40
    assert shop.plant.counters.get("storage_retries") == 0


def test_a_fresh_image_stays_although_there_is_no_room(shop: Shop) -> None:
    """Its row may not be written yet."""
    path = shop.rooms.media.put(b"fresh", "jpg")
    shop.rooms.history.record([Entry(inspected("f", media=MediaPaths(image=path)))])
    assert shop.disks.take_ballast()
    shop.fill()
    retention = SqlRetention(shop.rooms.database, shop.rooms.media)
    now = datetime.now(UTC)
    assert retention.release([Verdict.PASS], lambda: False, now=now) == Pruned()
    assert shop.rooms.media.get(path) == b"fresh"
    later = now + timedelta(minutes=2)
    assert shop.disks.drop_ballast()
    assert retention.release([Verdict.PASS], lambda: False, now=later) == Pruned(rows=1, files=1, bytes=5)


def test_images_of_the_last_seconds_go_too_once_their_rows_are_written(shop: Shop) -> None:
    """A disk that is full within a minute is all fresh images; waiting for them to age stops the pipeline."""
    media = shop.rooms.media
    history = SqlHistory(shop.rooms.database, agent_id="cell-7", agent_version="1", media=media)
    monitor = DiskSpaceMonitor(shop._parts(None), DiskPolicy())
    recorded: list[str] = []
    waiting = media.put(b"its row is yet to come", "jpg")
    with suppress(DiskFullError):
        for number in range(200):
            path = media.put(number.to_bytes(4, "big") + os.urandom(200_000), "jpg")
            history.record([Entry(inspected(f"f-{number}", minutes=number, media=MediaPaths(image=path)))])
            recorded.append(path)
    assert len(recorded) > 20, "the disk holds more than the first few"
    shop.fill()
    monitor()
    assert monitor.state is DiskState.OK
    kept = {row["image_path"] for row in shop.plant.rows()} - {None}
    assert 0 < len(kept) < len(recorded)
    for path in (*kept, waiting):
        media.get(path)


def test_that_no_image_is_left_is_logged_once_and_again_after_there_was_room(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    def reported() -> int:
        return caplog.text.count("no image is left that may go")

    shop.rooms.history.record([Entry(inspected("f"))])
    for round_ in (1, 2):
        shop.fill()
        for _ in range(3):
            shop.monitor.refused()
            shop.monitor()
        assert shop.state() is DiskState.FULL
        assert reported() == round_
        (shop.folder / "of others").unlink()
        for _ in range(8):
            shop.monitor()
        assert shop.state() is DiskState.OK


def test_a_history_that_cannot_be_opened_is_logged_once(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.fill()  # nobody opened it yet, and SQLite needs room for that
    for _ in range(3):
        shop.monitor()
    assert shop.plant.counters.get("disk_watch_failed") == 3
    assert caplog.text.count("it is tried again") == 1


def test_without_a_reserve_no_image_goes_before_its_time(shop: Shop) -> None:
    monitor = DiskSpaceMonitor(shop._parts(None), DiskPolicy(reserve=0), grace=SECOND)
    for number in range(5):
        shop.record(Verdict.PASS, number)
    shop.fill()
    monitor.refused()
    monitor()
    assert shop.kept() == {Verdict.PASS: 5}
    assert monitor.state is DiskState.FULL


def test_for_a_database_on_a_disk_of_its_own_no_image_goes(small_disk: Path, tmp_path: Path) -> None:
    """Deleting images elsewhere would not help it; it is reported, and frames wait."""
    shop = Shop(small_disk)
    try:
        media = tmp_path / "media"
        media.mkdir()
        shop.disks = LocalDisks(media, small_disk / "history.db", BALLAST)
        monitor = DiskSpaceMonitor(shop._parts(None), DiskPolicy(reserve=1_000_000), grace=SECOND)
        assert [space.name for space in shop.disks.spaces()] == ["media", "database"]
        for number in range(5):
            shop.record(Verdict.PASS, number)
        shop.plant.transport.start(lambda delivery: None)
        shop.fill()
        monitor.refused()
        monitor()
        assert monitor.state is DiskState.FULL
        (alert,) = shop.alerts()
        assert alert["kind"] == "disk-full"
        assert alert["severity"] == "error"
        assert "the disk of database is full" in alert["reason"]
        assert "nothing is deleted there" in alert["reason"]
        assert shop.kept() == {Verdict.PASS: 5}
        (shop.folder / "of others").unlink()
        monitor()
        assert shop.plant.events() == ["disk-full", "disk-recovered"]
    finally:
        shop.close()
