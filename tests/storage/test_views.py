"""The SQL views: their figures, and their columns on both databases."""

from __future__ import annotations

import math
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import storage
from agent.domain.events import Event
from agent.domain.frame import Camera
from agent.domain.inspection import Feedback, RecipeStamp, Timings
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


NAMED = ("SN-000123", "cam-1", "product-01", "missing part")
"""What a query asks for and the shift of these tests does not have; a history of storage.benchmark has it."""


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
    history.record_event(
        Event("gap", "3 frames are missing", NOON, camera="factory/line-1/cam-a", severity="warning")
    )
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


def test_quality_and_pareto_are_by_day_and_line_and_sum_up_to_the_whole(
    database: Database, history: SqlHistory
) -> None:
    """A day ends at midnight UTC, whatever the zone of the session; both lines count apart."""
    other = Camera("factory", "line-2", "cam-b")
    scratch, dent = defect(1, "scratch"), defect(2, "dent")
    history.record(
        [
            Entry(inspected("a", FAIL, minutes=719.9, defects=(scratch, dent))),  # 23:59:54
            Entry(inspected("b", FAIL, minutes=720, defects=(dent,))),
            Entry(inspected("c", FAIL, minutes=721, camera=other, defects=(dent,))),
            Entry(inspected("d", PASS, minutes=722, camera=other)),
        ]
    )
    assert history.record_feedback(
        Feedback("defective", NOON + timedelta(days=1), frame_id="d", camera=str(other))
    )
    found = rows(database, "SELECT * FROM defect_pareto ORDER BY day, line, rank")
    assert [(str(r["day"]), r["line"], r["label"], r["defects"], r["share"]) for r in found] == [
        ("2026-11-20", "line-1", "dent", 1, 0.5),
        ("2026-11-20", "line-1", "scratch", 1, 0.5),
        ("2026-11-21", "line-1", "dent", 1, 1.0),
        ("2026-11-21", "line-2", "dent", 1, 1.0),
    ]
    quality = rows(database, "SELECT * FROM sku_quality WHERE day >= '2026-11-21' ORDER BY day, line")
    assert [(str(r["day"]), r["line"], r["inspections"], r["escape_rate"]) for r in quality] == [
        ("2026-11-21", "line-1", 1, None),
        ("2026-11-21", "line-2", 2, 1.0),
    ]
    whole = {
        name: query
        for query in QUERIES
        for name in VIEWS
        if f"FROM {name}\nWHERE day >= '2026-11-14'\nGROUP BY sku" in query
    }
    (row,) = rows(database, whole["sku_quality"])
    assert (row["inspections"], row["truth_defective"], row["escapes"]) == (4, 1, 1)
    pareto = rows(database, whole["defect_pareto"])
    assert [(r["label"], r["defects"], r["rank"], float(r["share"])) for r in pareto] == [
        ("dent", 3, 1, 0.75),
        ("scratch", 1, 2, 0.25),
    ]


def test_percentiles_are_those_of_the_server(database: Database, history: SqlHistory) -> None:
    times = random.Random(7).sample(range(1000), 137)
    history.record(
        [
            Entry(inspected(f"f-{ms}", timings=Timings(ms / 2, ms / 4, ms / 4), minutes=ms / 100))
            for ms in times
        ]
    )
    (query,) = (one for one in QUERIES if "CUME_DIST" in one)
    (row,) = rows(database, query)
    levels = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
    expected = {name: sorted(times)[math.ceil(level * len(times)) - 1] for name, level in levels.items()}
    assert {name: row[name] for name in levels} == expected
    if not database.is_sqlite:
        for name, level in levels.items():
            server = f"PERCENTILE_DISC({level}) WITHIN GROUP (ORDER BY total_ms) AS p FROM inspection_history"
            assert rows(database, f"SELECT {server}") == [{"p": row[name]}]


@pytest.mark.usefixtures("a_shift")
def test_defects_and_events(database: Database) -> None:
    found = rows(database, "SELECT * FROM defects WHERE frame_id = 'c' ORDER BY defect_index")
    assert [(r["defect_index"], r["label"], r["verdict"], r["recipe_version"]) for r in found] == [
        (1, "scratch", "FAIL", 1),
        (2, "dent", "FAIL", 1),
    ]
    box = ("bbox_x", "bbox_y", "bbox_width", "bbox_height", "area_px", "area_fraction")
    assert [found[0][name] for name in box] == [10, 20, 30, 40, 900, 0.0125]
    truths = rows(database, "SELECT frame_id, truth FROM defects WHERE truth IS NOT NULL ORDER BY frame_id")
    assert [(r["frame_id"], r["truth"]) for r in truths] == [
        ("e", "good"),
        ("f", "defective"),
        ("g", "defective"),
    ]
    (event,) = rows(database, "SELECT * FROM events")
    assert (event["kind"], event["severity"], event["agent_id"]) == ("gap", "warning", "cell-7")
    assert moment(event["occurred_at"]) == NOON


def test_views_of_an_empty_history_are_empty(database: Database) -> None:
    assert [rows(database, f"SELECT * FROM {name}") for name in VIEWS] == [[]] * 6  # noqa: S608


HISTORY_COLUMNS = """
    inspection_id site line camera frame_id sent_frame_id part_id sequence sku verdict reason score threshold
    threshold_source calibration_samples calibrated shadow late recipe_id recipe_version method
    prompt_source shots model_digest defects defect_labels truth truth_by truth_note truth_at
    captured_at received_at inspected_at queue_ms decode_ms infer_ms record_ms total_ms width height
    image_path mask_path overlay_path agent_id agent_version
"""
COLUMNS = {
    "inspection_history": HISTORY_COLUMNS,
    "hourly_yield": "hour site line camera sku shadow inspections passed failed review errors skipped yield",
    "sku_quality": "day site line sku recipe_version inspections passed failed review errors skipped"
    " feedback truth_good truth_defective false_alarms escapes false_alarm_rate escape_rate",
    "defect_pareto": "day site line sku label defects inspections rank share cumulative_share",
    "defects": "inspection_id site line camera frame_id part_id sku recipe_version"
    " verdict shadow truth received_at defect_index label score"
    " bbox_x bbox_y bbox_width bbox_height area_px area_fraction"
    " image_width image_height image_path mask_path overlay_path",
    "events": "event_id occurred_at kind severity message camera sku details agent_id agent_version",
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
        assert found != [] or any(name in query for name in NAMED), query
