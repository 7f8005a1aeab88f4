"""``load`` and others: from recipes to the rows of their tables, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    select,
)

from agent.domain.calibration import Calibration
from agent.domain.errors import RecipeError
from agent.domain.prompts import NamedDefect, PromptSet, PromptSource
from agent.domain.recipe import MODEL_CHANGED, Recipe, RecipeListing, Reference
from agent.domain.regions import Regions
from agent.ports.onboarding import OnboardingState
from storage import schema
from storage.database import insert_into

_STALE_NOTE = "the template, until the language model has answered"
"""What earlier agents stored with first versions; the state of the onboarding says it now."""
_UNDECIDED = (OnboardingState.WAITING.value, OnboardingState.CLAIMED.value)


def prompt_identity(prompts: PromptSet) -> str:
    """sha256 over words, severities, source and provenance: equal sets share their row."""
    parts: list[Any] = [prompts.digest, prompts.source.value, sorted(prompts.provenance.items())]
    severities = [defect.severity for defect in prompts.defects]
    if any(severities):  # a set without them keeps the identity from before there were any
        parts.append(severities)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def share_prompts(connection: Connection, prompts: PromptSet, now: datetime) -> int:
    """The row with these words, source and provenance, which is made if it is missing."""
    table, identity = schema.prompt_set, prompt_identity(prompts)
    row = {
        "digest": prompts.digest,
        "identity": identity,
        "normal": list(prompts.normal),
        "anomalous": list(prompts.anomalous),
        "defects": [_defect_row(defect) for defect in prompts.defects],
        "source": prompts.source.value,
        "provenance": dict(prompts.provenance),
        "created_at": now,
    }
    statement = insert_into(connection, table).values(row)
    connection.execute(statement.on_conflict_do_nothing(index_elements=[table.c.identity]))
    shared = select(table.c.id).where(table.c.identity == identity)
    return int(connection.execute(shared).scalar_one())


def _defect_row(defect: NamedDefect) -> dict[str, Any]:
    return {"name": defect.name, "phrases": list(defect.phrases), "severity": defect.severity}


def reference_row(reference: Reference) -> dict[str, Any]:
    """The columns of a reference."""
    return {"sha256": reference.sha256, "path": reference.path, "name": reference.name}


def is_held() -> ColumnElement[bool]:
    """Whether no version of the SKU's recipe holds it, even if a person enrolled the same image."""
    columns, taken = schema.reference.c, schema.reference.alias("taken")
    same = and_(taken.c.sku == columns.sku, taken.c.sha256 == columns.sha256, taken.c.recipe_id.is_not(None))
    return and_(columns.recipe_id.is_(None), ~exists().where(same))


def add_references(
    connection: Connection, sku: str, recipe_id: int, references: Sequence[Reference], now: datetime
) -> None:
    """Add the references of a new version; held ones among them are used."""
    if not references:
        return
    common = {"sku": sku, "recipe_id": recipe_id, "created_at": now}
    rows = [{**common, "position": p, **reference_row(r)} for p, r in enumerate(references)]
    connection.execute(insert(schema.reference), rows)
    columns = schema.reference.c
    taken_up = and_(
        columns.sku == sku, columns.recipe_id.is_(None), columns.sha256.in_([r.sha256 for r in references])
    )
    connection.execute(delete(schema.reference).where(taken_up))


def add_calibration(connection: Connection, recipe_id: int, calibration: Calibration | None) -> None:
    """Add the calibration of a new version, if it has one."""
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
        "log_mean": calibration.log_mean,
        "log_deviation": calibration.log_deviation,
        "label_margin": calibration.label_margin,
    }
    connection.execute(insert(schema.calibration).values(row))


def recipes() -> Select[Any]:
    """All columns of a recipe without its references, one row a version."""
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
            calibration.c.log_mean,
            calibration.c.log_deviation,
            calibration.c.label_margin,
        )
        .select_from(recipe)
        .join(prompts, prompts.c.id == recipe.c.prompt_set_id)
        .outerjoin(calibration, calibration.c.recipe_id == recipe.c.id)
    )


def load(connection: Connection, query: Select[Any]) -> Recipe | None:
    """The recipe of the one row of ``query``. Raises RecipeError if the row is damaged."""
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
            origin=row.origin,
            note=row.note,
            parent=row.parent_version,
            prompt_selection=row.prompt_selection,
            regions=Regions.of(row.regions),
        )
    except (ValueError, KeyError, TypeError, RecipeError) as error:
        # Not a StorageError: waiting does not help, and other SKUs go on.
        raise RecipeError(
            f"version {row.version} of the recipe of {row.sku!r} is damaged in the database ({error});"
            " restore a backup or activate another version"
        ) from error


def _prompts(row: Row[Any]) -> PromptSet:
    return PromptSet(
        normal=tuple(row.normal),
        anomalous=tuple(row.anomalous),
        defects=tuple(
            # Rows from before revision 0002 have no severity.
            NamedDefect(d["name"], tuple(d["phrases"]), d.get("severity", ""))
            for d in row.defects
        ),
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
        log_mean=row.log_mean,
        log_deviation=row.log_deviation,
        label_margin=row.label_margin,
    )


def listings() -> Select[Any]:
    """The columns of a RecipeListing, by SKU and version."""
    recipe = schema.recipe.c
    shots = (
        select(func.count())
        .select_from(schema.reference)
        .where(schema.reference.c.recipe_id == recipe.id)
        .scalar_subquery()
    )
    return (
        select(
            recipe.sku,
            recipe.version,
            func.coalesce(schema.sku.c.active_version == recipe.version, False).label("active"),
            recipe.noun,
            recipe.method,
            schema.prompt_set.c.source.label("prompt_source"),
            shots.label("shots"),
            schema.calibration.c.threshold,
            recipe.origin,
            recipe.note,
            recipe.parent_version.label("parent"),
            recipe.margin,
            recipe.regions,
            recipe.created_at,
            schema.prompt_set.c.provenance,
            case((schema.onboarding.c.state.in_(_UNDECIDED), schema.onboarding.c.reason)).label("waiting"),
        )
        .join(schema.sku, schema.sku.c.sku == recipe.sku)
        .join(schema.prompt_set, schema.prompt_set.c.id == recipe.prompt_set_id)
        .outerjoin(schema.calibration, schema.calibration.c.recipe_id == recipe.id)
        .outerjoin(schema.onboarding, schema.onboarding.c.sku == recipe.sku)
        .order_by(recipe.sku, recipe.version)
    )


def listing_of(row: Row[Any], digests: Mapping[str, str]) -> RecipeListing:
    """One row of :func:`listings`.

    Args:
        digests: of the language models that became others, by name.
    """
    values = {**row._mapping, "regions": Regions.of(row.regions)}
    provenance = values.pop("provenance") or {}
    model, digest = provenance.get("model"), provenance.get("digest")
    if not (values["active"] and values["prompt_source"] == PromptSource.TEMPLATE):
        values["waiting"] = None
    if values["note"] == _STALE_NOTE:
        values["note"] = None
    changed = digest is not None and digests.get(str(model), digest) != digest
    return RecipeListing(**values, model=model, model_digest=digest, model_changed=changed)


def model_digests(connection: Connection) -> dict[str, str]:
    """The digest of each language model that became another one, as last reported."""
    event = schema.event.c
    query = select(event.details).where(event.kind == MODEL_CHANGED).order_by(event.id)
    reported = connection.execute(query).scalars()
    return {
        details["model"]: details["digest"] for details in reported if {"model", "digest"} <= details.keys()
    }
