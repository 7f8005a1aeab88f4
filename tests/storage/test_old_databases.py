"""Databases as older versions wrote them: made by those versions, and never edited."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from agent.domain.frame import Job
from agent.domain.prompts import NamedDefect, PromptSource
from agent.domain.recipe import Recipe
from agent.ports import OnboardingState
from storage import (
    Database,
    SqlHistory,
    SqlOnboardingClaims,
    SqlRecipeBook,
    check,
    inspections,
    schema,
    upgrade,
)
from storage.views import VIEWS
from tests.storage.examples import NOON, bolt_recipe, entry

OLD = Path(__file__).parent / "old"
REVISIONS = ("0001", "0002")


@pytest.fixture(params=REVISIONS)
def revision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["sqlite", "postgresql"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path, revision: str) -> str:
    """Two products, three recipe versions, three inspections with feedback, as that revision kept them."""
    if request.param == "sqlite":
        path = tmp_path / "history.db"
        shutil.copy(OLD / f"r{revision}.db", path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("postgresql_url")
    with psycopg.connect(url) as connection:
        connection.execute((OLD / f"r{revision}.postgresql.sql").read_text())
    return url


@pytest.fixture
def upgraded(old_url: str, revision: str) -> Iterator[Database]:
    assert [problem for problem in check(old_url) if revision in problem] != []
    upgrade(old_url)
    assert check(old_url, full=True) == []
    with Database(old_url) as database:
        yield database


def contents(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that the old version had, by its own columns."""
    with Database(url) as database, database.read() as connection:
        found: dict[str, list[dict[str, Any]]] = {}
        for table in schema.metadata.tables:
            if not connection.dialect.has_table(connection, table):
                continue
            rows = connection.execute(text(f"SELECT * FROM {table}")).mappings().all()  # noqa: S608 - our own names
            found[table] = [{str(name): value for name, value in row.items()} for row in rows]
        return found


def test_no_row_and_no_value_is_lost(old_url: str, revision: str) -> None:
    before = contents(old_url)
    assert all(before.values()), "the old history has rows in every table"
    assert ("onboarding" in before) == (revision >= "0002")
    upgrade(old_url)
    after = contents(old_url)
    for table, rows in before.items():
        kept = [{name: row[name] for name in rows[0]} for row in after[table]]
        assert sorted(map(repr, kept)) == sorted(map(repr, rows))
    with Database(old_url) as database, database.read() as connection:
        for view in VIEWS:
            found = connection.execute(text(f"SELECT * FROM {view}")).all()  # noqa: S608 - our own names
            assert found != [] or view == "defect_pareto"


def test_old_recipes_are_read_and_new_ones_follow(upgraded: Database) -> None:
    book = SqlRecipeBook(upgraded)
    first, active = book.get("bolt", 1), book.active("bolt")
    assert isinstance(first, Recipe)
    assert isinstance(active, Recipe)
    assert [line.origin for line in book.listing("bolt")] == ["enrollment", "template", "enrollment"]
    assert first.references == bolt_recipe().references
    assert first.calibration == bolt_recipe().calibration
    assert first.prompts.source is PromptSource.OLLAMA
    assert first.prompts.defects == (NamedDefect("stripped thread", ("a stripped thread", "a worn thread")),)
    assert (active.version, active.origin) == (2, "template")
    assert book.job("bolt") == Job("bolt", "Hex bolt", "M8, zinc plated", "04012345678901", "L1")
    assert [reference.name for reference in book.held_references("nut")] == ["nut-1"]

    again = book.add(bolt_recipe(prompts=first.prompts, origin="import", parent=1))
    assert again.version == 4
    with upgraded.read() as connection:
        sets = connection.execute(text("SELECT COUNT(*) FROM prompt_set")).scalar_one()
    assert sets == 1, "the words of old versions are still known as the same"


def test_why_a_version_was_written_is_kept_since_that_is_known(upgraded: Database, revision: str) -> None:
    active = SqlRecipeBook(upgraded).active("bolt")
    assert active is not None
    known = ("by hand", 1) if revision >= "0002" else (None, None)
    assert (active.note, active.parent) == known


def test_old_inspections_stand_in_the_views(upgraded: Database) -> None:
    found = {row["frame_id"]: row for row in inspections(upgraded)}
    assert {name: (row["verdict"], row["truth"], row["sequence"]) for name, row in found.items()} == {
        "f-full": ("FAIL", "good", None),
        "f-1": ("PASS", "defective", None),
        "f-2": ("REVIEW", None, None),
    }
    history = SqlHistory(upgraded, agent_id="cell-7", agent_version="2")
    assert list(history.record([entry("f-1"), entry("f-new")])) == [False, True]


def test_old_products_can_be_onboarded(upgraded: Database, revision: str) -> None:
    desk = SqlOnboardingClaims(upgraded)
    if revision < "0002":
        assert desk.claim("nut", "cell-7", 60.0, NOON)
    else:
        assert not desk.claim("nut", "cell-8", 60.0, NOON), "a claim from before the upgrade still holds"
    assert desk.finish("nut", "cell-7", OnboardingState.DONE, NOON)
