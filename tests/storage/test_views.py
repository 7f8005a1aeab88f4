"""The SQL views: their figures, and their columns on both databases."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import storage
from agent.domain.frame import Camera
from agent.domain.inspection import Feedback, RecipeStamp
from agent.domain.verdict import Verdict
from agent.ports import Entry
from storage import Database, SqlHistory, SqlRecipeBook
from storage.views import VIEWS
from tests.storage.examples import NOON, bolt_recipe, defect, inspected

PASS, FAIL, REVIEW, ERROR, SKIPPED = Verdict
README = (Path(storage.__file__).parent / "README.md").read_text()
FRONT_PAGE = (Path(storage.__file__).parents[1] / "README.md").read_text()
QUERIES = [
    statement
    for block in re.findall(r"```sql\n(.*?)```", README + FRONT_PAGE, re.DOTALL)
    for statement in block.split(";")
    if statement.strip()
]


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.read() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


def moment(value: Any) -> datetime:
    """SQLite gives times of views as text, PostgreSQL as datetimes in the session's zone."""
    return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


@pytest.fixture
def a_shift(history: SqlHistory, book: SqlRecipeBook) -> None:
    """Two hours of bolts under two recipe versions, one nut, and the feedback of people."""
    stamps = []
    for _ in range(2):
        recipe = book.add(bolt_recipe())
        stamps.append(RecipeStamp(recipe.id, recipe.version, recipe.method, "template", recipe.shots))
    scratch, dent = defect(1, "scratch"), defect(2, "dent")
    inspections = [
        inspected("a", PASS, recipe=stamps[0]),
        inspected("b", PASS, recipe=stamps[0], minutes=59.9),
        inspected("c", FAIL, recipe=stamps[0], minutes=1, defects=(scratch, dent)),
        inspected("d", REVIEW, recipe=stamps[0], minutes=2, defects=(dent,)),
        inspected("e", FAIL, recipe=stamps[1], minutes=60, defects=(defect(1, "stain"),)),
        inspected("f", FAIL, recipe=stamps[1], minutes=61, defects=(scratch,)),
        inspected("g", REVIEW, recipe=stamps[1], minutes=62, defects=(scratch,)),
        inspected("h", ERROR, minutes=63),
        inspected("i", SKIPPED, minutes=64),
        inspected("j", FAIL, minutes=65, shadow=True),
        inspected("k", REVIEW, sku="nut", camera=Camera("factory", "line-2", "cam-b")),
    ]
    history.record([Entry(inspection) for inspection in inspections])
    feedback = [
        ("b", "good", 0),
        ("b", "defective", 5),  # an escape: the later word wins
        ("b", "good", 3),
        ("a", "good", 0),
        ("e", "good", 0),  # a false alarm
        ("g", "defective", 0),  # counts among the defects although it was only in review
        ("f", "defective", 0),
    ]
    for frame, truth, minutes in feedback:
        at = NOON + timedelta(hours=2, minutes=minutes)
        assert history.record_feedback(Feedback(truth, at, frame_id=frame, by="Ada", note=f"{minutes}"))


@pytest.mark.usefixtures("a_shift")
def test_hourly_yield(database: Database) -> None:
    found = rows(database, "SELECT * FROM hourly_yield ORDER BY hour, line, shadow")
    bolts, nuts, later, shadow = found
    assert [moment(row["hour"]).hour for row in found] == [12, 12, 13, 13]
    assert {moment(row["hour"]).minute for row in found} == {0}
    counts = ("inspections", "passed", "failed", "review", "errors", "skipped", "yield")
    assert [bolts[name] for name in counts] == [4, 2, 1, 1, 0, 0, pytest.approx(2 / 3)]
    assert [nuts[name] for name in counts] == [1, 0, 0, 1, 0, 0, None]
    assert [later[name] for name in counts] == [5, 0, 2, 1, 1, 1, 0.0]
    assert [shadow[name] for name in counts] == [1, 0, 1, 0, 0, 0, 0.0]
    assert bool(shadow["shadow"])
    assert not bool(later["shadow"])
    assert (nuts["site"], nuts["line"], nuts["camera"], nuts["sku"]) == ("factory", "line-2", "cam-b", "nut")


@pytest.mark.usefixtures("a_shift")
def test_sku_quality(database: Database) -> None:
    found = rows(
        database, "SELECT * FROM sku_quality WHERE recipe_version IS NOT NULL ORDER BY recipe_version"
    )
    first, second = found
    verdicts = ("inspections", "passed", "failed", "review", "errors", "skipped")
    truths = (
        "feedback",
        "truth_good",
        "truth_defective",
        "false_alarms",
        "escapes",
        "false_alarm_rate",
        "escape_rate",
    )
    assert [first[name] for name in verdicts] == [4, 2, 1, 1, 0, 0]
    assert [first[name] for name in truths] == [2, 1, 1, 0, 1, 0.0, 1.0]
    assert [second[name] for name in verdicts] == [3, 0, 2, 1, 0, 0]
    assert [second[name] for name in truths] == [3, 1, 2, 1, 0, 1.0, 0.0]
    (nut,) = rows(database, "SELECT * FROM sku_quality WHERE sku = 'nut'")
    assert [nut[name] for name in truths] == [0, 0, 0, 0, 0, None, None]


@pytest.mark.usefixtures("a_shift")
def test_defect_pareto(database: Database) -> None:
    found = rows(database, "SELECT * FROM defect_pareto ORDER BY sku, rank")
    # c: scratch and dent; f: scratch; g: scratch. d is in review and e was taken back.
    assert [(row["sku"], row["rank"], row["label"], row["defects"], row["inspections"]) for row in found] == [
        ("bolt", 1, "scratch", 3, 3),
        ("bolt", 2, "dent", 1, 1),
    ]
    assert [row["share"] for row in found] == [0.75, 0.25]
    assert [row["cumulative_share"] for row in found] == [0.75, 1.0]


@pytest.mark.usefixtures("a_shift")
def test_inspection_history(database: Database) -> None:
    found = {row["frame_id"]: row for row in rows(database, "SELECT * FROM inspection_history")}
    assert len(found) == 11
    assert (found["c"]["defects"], found["c"]["defect_labels"]) == (2, "scratch, dent")
    assert (found["a"]["defects"], found["a"]["defect_labels"]) == (0, None)
    assert [found["b"][name] for name in ("truth", "truth_by", "truth_note")] == ["defective", "Ada", "5"]
    assert moment(found["b"]["truth_at"]) == NOON + timedelta(hours=2, minutes=5)
    assert found["c"]["truth"] is None
    assert (found["c"]["recipe_version"], found["c"]["calibration_samples"]) == (1, 16)


def test_views_of_an_empty_history_are_empty(database: Database) -> None:
    assert [rows(database, f"SELECT * FROM {name}") for name in VIEWS] == [[]] * 4  # noqa: S608


HISTORY_COLUMNS = """
    inspection_id site line camera frame_id sent_frame_id part_id sequence sku verdict reason score threshold
    threshold_source calibration_samples calibrated shadow late recipe_id recipe_version method
    prompt_source shots model_digest defects defect_labels truth truth_by truth_note truth_at
    captured_at received_at inspected_at queue_ms decode_ms infer_ms record_ms width height
    image_path mask_path overlay_path agent_id agent_version
"""
COLUMNS = {
    "inspection_history": HISTORY_COLUMNS,
    "hourly_yield": "hour site line camera sku shadow inspections passed failed review errors skipped yield",
    "sku_quality": "sku recipe_version inspections passed failed review errors skipped"
    " feedback truth_good truth_defective false_alarms escapes false_alarm_rate escape_rate",
    "defect_pareto": "sku label defects inspections rank share cumulative_share",
}


def test_the_columns_are_the_same_everywhere_and_documented(database: Database) -> None:
    """The columns are an interface: whoever changes this list breaks somebody's query."""
    with database.read() as connection:
        for name in VIEWS:
            columns = list(connection.execute(text(f"SELECT * FROM {name}")).keys())  # noqa: S608
            assert columns == COLUMNS[name].split()
            assert [column for column in columns if f"`{column}`" not in README] == []


@pytest.mark.usefixtures("a_shift")
def test_the_queries_of_the_documentation_run(database: Database) -> None:
    assert len(QUERIES) >= 6
    for query in QUERIES:
        found = rows(database, query)
        assert found != [] or "SN-000123" in query, query
