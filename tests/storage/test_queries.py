"""Queries for reports: summaries and inspections in order of arrival."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agent.domain.errors import StorageError
from agent.domain.inspection import Feedback, RecipeStamp
from agent.domain.verdict import Verdict
from agent.ports import Entry
from storage import Database, SqlHistory, SqlRecipeBook, inspections, query, summary
from tests.storage.examples import NOON, bolt_recipe, entry, inspected


def test_a_summary_counts_what_happened(database: Database, history: SqlHistory, book: SqlRecipeBook) -> None:
    book.add(bolt_recipe())
    recipe = book.add(bolt_recipe())
    stamp = RecipeStamp(recipe.id, 2, "sightline", "manual", 2)
    history.record([entry("a"), entry("b", minutes=5), entry("c", Verdict.FAIL, sku="nut", minutes=5)])
    history.record([Entry(inspected("d", Verdict.ERROR, sku=None, minutes=9, recipe=stamp))])
    found = summary(database)
    assert found.frames == 4
    assert found.verdicts == {"ERROR": 1, "FAIL": 1, "PASS": 2}
    assert found.skus == ("bolt", "nut")
    assert found.recipes == {"bolt": 2}
    assert found.prompt_sources == {"manual": 1}
    assert summary(database, since=NOON + timedelta(minutes=5)).verdicts == {"ERROR": 1, "FAIL": 1, "PASS": 1}


def test_an_empty_history_has_an_empty_summary(database: Database) -> None:
    found = summary(database)
    assert (found.frames, found.verdicts, found.skus, found.recipes) == (0, {}, (), {})


def test_inspections_come_in_order_of_arrival(database: Database, history: SqlHistory) -> None:
    history.record(
        [entry("b", minutes=2), entry("a", Verdict.FAIL, minutes=3), entry("c", minutes=1, sku="nut")]
    )
    assert [row["frame_id"] for row in inspections(database)] == ["c", "b", "a"]
    assert [row["frame_id"] for row in inspections(database, sku="bolt")] == ["b", "a"]
    assert [row["frame_id"] for row in inspections(database, verdict="FAIL")] == ["a"]
    assert [row["frame_id"] for row in inspections(database, since=NOON + timedelta(minutes=2))] == ["b", "a"]
    assert [row["frame_id"] for row in inspections(database, limit=1)] == ["c"]


def test_a_long_history_is_read_in_chunks(database: Database, history: SqlHistory) -> None:
    history.record([entry(f"f-{number:05}", minutes=number) for number in range(1100)])
    assert sum(1 for _ in inspections(database)) == 1100


def test_an_inspection_carries_the_latest_word_on_it(database: Database, history: SqlHistory) -> None:
    history.record([entry("a")])
    history.record_feedback(Feedback("defective", NOON, frame_id="a", by="Ada"))
    (row,) = inspections(database)
    assert (row["truth"], row["truth_by"], row["truth_at"]) == ("defective", "Ada", NOON)


def test_a_query_reads_and_cannot_write(database: Database, history: SqlHistory) -> None:
    history.record([entry("a"), entry("b")])
    count = "SELECT COUNT(*) AS n FROM inspection"
    assert query(database, f"{count} WHERE frame_id = :frame", {"frame": "a"}) == [{"n": 1}]
    for statement in ("DELETE FROM outbox RETURNING id", "DROP TABLE outbox"):
        with pytest.raises(StorageError):
            query(database, statement)
    assert query(database, count) == [{"n": 2}]
    assert history.record([entry("c")]) == [True]
