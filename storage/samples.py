"""``SqlSamples``: images and scores of parts that are known to be good, or called so by a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import PurePosixPath

from sqlalchemy import Select, and_, exists, func, insert, select

from agent.domain.frame import Camera
from agent.ports.samples import InspectedFrame, JudgedScore, RecordedFrame
from storage import schema
from storage.database import Database
from storage.media import MediaFolder

_JUDGED = ("PASS", "FAIL", "REVIEW")
_OF_LATE = 200
"""The newest rows of a product show which cameras see it."""
_MOST_NAMED = 500
"""Values in one statement; SQLite takes a bounded number."""


class SqlSamples:
    """Samples from the history, on SQLite and PostgreSQL.

    Args:
        database: upgraded to the newest schema.
        media: holds the images. Images that are returned are renewed, so that the retention does not
            delete them before they become references.
    """

    def __init__(self, database: Database, media: MediaFolder) -> None:
        self._database = database
        self._media = media

    def first_frames(self, sku: str, most: int) -> Sequence[RecordedFrame]:
        columns = schema.inspection.c
        first = func.min(columns.received_at)
        query = (
            select(func.min(columns.frame_id), columns.image_path)
            .where(
                columns.sku == sku,
                columns.verdict.in_(_JUDGED),
                columns.image_path.is_not(None),
                func.coalesce(columns.truth, "good") == "good",
            )
            .group_by(columns.image_path)
            .order_by(first, columns.image_path)
        )
        there = (row for row in self._pages(query, most) if self._media.renew(row[1]))
        return [RecordedFrame(name, PurePosixPath(path).stem, path) for name, path in islice(there, most)]

    def _pages(self, query: Select[str, str | None], rows: int) -> Iterator[tuple[str, str]]:
        """The rows of ``query``, read page by page on demand."""
        seen = 0
        while True:
            with self._database.read() as connection:
                page = connection.execute(query.limit(rows).offset(seen)).all()
            for row in page:
                if row[1] is not None:
                    yield row[0], row[1]
            seen += len(page)
            if not page:
                return

    def inspected(self, frame_id: str, camera: str | None = None) -> Sequence[InspectedFrame]:
        columns = schema.inspection.c
        query = select(
            columns.inspection_id,
            columns.frame_id,
            columns.site,
            columns.line,
            columns.camera,
            columns.sku,
            columns.image_path,
            columns.truth,
        ).where(columns.frame_id == frame_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(columns.site, columns.line, columns.camera)).all()
        found = [
            InspectedFrame(
                row.inspection_id,
                row.frame_id,
                f"{row.site}/{row.line}/{row.camera}",
                row.sku,
                row.image_path,
                row.truth,
            )
            for row in rows
        ]
        return [one for one in found if camera in (None, one.camera)]

    def keep(self, path: str) -> bool:
        return self._media.renew(path)

    def call_good(self, inspection_id: str, at: datetime, by: str | None) -> None:
        columns = schema.inspection.c
        latest = select(columns.truth).where(columns.inspection_id == inspection_id)
        row = {
            "inspection_id": inspection_id,
            "truth": "good",
            "given_at": at,
            "given_by": by,
            "note": "made a reference",
        }
        with self._database.write() as connection:
            if connection.execute(latest).scalar_one_or_none() != "good":
                connection.execute(insert(schema.feedback).values(row))

    def called_good(self, paths: Sequence[str]) -> frozenset[str]:
        columns = schema.inspection.c
        good: set[str] = set()
        with self._database.read() as connection:
            for start in range(0, len(paths), _MOST_NAMED):
                named = columns.image_path.in_(list(paths[start : start + _MOST_NAMED]))
                found = connection.execute(select(columns.image_path).where(named, columns.truth == "good"))
                good.update(path for path in found.scalars() if path is not None)
        return frozenset(good)

    def judged(self, sku: str, versions: Sequence[int], most: int) -> Sequence[JudgedScore]:
        columns = schema.inspection.c
        newest = (  # first, so that a long history of other versions is not read
            select(columns.inspection_id)
            .where(columns.sku == sku, columns.verdict.in_(_JUDGED))
            .order_by(columns.received_at.desc(), columns.inspection_id.desc())
            .limit(most)
            .subquery()
        )
        query = (
            select(
                columns.score,
                columns.verdict,
                columns.truth,
                columns.recipe_version,
                columns.threshold,
            )
            .join(newest, newest.c.inspection_id == columns.inspection_id)
            .where(columns.recipe_version.in_(list(versions)), columns.score.is_not(None))
            .order_by(columns.received_at, columns.inspection_id)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            JudgedScore(
                row.score,
                row.verdict == "PASS",
                None if row.truth is None else row.truth == "good",
                row.recipe_version,
                row.threshold,
            )
            for row in rows
        ]

    def recent_products(self, within: timedelta, most: int) -> Sequence[tuple[str, Camera]]:
        """By the index of each SKU: reads no more of a long history than of a short one."""
        row, sku = schema.inspection.c, schema.sku.c
        newest = select(func.max(row.received_at)).where(row.sku == sku.sku).scalar_subquery()
        last = select(sku.sku, newest.label("at")).where(sku.active_version.is_not(None))
        with self._database.read() as connection:
            found = [one for one in connection.execute(last) if one.at is not None]
            since = max((one.at for one in found), default=datetime.max.replace(tzinfo=UTC)) - within
            recent = sorted((one for one in found if one.at >= since), key=lambda one: one.at, reverse=True)
            products: list[tuple[str, Camera]] = []
            for name, _ in recent:
                rows = select(row.site, row.line, row.camera).where(row.sku == name)
                rows = rows.order_by(row.received_at.desc()).limit(_OF_LATE)
                cameras = dict.fromkeys(Camera(*one) for one in connection.execute(rows))
                products += [(name, camera) for camera in cameras]
        return products[:most]

    def skus_with_recipe(self) -> Sequence[str]:
        sku = schema.sku.c
        query = select(sku.sku).where(sku.active_version.is_not(None)).order_by(sku.sku)
        with self._database.read() as connection:
            return connection.execute(query).scalars().all()

    def skus_without_references(self) -> Sequence[str]:
        recipe, sku = schema.recipe.c, schema.sku.c
        held = exists().where(schema.reference.c.recipe_id == recipe.id)
        query = (
            select(sku.sku)
            .join(schema.recipe, and_(recipe.sku == sku.sku, recipe.version == sku.active_version))
            .where(~held)
            .order_by(sku.sku)
        )
        with self._database.read() as connection:
            return connection.execute(query).scalars().all()
