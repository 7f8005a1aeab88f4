"""Recipes in SQL: every version kept, one of each SKU active."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from agent.calibration import Calibration
from agent.errors import RecipeError
from agent.frame import Job
from agent.prompts import NamedDefect, PromptSet, PromptSource
from agent.recipe import Recipe, Reference
from storage import schema
from storage.database import Database, insert_into

_JOB_FIELDS = ("name", "description", "gtin", "lot")


@dataclass(frozen=True, slots=True)
class RecipeListing:
    """One line of a list of recipes."""

    sku: str
    version: int
    active: bool
    noun: str
    method: str
    prompt_source: str
    shots: int
    threshold: float | None
    """None where the version is not calibrated."""
    created_at: datetime


class SqlRecipeBook:
    """:class:`agent.ports.RecipeBook`, and what people need besides: list, read and activate versions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ------------------------------------------------------------------------------------ the port

    def active(self, sku: str) -> Recipe | None:
        """The active version of a SKU. Raises StorageError."""
        recipe, registered = schema.recipe.c, schema.sku.c
        query = _recipes().join(
            schema.sku, and_(registered.sku == recipe.sku, registered.active_version == recipe.version)
        )
        with self._database.read() as connection:
            return _load(connection, query.where(recipe.sku == sku))

    def active_version(self, sku: str) -> int | None:
        """One lookup by primary key. Raises StorageError."""
        query = select(schema.sku.c.active_version).where(schema.sku.c.sku == sku)
        with self._database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def register(self, job: Job) -> bool:
        """Write down a SKU; True for the one caller that made the row.

        For the others, what the job tells replaces what is known; a job that is silent about the
        description takes none away. Raises StorageError.
        """
        told = {field: getattr(job, field) for field in _JOB_FIELDS if getattr(job, field) is not None}
        known = self.job(job.sku)
        if known is not None and all(getattr(known, field) == text for field, text in told.items()):
            return False  # every frame may ask this: no write transaction for nothing
        with self._database.write() as connection:
            if _make_sku(connection, job.sku, told):
                return True
            if told:
                changes = {**told, "updated_at": datetime.now(UTC)}
                connection.execute(update(schema.sku).where(schema.sku.c.sku == job.sku).values(changes))
        return False

    def job(self, sku: str) -> Job | None:
        """Name, description, GTIN and lot as last registered. Raises StorageError."""
        columns = schema.sku.c
        query = select(columns.sku, *(columns[field] for field in _JOB_FIELDS)).where(columns.sku == sku)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Job(**row._mapping)

    def without_recipe(self) -> Sequence[Job]:
        """Registered SKUs without any version, in the order of their names. Raises StorageError."""
        columns = schema.sku.c
        written = select(schema.recipe.c.sku)
        query = select(columns.sku, *(columns[field] for field in _JOB_FIELDS))
        with self._database.read() as connection:
            rows = connection.execute(query.where(columns.sku.not_in(written)).order_by(columns.sku))
            return [Job(**row._mapping) for row in rows]

    def add(self, recipe: Recipe, *, activate: bool = True) -> Recipe:
        """Store as the next version of its SKU and return it with id and version.

        A SKU that was never registered is written down too. Concurrent callers queue at the SKU's row
        (PostgreSQL) or at the write lock (SQLite), so the next version cannot be taken in between.

        Raises:
            StorageError: the database refused; nothing is written then.
        """
        now = datetime.now(UTC)
        with self._database.write() as connection:
            _make_sku(connection, recipe.sku, {})
            _lock_sku(connection, recipe.sku)
            columns = schema.recipe.c
            newest = select(func.max(columns.version)).where(columns.sku == recipe.sku)
            version = (connection.execute(newest).scalar_one() or 0) + 1
            row = {
                "sku": recipe.sku,
                "version": version,
                "noun": recipe.noun,
                "method": recipe.method,
                "parameters": dict(recipe.parameters),
                "prompt_set_id": _share_prompts(connection, recipe.prompts, now),
                "created_at": now,
            }
            identifier = connection.execute(
                insert(schema.recipe).values(row).returning(columns.id)
            ).scalar_one()
            _add_references(connection, recipe.sku, identifier, recipe.references, now)
            _add_calibration(connection, identifier, recipe.calibration)
            if activate:
                _activate(connection, recipe.sku, version, now)
        return replace(recipe, id=identifier, version=version)

    def hold_reference(self, sku: str, reference: Reference) -> None:
        """Keep a reference until a version takes it up; repeating it changes nothing. Raises StorageError.

        The SKU is not registered by it: whoever sees its first frame still learns that it is new.
        """
        table = schema.reference
        row = {"sku": sku, **_reference_row(reference), "created_at": datetime.now(UTC)}
        with self._database.write() as connection:
            statement = insert_into(connection, table).values(row)
            connection.execute(
                statement.on_conflict_do_nothing(
                    index_elements=[table.c.sku, table.c.sha256], index_where=schema.HELD
                )
            )

    def held_references(self, sku: str) -> Sequence[Reference]:
        """References that no version of the SKU's recipe holds yet, as they came. Raises StorageError."""
        columns = schema.reference.c
        query = select(columns.sha256, columns.path, columns.name).where(columns.sku == sku, _is_held())
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(columns.id))
            return [Reference(**row._mapping) for row in rows]

    def skus_with_held_references(self) -> Sequence[str]:
        """SKUs whose references wait for a version, sorted. Raises StorageError."""
        sku = schema.reference.c.sku
        with self._database.read() as connection:
            return connection.execute(select(sku).where(_is_held()).distinct().order_by(sku)).scalars().all()

    # --------------------------------------------------------------------------------- for people

    def get(self, sku: str, version: int) -> Recipe | None:
        """One version, active or not. Raises StorageError."""
        query = _recipes().where(schema.recipe.c.sku == sku, schema.recipe.c.version == version)
        with self._database.read() as connection:
            return _load(connection, query)

    def activate(self, sku: str, version: int) -> None:
        """Make an existing version the active one.

        Raises:
            RecipeError: the SKU has no such version.
            StorageError: the database refused.
        """
        query = select(schema.recipe.c.id).where(
            schema.recipe.c.sku == sku, schema.recipe.c.version == version
        )
        with self._database.write() as connection:
            if connection.execute(query).first() is None:
                raise RecipeError(f"{sku!r} has no recipe version {version}; see `sightline recipe list`")
            _activate(connection, sku, version, datetime.now(UTC))

    def listing(self, sku: str | None = None) -> Sequence[RecipeListing]:
        """All versions of one SKU or of all, by SKU and version. Raises StorageError."""
        recipe = schema.recipe.c
        shots = (
            select(func.count())
            .select_from(schema.reference)
            .where(schema.reference.c.recipe_id == recipe.id)
            .scalar_subquery()
        )
        query = (
            select(
                recipe.sku,
                recipe.version,
                func.coalesce(schema.sku.c.active_version == recipe.version, False).label("active"),
                recipe.noun,
                recipe.method,
                schema.prompt_set.c.source.label("prompt_source"),
                shots.label("shots"),
                schema.calibration.c.threshold,
                recipe.created_at,
            )
            .join(schema.sku, schema.sku.c.sku == recipe.sku)
            .join(schema.prompt_set, schema.prompt_set.c.id == recipe.prompt_set_id)
            .outerjoin(schema.calibration, schema.calibration.c.recipe_id == recipe.id)
            .order_by(recipe.sku, recipe.version)
        )
        if sku is not None:
            query = query.where(recipe.sku == sku)
        with self._database.read() as connection:
            return [RecipeListing(**row._mapping) for row in connection.execute(query)]


def prompt_identity(prompts: PromptSet) -> str:
    """sha256 over words, source and provenance: equal ones share their row."""
    parts = [prompts.digest, prompts.source.value, sorted(prompts.provenance.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _make_sku(connection: Connection, sku: str, told: dict[str, str]) -> bool:
    now = datetime.now(UTC)
    row = {"sku": sku, **told, "registered_at": now, "updated_at": now}
    statement = insert_into(connection, schema.sku).values(row)
    statement = statement.on_conflict_do_nothing(index_elements=[schema.sku.c.sku])
    return connection.execute(statement.returning(schema.sku.c.sku)).first() is not None


def _lock_sku(connection: Connection, sku: str) -> None:
    """Until the end of the transaction; on SQLite the whole database is ours already."""
    connection.execute(select(schema.sku.c.sku).where(schema.sku.c.sku == sku).with_for_update()).one()


def _activate(connection: Connection, sku: str, version: int, now: datetime) -> None:
    changes = {"active_version": version, "updated_at": now}
    connection.execute(update(schema.sku).where(schema.sku.c.sku == sku).values(changes))


def _share_prompts(connection: Connection, prompts: PromptSet, now: datetime) -> int:
    table, identity = schema.prompt_set, prompt_identity(prompts)
    row = {
        "digest": prompts.digest,
        "identity": identity,
        "normal": list(prompts.normal),
        "anomalous": list(prompts.anomalous),
        "defects": [{"name": defect.name, "phrases": list(defect.phrases)} for defect in prompts.defects],
        "source": prompts.source.value,
        "provenance": dict(prompts.provenance),
        "created_at": now,
    }
    statement = insert_into(connection, table).values(row)
    connection.execute(statement.on_conflict_do_nothing(index_elements=[table.c.identity]))
    shared = select(table.c.id).where(table.c.identity == identity)
    return int(connection.execute(shared).scalar_one())


def _reference_row(reference: Reference) -> dict[str, Any]:
    return {"sha256": reference.sha256, "path": reference.path, "name": reference.name}


def _is_held() -> ColumnElement[bool]:
    """In no version of its SKU's recipe, also where a person enrolled the same picture meanwhile."""
    columns, taken = schema.reference.c, schema.reference.alias("taken")
    same = and_(taken.c.sku == columns.sku, taken.c.sha256 == columns.sha256, taken.c.recipe_id.is_not(None))
    return and_(columns.recipe_id.is_(None), ~exists().where(same))


def _add_references(
    connection: Connection, sku: str, recipe_id: int, references: Sequence[Reference], now: datetime
) -> None:
    if not references:
        return
    common = {"sku": sku, "recipe_id": recipe_id, "created_at": now}
    rows = [{**common, "position": p, **_reference_row(r)} for p, r in enumerate(references)]
    connection.execute(insert(schema.reference), rows)
    columns = schema.reference.c
    taken_up = and_(
        columns.sku == sku, columns.recipe_id.is_(None), columns.sha256.in_([r.sha256 for r in references])
    )
    connection.execute(delete(schema.reference).where(taken_up))


def _add_calibration(connection: Connection, recipe_id: int, calibration: Calibration | None) -> None:
    if calibration is None:
        return
    row = {
        "recipe_id": recipe_id,
        "threshold": calibration.threshold,
        "review_below": calibration.review_below,
        "samples": calibration.samples,
        "false_alarm_rate": calibration.false_alarm_rate,
        "source": calibration.source,
        "map_threshold": calibration.map_threshold,
        "scorer": calibration.scorer,
    }
    connection.execute(insert(schema.calibration).values(row))


def _recipes() -> Select[Any]:
    recipe, prompts, calibration = schema.recipe, schema.prompt_set, schema.calibration
    return (
        select(
            recipe,
            prompts.c.normal,
            prompts.c.anomalous,
            prompts.c.defects,
            prompts.c.source.label("prompt_source"),
            prompts.c.provenance,
            calibration.c.threshold,
            calibration.c.review_below,
            calibration.c.samples,
            calibration.c.false_alarm_rate,
            calibration.c.source.label("calibration_source"),
            calibration.c.map_threshold,
            calibration.c.scorer,
        )
        .select_from(recipe)
        .join(prompts, prompts.c.id == recipe.c.prompt_set_id)
        .outerjoin(calibration, calibration.c.recipe_id == recipe.c.id)
    )


def _load(connection: Connection, query: Select[Any]) -> Recipe | None:
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    columns = schema.reference.c
    references = connection.execute(
        select(columns.sha256, columns.path, columns.name)
        .where(columns.recipe_id == row.id)
        .order_by(columns.position)
    ).all()
    try:
        return Recipe(
            sku=row.sku,
            noun=row.noun,
            prompts=_prompts(row),
            method=row.method,
            parameters=row.parameters,
            references=tuple(Reference(**reference._mapping) for reference in references),
            calibration=_calibration(row),
            id=row.id,
            version=row.version,
        )
    except (ValueError, KeyError, TypeError, RecipeError) as error:
        # Not a StorageError: no waiting mends this, and other SKUs go on.
        raise RecipeError(
            f"version {row.version} of the recipe of {row.sku!r} is damaged in the database ({error});"
            " restore a backup or activate another version"
        ) from error


def _prompts(row: Row[Any]) -> PromptSet:
    return PromptSet(
        normal=tuple(row.normal),
        anomalous=tuple(row.anomalous),
        defects=tuple(NamedDefect(d["name"], tuple(d["phrases"])) for d in row.defects),
        source=PromptSource(row.prompt_source),
        provenance=row.provenance,
    )


def _calibration(row: Row[Any]) -> Calibration | None:
    if row.threshold is None:
        return None
    return Calibration(
        threshold=row.threshold,
        review_below=row.review_below,
        samples=row.samples,
        false_alarm_rate=row.false_alarm_rate,
        source=row.calibration_source,
        map_threshold=row.map_threshold,
        scorer=row.scorer,
    )
