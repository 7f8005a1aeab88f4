"""``SqlRetention``: deletes images when their time is over; rows of inspections stay."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from types import MappingProxyType
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from agent.domain.errors import DiskFullError, StorageError
from agent.ports.retention import Pruned, never
from storage import schema
from storage.database import Database
from storage.media import MediaFolder, is_fresh

_log = logging.getLogger(__name__)

GRACE = timedelta(hours=1)
"""A file that was stored or stored again within this time stays: its row may not be written yet."""

_LATECOMERS = timedelta(days=1)
"""A row this young may have stored its fresh file itself. If the file of an older row is fresh, a newer row
has stored it again and will delete it."""

_LONGEST_REST_S = 1.0

_ENOUGH_ROOM = 1_000_000
"""Free bytes on the database's disk in which a transaction of one row surely fits."""

_CHUNKS_A_SEARCH = 10
"""Chunks checked together: finding other rows that name a file reads the history."""

_MOST_PARAMETERS = 10_000
"""SQLite takes 32,766 parameters in one statement, PostgreSQL 65,535."""

_NO_MARKS: Mapping[str, int] = MappingProxyType({})

_columns = schema.inspection.c
_PATHS = (_columns.image_path, _columns.mask_path, _columns.overlay_path)
_HAS_MEDIA = or_(*(path.is_not(None) for path in _PATHS))

_T = TypeVar("_T")
_Place = tuple[datetime, str]
"""``received_at`` and ``inspection_id``: the place that a walk through the history has reached."""


class SqlRetention:
    """Retention on SQLite and PostgreSQL.

    The paths of a chunk of rows become NULL in one transaction, and files are deleted after the commit. So a
    crash may leave files that no row names, but never a row whose file is gone. A file is deleted only if no
    inspection and no reference (held ones too) names it, and if it was not stored again since:
    :meth:`MediaFolder.put` renews the time of an existing file, and rows follow within :data:`GRACE`.

    Rows are found without the write lock; a transaction that changes them reaches each by its key.

    Args:
        database: upgraded to the newest schema.
        media: where the files are.
        rest: how to wait a number of seconds between two transactions.
    """

    def __init__(
        self, database: Database, media: MediaFolder, *, rest: Callable[[float], object] = time.sleep
    ) -> None:
        self._database = database
        self._media = media
        self._rest = rest

    def prune(
        self,
        now: datetime,
        keep: Mapping[str, timedelta | None],
        chunk: int = 200,
        stop: Callable[[], bool] = never,
    ) -> Pruned:
        if chunk < 1:
            raise ValueError(f"a chunk has at least one row, not {chunk}")
        fresh = _latest(now, GRACE)
        pruned = Pruned()
        let_go: list[set[str]] = []
        try:
            for rows, paths in self._chunks(now, keep, chunk, stop):
                pruned += Pruned(rows=rows)
                let_go.append(paths)
                if len(let_go) == _CHUNKS_A_SEARCH:
                    due, let_go = let_go, []
                    pruned += self._delete(set().union(*due), fresh, chunk)
        finally:  # if a later chunk is refused, the files of earlier ones are still deleted
            if let_go:
                pruned += self._delete(set().union(*let_go), fresh, chunk)
        return pruned

    def release(
        self,
        order: Sequence[str],
        enough: Callable[[], bool],
        *,
        now: datetime,
        grace: timedelta = timedelta(minutes=1),
        chunk: int = 20,
        stop: Callable[[], bool] = never,
    ) -> Pruned:
        fresh = _latest(now, grace)
        pruned, sacrificed = Pruned(), Pruned()
        for verdict in order:
            place: _Place | None = None
            behind = False  # rows before ``place`` still name files that were already deleted
            while True:
                # For good: otherwise a writer that takes the room meanwhile costs images of the next verdict.
                if enough() or stop():
                    return pruned + sacrificed
                found = self._due(verdict, None, place, chunk)
                if not found:
                    break
                marks = self._marks(found)
                ready = [row for (_, row), paths in found if not self._is_fresh(paths - marks.keys(), fresh)]
                try:
                    rows, paths = self._forget(ready) if ready else (0, set[str]())
                except DiskFullError:
                    if chunk > 1:
                        chunk = 1  # a small transaction needs less room
                        continue
                    if sacrificed.bytes >= _ENOUGH_ROOM:
                        raise
                    sacrificed += self._sacrifice(ready[0], found[0][1], fresh, marks)
                    place, behind = found[0][0], True
                    continue
                pruned += Pruned(rows=rows) + self._delete(paths, fresh, chunk, marks)
                place, behind = (None if behind else found[-1][0]), False
        return pruned + sacrificed

    def prune_rows(
        self,
        now: datetime,
        events: timedelta | None,
        sent: timedelta | None,
        chunk: int = 200,
        stop: Callable[[], bool] = never,
    ) -> Pruned:
        gone = {schema.event: 0, schema.outbox: 0}
        for table, at, age in (
            (schema.event, schema.event.c.occurred_at, events),
            (schema.outbox, schema.outbox.c.sent_at, sent),
        ):
            if age is None:
                continue
            old = select(table.c.id).where(at < now - age).order_by(at).limit(chunk)
            while not stop():
                with self._rested(), self._database.write() as connection:
                    ids = connection.execute(old).scalars().all()
                    connection.execute(delete(table).where(table.c.id.in_(ids)))
                gone[table] += len(ids)
                if len(ids) < chunk:
                    break
        self._database.refresh_statistics()
        return Pruned(events=gone[schema.event], messages=gone[schema.outbox])

    def newest_before(self, moment: datetime) -> datetime | None:
        """Raises StorageError."""
        event = schema.event.c
        with self._database.read() as connection:
            found = [
                connection.execute(select(func.max(at)).where(at < moment)).scalar()
                for at in (_columns.received_at, event.occurred_at)
            ]
        return max((at for at in found if at is not None), default=None)

    def _chunks(
        self, now: datetime, keep: Mapping[str, timedelta | None], chunk: int, stop: Callable[[], bool]
    ) -> Iterator[tuple[int, set[str]]]:
        """One transaction after the other: how many rows it changed, and the paths that they named."""
        for verdict, age in keep.items():
            if age is None:
                continue
            place: _Place | None = None
            while not stop():
                found = self._due(verdict, now - age, place, chunk)
                if not found:
                    break
                place = found[-1][0]
                ready = [row for (at, row), paths in found if not self._may_wait(at, paths, now)]
                if ready:
                    with self._rested():
                        forgotten = self._forget(ready)
                    yield forgotten

    @contextmanager
    def _rested(self) -> Iterator[None]:
        """Rest afterwards as long as it took: a lock is not fair, and others that wait need a chance."""
        started = time.monotonic()
        yield
        self._rest(min(_LONGEST_REST_S, time.monotonic() - started))

    def _due(
        self, verdict: str, before: datetime | None, place: _Place | None, limit: int
    ) -> Sequence[tuple[_Place, set[str]]]:
        """The next rows with media whose time is over, oldest first; without ``before``, all of them."""
        key = (_columns.received_at, _columns.inspection_id)
        query = (
            select(*key, *_PATHS).where(_columns.verdict == verdict, _HAS_MEDIA).order_by(*key).limit(limit)
        )
        if before is not None:
            query = query.where(_columns.received_at < before)
        if place is not None:  # the index serves the first condition
            query = query.where(_columns.received_at >= place[0], _beyond(place))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [((row[0], row[1]), _named(row[2:])) for row in rows]

    def _may_wait(self, at: datetime, paths: Iterable[str], now: datetime) -> bool:
        """Whether the files may be this row's own fresh ones, which no row would name without it."""
        return at >= now - _LATECOMERS and self._is_fresh(paths, _latest(now, GRACE))

    def _is_fresh(self, paths: Iterable[str], before: float) -> bool:
        times = (self._media.modified(path) for path in paths)
        return any(at is not None and is_fresh(at, before) for at in times)

    def _marks(self, found: Iterable[tuple[_Place, set[str]]]) -> dict[str, int]:
        """Marks of the files that may be deleted although fresh, unless they are stored again."""
        marks = {path: self._media.mark(path) for _, paths in found for path in paths}
        return {path: mark for path, mark in marks.items() if mark is not None}

    def _sacrifice(self, row: str, paths: set[str], before: float, marks: Mapping[str, int]) -> Pruned:
        """Delete the files of one row that still names them, because there is no room to change the row.

        If the agent dies before it changes the row, ``sightline db check`` finds that.
        """
        with self._database.read() as connection:
            shared = _in_use(connection, paths, but=row) | _references(connection, sorted(paths))
        gone = (self._remove(path, before, marks.get(path)) for path in sorted(paths - shared))
        return sum(gone, Pruned())

    def _forget(self, ids: Sequence[str]) -> tuple[int, set[str]]:
        with self._database.write() as connection:
            # Another agent on this database may work on the same rows; it then deletes their files too.
            rows = connection.execute(
                select(_columns.inspection_id, *_PATHS)
                .where(_columns.inspection_id.in_(ids), _HAS_MEDIA)
                .with_for_update(skip_locked=True, key_share=True)
            ).all()
            connection.execute(
                update(schema.inspection)
                .where(_columns.inspection_id.in_([row[0] for row in rows]))
                .values(dict.fromkeys(_PATHS))
            )
        return len(rows), {path for row in rows for path in _named(row[1:])}

    def _delete(
        self, paths: set[str], before: float, chunk: int, marks: Mapping[str, int] = _NO_MARKS
    ) -> Pruned:
        with self._database.read() as connection:
            in_use = _in_use(connection, paths)
        pruned = Pruned()
        for some in grouped(sorted(paths - in_use), chunk):
            with self._database.read() as connection:  # a frame may have become a reference meanwhile
                references = _references(connection, some)
            for path in some:
                if path not in references:
                    pruned += self._remove(path, before, marks.get(path))
        return pruned

    def _remove(self, path: str, before: float, mark: int | None) -> Pruned:
        try:
            if self._media.modified(path) is None:
                return Pruned(missing=1)
            size = self._media.remove(path, before, mark)
        except StorageError as error:
            _log.warning("%s; no row names it any more", error)
            return Pruned(failed=1)
        return Pruned() if size is None else Pruned(files=1, bytes=size)


def _beyond(place: _Place) -> ColumnElement[bool]:
    at, row = place
    return or_(_columns.received_at > at, and_(_columns.received_at == at, _columns.inspection_id > row))


def grouped(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """``items`` in lists of ``size``; the last may be shorter."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


def _latest(now: datetime, grace: timedelta) -> float:
    """The time, in seconds of the epoch, that a file must be older than."""
    return (now - grace).timestamp()


def _named(paths: Iterable[str | None]) -> set[str]:
    return {path for path in paths if path is not None}


def _in_use(connection: Connection, paths: Iterable[str], but: str = "") -> set[str]:
    """Those of ``paths`` that an inspection other than ``but`` still names."""
    used: set[str] = set()
    for some in grouped(paths, _MOST_PARAMETERS):
        for column in _PATHS:
            used.update(
                connection.execute(
                    select(column).where(column.in_(some), _columns.inspection_id != but)
                ).scalars()
            )
    return used


def _references(connection: Connection, paths: Sequence[str]) -> set[str]:
    """Those of ``paths`` that a reference names, in any recipe or held."""
    column = schema.reference.c.path
    return set(connection.execute(select(column).where(column.in_(paths))).scalars())
