"""Pictures go when their time is over; rows of history stay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from agent.errors import StorageError
from agent.ports.retention import Pruned, never
from storage import schema
from storage.database import Database
from storage.media import MediaFolder

_log = logging.getLogger(__name__)

GRACE = timedelta(hours=1)
"""A file that was stored or stored again within this time stays: its row may not be written yet."""

_LATECOMERS = timedelta(days=1)
"""How far before the last run the next one looks again: rows written late, and rows whose files were fresh.
Where the file of an older row is fresh, a newer row has stored it again and answers for it."""

_CHUNKS_A_SEARCH = 10
"""Asking who else names a file reads the history, so it is asked for many chunks at once."""

_MOST_PARAMETERS = 10_000
"""SQLite takes 32,766 in one statement, PostgreSQL 65,535."""

_columns = schema.inspection.c
_PATHS = (_columns.image_path, _columns.mask_path, _columns.overlay_path)
_HAS_MEDIA = or_(*(path.is_not(None) for path in _PATHS))

_T = TypeVar("_T")
_Place = tuple[datetime, str]
"""``received_at`` and ``inspection_id``: where a walk through the history has come to."""


class SqlRetention:
    """:class:`agent.ports.Retention` on SQLite and PostgreSQL.

    The paths of a chunk of rows become NULL in one transaction; files go after the commit, so a crash
    leaves files that no row names, and never a row that names no file. A file goes only if no inspection
    and no reference (held ones too) names it, and if it was not stored again since: :meth:`MediaFolder.put`
    renews the time of a file that is there already, and rows are written within :data:`GRACE` of it.

    Rows are looked for without the write lock; a transaction that changes them reaches each by its key.
    """

    def __init__(self, database: Database, media: MediaFolder) -> None:
        self._database = database
        self._media = media
        self._done: dict[str, datetime] = {}  # by verdict: everything older has no media any more

    def prune(
        self,
        now: datetime,
        keep: Mapping[str, timedelta | None],
        chunk: int = 200,
        stop: Callable[[], bool] = never,
    ) -> Pruned:
        """See the port."""
        if chunk < 1:
            raise ValueError(f"a chunk has at least one row, not {chunk}")
        pruned = Pruned()
        let_go: list[set[str]] = []
        try:
            for rows, paths in self._chunks(now, keep, chunk, stop):
                pruned += Pruned(rows=rows)
                let_go.append(paths)
                if len(let_go) == _CHUNKS_A_SEARCH:
                    due, let_go = let_go, []
                    pruned += self._delete(set().union(*due), now, chunk)
        finally:  # where a later chunk was refused, the files of those before it still go
            if let_go:
                pruned += self._delete(set().union(*let_go), now, chunk)
        return pruned

    def _chunks(
        self, now: datetime, keep: Mapping[str, timedelta | None], chunk: int, stop: Callable[[], bool]
    ) -> Iterator[tuple[int, set[str]]]:
        """One transaction after the other: how many rows it changed, and the paths they named."""
        for verdict, age in keep.items():
            if age is None:
                continue
            before = now - age
            place: _Place | None = None
            while not stop():
                found = self._due(verdict, before, place, chunk)
                if not found:
                    self._done[verdict] = before - _LATECOMERS
                    break
                place = found[-1][0]
                ready = [row for (at, row), paths in found if not self._may_wait(at, paths, now)]
                if ready:
                    yield self._forget(ready)

    def _due(
        self, verdict: str, before: datetime, place: _Place | None, limit: int
    ) -> Sequence[tuple[_Place, set[str]]]:
        """The next rows with media whose time is over, the oldest first."""
        key = (_columns.received_at, _columns.inspection_id)
        query = (
            select(*key, *_PATHS)
            .where(_columns.verdict == verdict, _columns.received_at < before, _HAS_MEDIA)
            .order_by(*key)
            .limit(limit)
        )
        if place is not None:  # the first condition is what the index serves
            query = query.where(_columns.received_at >= place[0], _beyond(place))
        elif verdict in self._done:
            query = query.where(_columns.received_at >= self._done[verdict])
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [((row[0], row[1]), _named(row[2:])) for row in rows]

    def _may_wait(self, at: datetime, paths: Iterable[str], now: datetime) -> bool:
        """Whether the files may be this row's own fresh ones, which would stay as nobody's without it."""
        if at < now - _LATECOMERS:
            return False
        times = (self._media.modified(path) for path in paths)
        return any(at is not None and at >= _latest(now) for at in times)

    def _forget(self, ids: Sequence[str]) -> tuple[int, set[str]]:
        with self._database.write() as connection:
            # Another agent on this database may be at the same rows; it then deletes their files, too.
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

    def _delete(self, paths: set[str], now: datetime, chunk: int) -> Pruned:
        with self._database.read() as connection:
            in_use = _in_use(connection, paths)
        pruned = Pruned()
        for some in _grouped(sorted(paths - in_use), chunk):
            with self._database.read() as connection:  # a frame may have become a reference meanwhile
                references = _references(connection, some)
            for path in some:
                if path not in references:
                    pruned += self._remove(path, now)
        return pruned

    def _remove(self, path: str, now: datetime) -> Pruned:
        try:
            if self._media.modified(path) is None:
                return Pruned(missing=1)
            size = self._media.remove(path, _latest(now))
        except StorageError as error:
            _log.warning("%s; no row names it any more", error)
            return Pruned(failed=1)
        return Pruned() if size is None else Pruned(files=1, bytes=size)


def _beyond(place: _Place) -> ColumnElement[bool]:
    at, row = place
    return or_(_columns.received_at > at, and_(_columns.received_at == at, _columns.inspection_id > row))


def _grouped(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """``items`` in lists of ``size``; the last may be shorter."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


def _latest(now: datetime) -> float:
    """The time, in seconds of the epoch, that a file must be older than."""
    return (now - GRACE).timestamp()


def _named(paths: Iterable[str | None]) -> set[str]:
    return {path for path in paths if path is not None}


def _in_use(connection: Connection, paths: Iterable[str]) -> set[str]:
    """Those of ``paths`` that an inspection still names."""
    used: set[str] = set()
    for some in _grouped(paths, _MOST_PARAMETERS):
        for column in _PATHS:
            used.update(connection.execute(select(column).where(column.in_(some))).scalars())
    return used


def _references(connection: Connection, paths: Sequence[str]) -> set[str]:
    """Those of ``paths`` that a reference names, whichever recipe it belongs to, or none yet."""
    column = schema.reference.c.path
    return set(connection.execute(select(column).where(column.in_(paths))).scalars())
