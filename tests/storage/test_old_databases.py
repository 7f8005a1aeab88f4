"""Databases as older versions wrote them. The dumps were made by those versions and are never edited."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from agent.frame import Job
from agent.ports import OnboardingState
from agent.prompts import NamedDefect, PromptSource
from agent.recipe import Recipe
from storage import Database, SqlHistory, SqlOnboardingDesk, SqlRecipeBook, check, inspections, upgrade
from tests.storage.examples import NOON, bolt_recipe, entry

OLD = Path(__file__).parent / "old"


@pytest.fixture(params=["sqlite", "postgresql"])
def r0001_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Two products, three recipe versions, three inspections with feedback, as revision 0001 kept them."""
    if request.param == "sqlite":
        path = tmp_path / "history.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript((OLD / "r0001.sqlite.sql").read_text())
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("postgresql_url")
    with psycopg.connect(url) as connection:
        connection.execute((OLD / "r0001.postgresql.sql").read_text())
    return url


@pytest.fixture
def upgraded(r0001_url: str) -> Iterator[Database]:
    assert [problem for problem in check(r0001_url) if "0001" in problem] != []
    upgrade(r0001_url)
    assert check(r0001_url) == []
    with Database(r0001_url) as database:
        yield database


def test_old_recipes_are_read_and_new_ones_follow(upgraded: Database) -> None:
    book = SqlRecipeBook(upgraded)
    first, active = book.get("bolt", 1), book.active("bolt")
    assert isinstance(first, Recipe)
    assert isinstance(active, Recipe)
    assert [line.origin for line in book.listing("bolt")] == ["enrolment", "template", "enrolment"]
    assert first.references == bolt_recipe().references
    assert first.calibration == bolt_recipe().calibration
    assert first.prompts.source is PromptSource.OLLAMA
    assert first.prompts.defects == (NamedDefect("stripped thread", ("a stripped thread", "a worn thread")),)
    assert (active.version, active.origin, active.note, active.parent) == (2, "template", None, None)
    assert book.job("bolt") == Job("bolt", "Hex bolt", "M8, zinc plated", "04012345678901", "L1")
    assert [reference.name for reference in book.held_references("nut")] == ["nut-1"]

    again = book.add(bolt_recipe(prompts=first.prompts, origin="import", parent=1))
    assert again.version == 4
    with upgraded.read() as connection:
        sets = connection.execute(text("SELECT COUNT(*) FROM prompt_set")).scalar_one()
    assert sets == 1, "the words of old versions are still known as the same"


def test_old_inspections_stand_in_the_views(upgraded: Database) -> None:
    found = {row["frame_id"]: row for row in inspections(upgraded)}
    assert {name: (row["verdict"], row["truth"]) for name, row in found.items()} == {
        "f-full": ("FAIL", "good"),
        "f-1": ("PASS", "defective"),
        "f-2": ("REVIEW", None),
    }
    history = SqlHistory(upgraded, agent_id="cell-7", agent_version="2")
    assert list(history.record([entry("f-1"), entry("f-new")])) == [False, True]


def test_old_products_can_be_onboarded(upgraded: Database) -> None:
    desk = SqlOnboardingDesk(upgraded)
    assert desk.claim("nut", "cell-7", 60.0, NOON)
    assert desk.finish("nut", "cell-7", OnboardingState.DONE, NOON)
