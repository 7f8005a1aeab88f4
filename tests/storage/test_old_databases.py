"""Databases as older versions wrote them: made by those versions, and never edited.

That of 0004 is that of 0003, upgraded by the version with 0004, which then wrote a frame for two sinks.
"""

from __future__ import annotations

import hashlib
import json
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
    MediaCheck,
    MediaFolder,
    SqlHistory,
    SqlOnboardingClaims,
    SqlOutbox,
    SqlRecipeBook,
    check,
    inspections,
    schema,
    upgrade,
)
from storage.media_audit.report import problems
from storage.views import VIEWS
from tests.storage.examples import NOON, bolt_recipe, entry

OLD = Path(__file__).parent / "old"
REVISIONS = ("0001", "0002", "0003", "0004")
WITH_MEDIA = "0003"
"""With it came a media folder and messages that nobody had acknowledged yet."""

RENAMED = {("outbox", "topic"): "destination", ("recipe", "audition"): "prompt_selection"}
"""Columns that have another name since."""
RENAMED_VALUES = {
    ("recipe", "origin"): {"enrolment": "enrollment", "audition": "prompt-selection"},
    ("event", "kind"): {
        "line-failed": "pipeline-failed",
        "enrolment-failed": "enrollment-failed",
        "audition": "prompt-selection",
        "audition-failed": "prompt-selection-failed",
    },
}


@pytest.fixture(params=REVISIONS)
def revision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'history.db'}"
    return str(request.getfixturevalue("postgresql_url"))


def restore(url: str, revision: str) -> str:
    """Two products, three recipe versions, three inspections with feedback, as that revision kept them."""
    if url.startswith("sqlite:///"):
        shutil.copy(OLD / f"r{revision}.db", url.removeprefix("sqlite:///"))
    else:
        with psycopg.connect(url) as connection:
            connection.execute((OLD / f"r{revision}.postgresql.sql").read_text())
    return url


@pytest.fixture
def old_url(empty_url: str, revision: str) -> str:
    return restore(empty_url, revision)


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


def renamed(table: str, column: str, value: Any) -> Any:
    words = RENAMED_VALUES.get((table, column))
    return value if words is None else words.get(value, value)


def test_no_row_and_no_value_is_lost(old_url: str, revision: str) -> None:
    before = contents(old_url)
    assert all(before.values()), "the old history has rows in every table"
    assert ("onboarding" in before) == (revision >= "0002")
    upgrade(old_url)
    after = contents(old_url)
    for table, rows in before.items():
        names = {name: RENAMED.get((table, name), name) for name in rows[0]}
        kept = [{name: row[new] for name, new in names.items()} for row in after[table]]
        expected = [{name: renamed(table, name, value) for name, value in row.items()} for row in rows]
        assert sorted(map(repr, kept)) == sorted(map(repr, expected))
    with Database(old_url) as database, database.read() as connection:
        for view in VIEWS:
            found = connection.execute(text(f"SELECT * FROM {view}")).all()  # noqa: S608 - our own names
            assert found != [] or view == "defect_pareto"


def test_old_recipes_are_read_and_new_ones_follow(upgraded: Database) -> None:
    book = SqlRecipeBook(upgraded)
    first, active = book.get("bolt", 1), book.active("bolt")
    assert isinstance(first, Recipe)
    assert isinstance(active, Recipe)
    assert [row.origin for row in book.listing("bolt")] == ["enrollment", "template", "enrollment"]
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


def test_old_inspections_stand_in_the_views(upgraded: Database, revision: str) -> None:
    found = {row["frame_id"]: row for row in inspections(upgraded)}
    own = {"f-4": ("PASS", None, None)} if revision == "0004" else {}
    assert {name: (row["verdict"], row["truth"], row["sequence"]) for name, row in found.items()} == {
        **own,
        "f-full": ("FAIL", "good", None),
        "f-1": ("PASS", "defective", None),
        "f-2": ("REVIEW", None, None),
    }
    history = SqlHistory(upgraded, agent_id="cell-7", agent_version="2")
    assert list(history.record([entry("f-1"), entry("f-new")])) == [False, True]


def test_old_products_can_be_onboarded(upgraded: Database, revision: str) -> None:
    claims = SqlOnboardingClaims(upgraded)
    if revision < "0002":
        assert claims.claim("nut", "cell-7", 60.0, NOON)
    else:
        assert not claims.claim("nut", "cell-8", 60.0, NOON), "a claim from before the upgrade still holds"
    assert claims.finish("nut", "cell-7", OnboardingState.DONE, NOON)


def test_every_old_word_is_stored_as_the_new_one(empty_url: str) -> None:
    url = restore(empty_url, WITH_MEDIA)
    kinds, origins = RENAMED_VALUES["event", "kind"], RENAMED_VALUES["recipe", "origin"]
    tried = json.dumps({"margin": 0.25})
    with Database(url) as database, database.write() as connection:
        copied = "severity, message, occurred_at, details, agent_id, agent_version"
        for kind in kinds:
            connection.execute(
                text(f"INSERT INTO event (kind, {copied}) SELECT :kind, {copied} FROM event WHERE id = 1"),  # noqa: S608
                {"kind": kind},
            )
        connection.execute(
            text("UPDATE recipe SET origin = 'audition', audition = :tried WHERE version = 2"),
            {"tried": tried},
        )
    upgrade(url)
    with Database(url) as database:
        with database.read() as connection:
            found = connection.execute(text("SELECT kind FROM event ORDER BY id")).scalars().all()
        listing = SqlRecipeBook(database).listing("bolt")
        recipe = SqlRecipeBook(database).get("bolt", 2)
    assert found[:2] == ["job", "burst"]
    assert sorted(found[2:]) == sorted(kinds.values())
    assert [row.origin for row in listing] == [*origins.values(), "enrollment"]
    assert recipe is not None
    assert (recipe.prompt_selection, recipe.margin) == ({"margin": 0.25}, 0.25)


def test_messages_that_the_old_version_owed_the_broker_are_the_first_to_go(empty_url: str) -> None:
    url = restore(empty_url, WITH_MEDIA)
    with Database(url) as database, database.read() as connection:
        query = "SELECT id, topic, payload, correlation_data FROM outbox WHERE sent_at IS NULL ORDER BY id"
        owed = [tuple(row) for row in connection.execute(text(query))]
    assert len(owed) == 6
    upgrade(url)
    with Database(url) as database:
        history = SqlHistory(database, agent_id="cell-7", agent_version="2")
        history.record([entry("f-new")])
        outbox = SqlOutbox(database, agent_id="cell-7")
        assert {sink: count for sink, (count, _) in outbox.backlog().items()} == {"mqtt": 7}
        waiting = outbox.pending(9, sink="mqtt")
        assert [
            (one.id, one.message.destination, one.message.payload, one.message.correlation_data)
            for one in waiting[:6]
        ] == owed
        assert waiting[6].message.payload == b"f-new"
        outbox.mark_sent([one.id for one in waiting])
        assert outbox.depth() == 0


def test_the_old_media_folder_belongs_to_the_upgraded_history(empty_url: str, tmp_path: Path) -> None:
    url, folder = restore(empty_url, WITH_MEDIA), tmp_path / "media"
    shutil.copytree(OLD / f"r{WITH_MEDIA}.media", folder)
    upgrade(url)
    with Database(url) as database:
        media = MediaFolder(folder)
        (full,) = (row for row in inspections(database) if row["frame_id"] == "f-full")
        (held,) = SqlRecipeBook(database).held_references("nut")
        for path in (full["image_path"], full["mask_path"], full["overlay_path"], held.path):
            assert hashlib.sha256(media.get(path)).hexdigest() == Path(path).stem
        report = MediaCheck(database, folder).look(deep=True)
    # The references of the recipes are examples without images, in every old database.
    assert [problem for problem in problems(report) if "references have lost" not in problem] == []
    assert report.files == 5
