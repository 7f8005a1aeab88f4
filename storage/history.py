"""``SqlHistory``: inspections, events and feedback in SQL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, insert, or_, select

from agent.domain.errors import FrameIdUsedError
from agent.domain.events import Event
from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Defect, Feedback, Inspection
from agent.ports import Entry, OutboxMessage
from storage import schema
from storage.column_types import storable
from storage.database import Database, insert_into
from storage.media import MediaFolder

_NO_INSPECTION = ""
"""The inspection of an outbox message that belongs to none."""

SAME_PART = timedelta(days=1)
"""Inspections of one part id that are farther apart are of two parts."""

_MOST = 2**63 - 1


class SqlHistory:
    """The inspection history on SQLite and PostgreSQL.

    Args:
        database: upgraded to the newest schema.
        agent_id: the agent that inspected, for each row; it owns the outbox messages.
        agent_version: its version, so that a row can be explained later.
        media: is called when the rows are written that name this thread's files.
    """

    def __init__(
        self, database: Database, *, agent_id: str, agent_version: str, media: MediaFolder | None = None
    ) -> None:
        self._database = database
        self._media = media
        self._agent = {"agent_id": agent_id, "agent_version": agent_version}

    def record(self, entries: Sequence[Entry]) -> Sequence[bool]:
        """Inspections, their defects and messages in one transaction.

        If the row of an entry exists, an equal image is the same frame; another image makes the whole call
        raise :class:`FrameIdUsedError`. Rows are written by camera and frame id whatever the order of
        ``entries``. So two agents that received the same frames wait for each other and do not deadlock.
        """
        if not entries:
            return []
        new = [False] * len(entries)
        order = sorted(range(len(entries)), key=lambda i: _sort_key(entries[i].inspection.identity))
        with self._database.write() as connection:
            for position in order:
                new[position] = self._insert(connection, entries[position].inspection)
            used = [
                position
                for position in order
                if not new[position] and _other_image(connection, entries[position].inspection.identity)
            ]
            if used:
                raise FrameIdUsedError(used)
            written = [entry for entry, is_new in zip(entries, new, strict=True) if is_new]
            _insert_all(connection, schema.defect, [row for e in written for row in _defect_rows(e)])
            _insert_all(connection, schema.outbox, [row for e in written for row in self._outbox_rows(e)])
        if self._media is not None:
            self._media.settle(path for entry in entries for path in _files_of(entry.inspection))
        return new

    def _insert(self, connection: Connection, inspection: Inspection) -> bool:
        table = schema.inspection
        row: dict[str, Any] = {**_inspection_row(inspection), **self._agent}
        if inspection.recipe is not None:
            # A stored version never changes, so its calibration names the source of this threshold.
            row["calibration_samples"] = (
                select(schema.calibration.c.samples)
                .where(schema.calibration.c.recipe_id == inspection.recipe.id)
                .scalar_subquery()
            )
        statement = insert_into(connection, table).values(row)
        unique = [table.c.site, table.c.line, table.c.camera, table.c.frame_id]
        statement = statement.on_conflict_do_nothing(index_elements=unique)
        return connection.execute(statement.returning(table.c.frame_id)).first() is not None

    def _outbox_rows(self, entry: Entry) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        inspection_id, agent_id = entry.inspection.inspection_id, self._agent["agent_id"]
        return [_outbox_row(message, inspection_id, agent_id, now) for message in entry.messages]

    def knows(self, identity: FrameIdentity) -> bool:
        """Whether the frame has its row, under its id or, if another image has that, under its own.

        It is asked for frames that may be repeated, so a row that does not say what it shows is theirs.
        """
        with self._database.read() as connection:
            if (row := _row_of(connection, identity)) is not None and _may_show(row, identity):
                return True
            if identity.content is None or identity.content_derived:
                return False
            return _row_of(connection, identity.with_own_id()) is not None

    def occurrences(self, identity: FrameIdentity) -> int:
        """Rows of this camera with the frame id or ``id-2``, ``id-3``...

        A range of the unique index, in bytewise order, instead of LIKE: an id may contain ``%`` or
        ``_``, and LIKE ignores case on SQLite. ``.`` is the character after ``-``.
        """
        frame_id = schema.inspection.c.frame_id
        base = identity.frame_id
        suffix = func.substr(frame_id, len(storable(base)) + 2)
        derived = and_(frame_id > f"{base}-", frame_id < f"{base}.", func.ltrim(suffix, "0123456789") == "")
        query = (
            select(func.count())
            .select_from(schema.inspection)
            .where(_same_camera(identity), or_(frame_id == base, derived))
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def recent_sequences(self, camera: Camera, limit: int) -> Sequence[int]:
        """Running numbers of the newest rows of a camera."""
        columns, events = schema.inspection.c, schema.event.c
        newest = (
            select(columns.sequence, columns.inspected_at)
            .where(columns.site == camera.site, columns.line == camera.line, columns.camera == camera.camera)
            .order_by(columns.received_at.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            rows = [row for row in connection.execute(newest).all() if row.sequence is not None]
            if not rows:
                return []
            gap = select(func.max(events.occurred_at)).where(
                events.kind == "gap",
                events.camera == str(camera),
                events.occurred_at >= min(row.inspected_at for row in rows),
            )
            reported = connection.execute(gap).scalar_one()
        later = [row.sequence for row in rows if reported is None or row.inspected_at > reported]
        before = [row.sequence for row in rows if reported is not None and row.inspected_at <= reported]
        return [*before[:1], *reversed(later)]

    def record_event(self, event: Event, messages: Sequence[OutboxMessage] = ()) -> None:
        """One row in ``event`` and its messages, in one transaction. Raises StorageError."""
        row = {
            "kind": event.kind,
            "severity": event.severity,
            "message": event.message,
            "occurred_at": event.at,
            "camera": event.camera,
            "sku": event.sku,
            "details": _plain(event.details),
            **self._agent,
        }
        with self._database.write() as connection:
            connection.execute(insert(schema.event).values(row))
            agent_id, now = self._agent["agent_id"], datetime.now(UTC)
            _insert_all(
                connection,
                schema.outbox,
                [_outbox_row(one, _NO_INSPECTION, agent_id, now) for one in messages],
            )

    def record_feedback(self, feedback: Feedback) -> bool:
        """False if it matches no inspection, or several that share a frame id."""
        condition = _feedback_target(feedback)
        if condition is None:
            return False
        with self._database.write() as connection:
            matches = select(schema.inspection.c.inspection_id).where(condition).limit(2)
            found = connection.execute(matches).scalars().all()
            if len(found) != 1:
                return False
            row = {
                "inspection_id": found[0],
                "truth": feedback.truth,
                "given_at": feedback.at,
                "given_by": feedback.by,
                "note": feedback.note,
            }
            connection.execute(insert(schema.feedback).values(row))
        return True

    def feedback_matches(self, feedback: Feedback) -> int:
        """How many inspections it matches. Raises StorageError."""
        condition = _feedback_target(feedback)
        if condition is None:
            return 0
        with self._database.read() as connection:
            query = select(func.count()).select_from(schema.inspection).where(condition)
            return connection.execute(query).scalar_one()

    def record_part_feedback(self, feedback: Feedback) -> int:
        """On how many inspections it was recorded: all of the part, by every camera.

        Counters of parts begin anew: inspections more than :data:`SAME_PART` before the newest one are of
        another part. If the feedback names a camera, only those of that camera count.
        """
        columns = schema.inspection.c
        of_part = columns.part_id == feedback.part_id
        if feedback.camera is not None:
            name = columns.site + "/" + columns.line + "/" + columns.camera
            of_part = and_(of_part, name == feedback.camera)
        with self._database.write() as connection:
            newest = connection.execute(select(func.max(columns.received_at)).where(of_part)).scalar_one()
            if newest is None:
                return 0
            since = and_(of_part, columns.received_at >= newest - SAME_PART)
            found = connection.execute(select(columns.inspection_id).where(since)).scalars().all()
            given = {
                "truth": feedback.truth,
                "given_at": feedback.at,
                "given_by": feedback.by,
                "note": feedback.note,
            }
            _insert_all(connection, schema.feedback, [{"inspection_id": one, **given} for one in found])
        return len(found)


def _row_of(connection: Connection, identity: FrameIdentity) -> Row[Any, Any] | None:
    """What tells the content of the row with this camera and frame id; None if there is none.

    Rows of older versions name their content only by the file of their image, as long as that is kept.
    """
    columns = schema.inspection.c
    query = select(columns.content_sha256, columns.image_path).where(
        _same_camera(identity), columns.frame_id == identity.frame_id
    )
    return connection.execute(query).first()


def _content(row: Row[Any, Any]) -> str | None:
    return row.content_sha256 or (PurePosixPath(row.image_path).stem if row.image_path else None)


def _comparable(identity: FrameIdentity) -> bool:
    """An id that was derived from the message already stands for its content."""
    return identity.content is not None and not identity.content_derived


def _may_show(row: Row[Any, Any], identity: FrameIdentity) -> bool:
    """Whether the row shows this frame, as far as both are known."""
    stored = _content(row)
    return not _comparable(identity) or stored is None or stored == identity.content


def _other_image(connection: Connection, identity: FrameIdentity) -> bool:
    """Whether the row with this id is not known to show this frame: then the frame needs a row of its own.

    Of a row that does not say what it shows, a part too many is reported; one too few would vanish.
    """
    row = _row_of(connection, identity)
    return row is not None and _comparable(identity) and _content(row) != identity.content


def _files_of(inspection: Inspection) -> list[str]:
    media = inspection.media
    return [path for path in (media.image, media.mask, media.overlay) if path is not None]


def _sort_key(identity: FrameIdentity) -> tuple[str, str, str, str]:
    camera = identity.camera
    return camera.site, camera.line, camera.camera, identity.frame_id


def _same_camera(identity: FrameIdentity) -> ColumnElement[bool]:
    columns, camera = schema.inspection.c, identity.camera
    return and_(columns.site == camera.site, columns.line == camera.line, columns.camera == camera.camera)


def _feedback_target(feedback: Feedback) -> ColumnElement[bool] | None:
    columns = schema.inspection.c
    if feedback.inspection_id is not None:
        return columns.inspection_id == feedback.inspection_id
    # A controller knows its own id of the frame, not the one that the row got if that was taken.
    frame = or_(columns.frame_id == feedback.frame_id, columns.sent_frame_id == feedback.frame_id)
    if feedback.camera is None:
        return frame
    try:
        site, line, camera = feedback.camera.split("/")
    except ValueError:
        return None
    return and_(frame, columns.site == site, columns.line == line, columns.camera == camera)


def _insert_all(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _inspection_row(inspection: Inspection) -> dict[str, Any]:
    identity, recipe = inspection.identity, inspection.recipe
    width, height = inspection.size or (None, None)
    return {
        "inspection_id": inspection.inspection_id,
        "site": identity.camera.site,
        "line": identity.camera.line,
        "camera": identity.camera.camera,
        "frame_id": identity.frame_id,
        "sent_frame_id": identity.sent_id,
        "content_derived": identity.content_derived,
        "content_sha256": identity.content,
        "part_id": identity.part_id,
        "sequence": _sequence(identity.sequence),
        "sku": inspection.sku,
        "verdict": inspection.verdict.value,
        "reason": inspection.reason,
        "score": inspection.score,
        "threshold": inspection.threshold,
        "threshold_source": inspection.threshold_source,
        "calibrated": inspection.calibrated,
        "shadow": inspection.shadow,
        "late": inspection.late,
        "recipe_id": recipe.id if recipe else None,
        "recipe_version": recipe.version if recipe else None,
        "method": recipe.method if recipe else None,
        "prompt_source": recipe.prompt_source if recipe else None,
        "shots": recipe.shots if recipe else None,
        "model_digest": inspection.model_digest,
        "queue_ms": inspection.timings.queue,
        "decode_ms": inspection.timings.decode,
        "infer_ms": inspection.timings.infer,
        "record_ms": inspection.timings.record,
        "image_path": inspection.media.image,
        "mask_path": inspection.media.mask,
        "overlay_path": inspection.media.overlay,
        "width": width,
        "height": height,
        "captured_at": identity.captured_at,
        "received_at": inspection.received_at,
        "inspected_at": inspection.inspected_at,
    }


def _sequence(number: int | None) -> int | None:
    """None if a camera counts beyond 64 bits: an absurd number must not cost the row."""
    return number if number is not None and abs(number) <= _MOST else None


def _defect_rows(entry: Entry) -> list[dict[str, Any]]:
    inspection = entry.inspection
    return [_defect_row(inspection.inspection_id, defect) for defect in inspection.defects]


def _defect_row(inspection_id: str, defect: Defect) -> dict[str, Any]:
    x, y, width, height = defect.bbox
    return {
        "inspection_id": inspection_id,
        "defect_index": defect.index,
        "label": defect.label,
        "score": defect.score,
        "bbox_x": x,
        "bbox_y": y,
        "bbox_width": width,
        "bbox_height": height,
        "area_px": defect.area_px,
        "area_fraction": defect.area_fraction,
    }


def _outbox_row(
    message: OutboxMessage, inspection_id: str, agent_id: str, created_at: datetime
) -> dict[str, Any]:
    return {
        "agent_id": agent_id,
        "inspection_id": inspection_id,
        "sink": message.sink,
        "kind": message.kind,
        "destination": message.destination,
        "payload": message.payload,
        "content_type": message.content_type,
        "retain": message.retain,
        "correlation_data": message.correlation_data,
        "created_at": created_at,
    }


def _plain(details: Mapping[str, str | int | float | None]) -> dict[str, str | int | float | None]:
    """Details as JSON can hold them: NaN and infinities, which JSON lacks, become text."""
    return {
        storable(key): storable(value)
        if isinstance(value, str)
        else str(value)
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for key, value in details.items()
    }
