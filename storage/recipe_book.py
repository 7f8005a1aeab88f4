"""``SqlRecipeBook``: recipes in SQL, every version kept, one of each SKU active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from agent.domain.errors import RecipeError
from agent.domain.frame import Job
from agent.domain.recipe import Recipe, RecipeListing, Reference
from storage import schema
from storage.database import Database, insert_into
from storage.recipe_rows import (
    add_calibration,
    add_references,
    is_held,
    listing_of,
    listings,
    load,
    model_digests,
    recipes,
    reference_row,
    share_prompts,
)

_JOB_FIELDS = ("name", "description", "gtin", "lot")


_ACTIVE_VERSION = select(schema.sku.c.active_version).where(schema.sku.c.sku == bindparam("wanted"))
"""Built once: it is asked for every batch of frames."""


class SqlRecipeBook:
    """All recipes on SQLite and PostgreSQL, for agents and commands."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ------------------------------------------------------------------------------------ the port

    def active(self, sku: str) -> Recipe | None:
        """The active version of a SKU. Raises StorageError."""
        recipe, registered = schema.recipe.c, schema.sku.c
        query = recipes().join(
            schema.sku, and_(registered.sku == recipe.sku, registered.active_version == recipe.version)
        )
        with self._database.read() as connection:
            return load(connection, query.where(recipe.sku == sku))

    def active_version(self, sku: str) -> int | None:
        """One lookup by primary key. Raises StorageError."""
        with self._database.read() as connection:
            return connection.execute(_ACTIVE_VERSION, {"wanted": sku}).scalar_one_or_none()

    def active_versions(self) -> Mapping[str, int]:
        """Raises StorageError."""
        columns = schema.sku.c
        query = select(columns.sku, columns.active_version).where(columns.active_version.is_not(None))
        with self._database.read() as connection:
            return {row.sku: row.active_version for row in connection.execute(query)}

    def register(self, job: Job) -> bool:
        """Store a SKU. True for the one caller that made the row.

        For the others, what the job names replaces what is stored; a job without a description keeps the
        stored one. Raises StorageError.
        """
        named = _named(job)
        known = self.job(job.sku)
        if known is not None and all(getattr(known, field) == text for field, text in named.items()):
            return False  # every frame may ask this, so avoid a write transaction
        with self._database.write() as connection:
            return _register(connection, job.sku, named)

    def job(self, sku: str) -> Job | None:
        """Name, description, GTIN and lot as last registered. Raises StorageError."""
        columns = schema.sku.c
        query = select(columns.sku, *(columns[field] for field in _JOB_FIELDS)).where(columns.sku == sku)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Job(**row._mapping)

    def skus(self) -> Sequence[str]:
        """All registered SKUs as they are stored. Raises StorageError."""
        with self._database.read() as connection:
            return connection.execute(select(schema.sku.c.sku)).scalars().all()

    def without_recipe(self) -> Sequence[Job]:
        """Registered SKUs without any version, in the order of their names. Raises StorageError."""
        columns = schema.sku.c
        written = select(schema.recipe.c.sku)
        query = select(columns.sku, *(columns[field] for field in _JOB_FIELDS))
        with self._database.read() as connection:
            rows = connection.execute(query.where(columns.sku.not_in(written)).order_by(columns.sku))
            return [Job(**row._mapping) for row in rows]

    def add(self, recipe: Recipe, *, activate: bool = True, job: Job | None = None) -> Recipe:
        """Store as the next version of its SKU and return it with id and version.

        A SKU that was never registered is stored too. Concurrent callers queue at the SKU's row
        (PostgreSQL) or at the write lock (SQLite), so the next version cannot be taken in between.

        Args:
            job: registers the SKU in the same transaction, so that nobody sees it without a recipe.

        Raises:
            StorageError: the database refused; nothing is written then.
        """
        with self._database.write() as connection:
            version = _lock(connection, recipe.sku, {} if job is None else _named(job)) + 1
            return _insert(connection, recipe, version, activate=activate)

    def add_first(self, recipe: Recipe) -> Recipe | None:
        """Store and activate as version 1; None if the SKU has a version by now. Raises StorageError."""
        with self._database.write() as connection:
            if _lock(connection, recipe.sku, {}):
                return None
            return _insert(connection, recipe, 1, activate=True)

    def hold_reference(self, sku: str, reference: Reference) -> None:
        """Keep a reference until a version uses it. A repeated call changes nothing. Raises StorageError.

        This does not register the SKU, so its first frame still shows that it is new.
        """
        table = schema.reference
        row = {"sku": sku, **reference_row(reference), "created_at": datetime.now(UTC)}
        with self._database.write() as connection:
            statement = insert_into(connection, table).values(row)
            connection.execute(
                statement.on_conflict_do_nothing(
                    index_elements=[table.c.sku, table.c.sha256], index_where=schema.HELD
                )
            )

    def held_references(self, sku: str) -> Sequence[Reference]:
        """References that no version of the SKU's recipe holds yet, in order. Raises StorageError."""
        columns = schema.reference.c
        query = select(columns.sha256, columns.path, columns.name).where(columns.sku == sku, is_held())
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(columns.id))
            return [Reference(**row._mapping) for row in rows]

    def reference(self, sha256: str) -> Reference | None:
        """A reference with these bytes, of any SKU. Raises StorageError."""
        columns = schema.reference.c
        query = select(columns.sha256, columns.path, columns.name).where(columns.sha256 == sha256)
        with self._database.read() as connection:
            row = connection.execute(query.order_by(columns.id).limit(1)).one_or_none()
        return None if row is None else Reference(**row._mapping)

    def release_references(self, sku: str, references: Sequence[Reference]) -> None:
        """Their images stay. Raises StorageError."""
        columns = schema.reference.c
        named = columns.sha256.in_([reference.sha256 for reference in references])
        with self._database.write() as connection:
            connection.execute(
                delete(schema.reference).where(columns.sku == sku, columns.recipe_id.is_(None), named)
            )

    def skus_with_held_references(self) -> Sequence[str]:
        """SKUs whose references wait for a version, sorted. Raises StorageError."""
        sku = schema.reference.c.sku
        with self._database.read() as connection:
            return connection.execute(select(sku).where(is_held()).distinct().order_by(sku)).scalars().all()

    def keep_commission(self, sku: str, frames: int) -> None:
        """Does not register the SKU, so its first frame still shows that it is new. Raises StorageError."""
        table = schema.commission
        row = {"sku": sku, "frames": frames, "requested_at": datetime.now(UTC)}
        with self._database.write() as connection:
            statement = insert_into(connection, table).values(row)
            connection.execute(
                statement.on_conflict_do_update(index_elements=[table.c.sku], set_={"frames": frames})
            )

    def commissions(self) -> Mapping[str, int]:
        """The oldest first. Raises StorageError."""
        columns = schema.commission.c
        query = select(columns.sku, columns.frames).order_by(columns.requested_at, columns.sku)
        with self._database.read() as connection:
            return {row.sku: row.frames for row in connection.execute(query)}

    def drop_commission(self, sku: str) -> bool:
        """False if there was none. Raises StorageError."""
        columns = schema.commission.c
        statement = delete(schema.commission).where(columns.sku == sku).returning(columns.sku)
        with self._database.write() as connection:
            return connection.execute(statement).first() is not None

    # --------------------------------------------------------------------------------- for people

    def get(self, sku: str, version: int) -> Recipe | None:
        """One version, active or not. Raises StorageError."""
        query = recipes().where(schema.recipe.c.sku == sku, schema.recipe.c.version == version)
        with self._database.read() as connection:
            return load(connection, query)

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
        query = listings()
        if sku is not None:
            query = query.where(schema.recipe.c.sku == sku)
        with self._database.read() as connection:
            digests = model_digests(connection)
            return [listing_of(row, digests) for row in connection.execute(query)]

    def model_digests(self) -> Mapping[str, str]:
        """The digest of each language model that became another one. Raises StorageError."""
        with self._database.read() as connection:
            return model_digests(connection)


def _make_sku(connection: Connection, sku: str, named: dict[str, str]) -> bool:
    now = datetime.now(UTC)
    row = {"sku": sku, **named, "registered_at": now, "updated_at": now}
    statement = insert_into(connection, schema.sku).values(row)
    statement = statement.on_conflict_do_nothing(index_elements=[schema.sku.c.sku])
    return connection.execute(statement.returning(schema.sku.c.sku)).first() is not None


def _named(job: Job) -> dict[str, str]:
    return {field: getattr(job, field) for field in _JOB_FIELDS if getattr(job, field) is not None}


def _register(connection: Connection, sku: str, named: dict[str, str]) -> bool:
    """Whether this made the row; otherwise what is named replaces what is stored."""
    if _make_sku(connection, sku, named):
        return True
    if named:
        changes = {**named, "updated_at": datetime.now(UTC)}
        connection.execute(update(schema.sku).where(schema.sku.c.sku == sku).values(changes))
    return False


def _lock(connection: Connection, sku: str, named: dict[str, str]) -> int:
    """Register the SKU and lock it until the transaction ends; its newest version, 0 if it has none.

    On SQLite the transaction has locked all already.
    """
    _register(connection, sku, named)
    connection.execute(select(schema.sku.c.sku).where(schema.sku.c.sku == sku).with_for_update()).one()
    columns = schema.recipe.c
    newest = select(func.max(columns.version)).where(columns.sku == sku)
    return connection.execute(newest).scalar_one() or 0


def _insert(connection: Connection, recipe: Recipe, version: int, *, activate: bool) -> Recipe:
    now = datetime.now(UTC)
    row = {
        "sku": recipe.sku,
        "version": version,
        "noun": recipe.noun,
        "method": recipe.method,
        "parameters": dict(recipe.parameters),
        "prompt_set_id": share_prompts(connection, recipe.prompts, now),
        "created_at": now,
        "origin": recipe.origin,
        "note": recipe.note,
        "parent_version": recipe.parent,
        "prompt_selection": None if recipe.prompt_selection is None else dict(recipe.prompt_selection),
        "margin": recipe.margin,
        "regions": recipe.regions.record() or None,
    }
    statement = insert(schema.recipe).values(row).returning(schema.recipe.c.id)
    identifier = connection.execute(statement).scalar_one()
    add_references(connection, recipe.sku, identifier, recipe.references, now)
    add_calibration(connection, identifier, recipe.calibration)
    if activate:
        _activate(connection, recipe.sku, version, now)
    return replace(recipe, id=identifier, version=version)


def _activate(connection: Connection, sku: str, version: int, now: datetime) -> None:
    changes = {"active_version": version, "updated_at": now}
    connection.execute(update(schema.sku).where(schema.sku.c.sku == sku).values(changes))
