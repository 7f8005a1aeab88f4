"""Truth and counts that the database keeps itself are those that its rows have."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update

from agent.domain.frame import Camera
from agent.domain.inspection import Feedback, RecipeStamp
from agent.domain.verdict import Verdict
from agent.ports import Entry
from storage import Database, SqlHistory, check, schema, upgrade
from storage.triggers import TRIGGERS
from tests.storage.examples import NOON, identity, inspected, message

CAMERAS = [Camera("factory", f"line-{number}", "cam-a") for number in (1, 2)]
RECIPES = [None, *(RecipeStamp(None, version, "fade", "template", 0) for version in (1, 2))]
INSPECTION = schema.inspection.c


def drawn(draw: random.Random, number: int) -> Entry:
    return Entry(
        inspected(
            f"f-{number}",
            draw.choice(list(Verdict)),
            camera=draw.choice(CAMERAS),
            sku=draw.choice([None, "", "bolt", "nut"]),
            minutes=draw.uniform(-90.0, 90.0),
            recipe=draw.choice(RECIPES),
            shadow=draw.random() < 0.3,
        ),
        (message(),),
    )


def feedback(draw: random.Random, inspection_id: str) -> Feedback:
    at = NOON + timedelta(minutes=draw.randrange(5))  # often at the same time: then the later row counts
    return Feedback(draw.choice(["good", "defective"]), at, inspection_id=inspection_id)


def kept(database: Database) -> Counter[tuple[Any, ...]]:
    """The counts that the database keeps."""
    table = schema.hourly_count
    with database.read() as connection:
        return Counter(
            {
                (str(row.hour)[:13], *row[2:8], name): getattr(row, name)
                for row in connection.execute(select(table).where(table.c.inspections > 0))
                for name in schema.COUNTED
            }
        )


def counted(database: Database) -> Counter[tuple[Any, ...]]:
    """The same, from the rows."""
    counts: Counter[tuple[Any, ...]] = Counter()
    with database.read() as connection:
        for row in connection.execute(select(schema.inspection)):
            truth = latest(connection, row.inspection_id)
            assert row.truth == truth
            fits = {
                "inspections": True,
                "passed": row.verdict == "PASS",
                "failed": row.verdict == "FAIL",
                "review": row.verdict == "REVIEW",
                "errors": row.verdict == "ERROR",
                "skipped": row.verdict == "SKIPPED",
                "truth_good": truth == "good",
                "truth_defective": truth == "defective",
                "false_alarms": truth == "good" and row.verdict == "FAIL",
                "escapes": truth == "defective" and row.verdict == "PASS",
            }
            group = (row.site, row.line, row.camera, row.shadow, row.sku, row.recipe_version)
            for name, does in fits.items():
                counts[(str(row.received_at)[:13], *group, name)] += does
    return counts


def latest(connection: Any, inspection_id: str) -> str | None:
    table = schema.feedback
    given = connection.execute(select(table).where(table.c.inspection_id == inspection_id)).all()
    return max(given, key=lambda row: (row.given_at, row.id)).truth if given else None


@pytest.mark.parametrize("seed", [1, 2])
def test_truth_and_counts_follow_every_change(database: Database, history: SqlHistory, seed: int) -> None:
    draw = random.Random(seed)
    numbers = [draw.randrange(120) for _ in range(150)]  # some frames come again
    for first in range(0, len(numbers), 15):
        history.record([drawn(draw, number) for number in numbers[first : first + 15]])
    with database.read() as connection:
        ids = connection.execute(select(INSPECTION.inspection_id)).scalars().all()
    for inspection_id in draw.choices(ids, k=60):
        assert history.record_feedback(feedback(draw, inspection_id))
    assert kept(database) == counted(database)
    assert sum(count for key, count in kept(database).items() if key[-1] == "inspections") == len(ids)

    by_hand = [
        delete(schema.inspection).where(INSPECTION.inspection_id.in_(ids[:20])),
        delete(schema.feedback).where(schema.feedback.c.id % 3 == 0),
        update(schema.feedback).where(schema.feedback.c.id % 3 == 1).values(truth="good"),
        update(schema.feedback).where(schema.feedback.c.id % 5 == 1).values(inspection_id=ids[30]),
        update(schema.inspection).where(INSPECTION.inspection_id.in_(ids[40:50])).values(verdict="FAIL"),
        update(schema.inspection).where(INSPECTION.inspection_id.in_(ids[60:70])).values(sku=None),
        update(schema.inspection).values(image_path="aa/bb/c.png"),
        delete(schema.feedback),
        delete(schema.inspection),
    ]
    for statement in by_hand:
        with database.write() as connection:
            connection.execute(statement)
        assert kept(database) == counted(database), statement
    assert not kept(database)


@pytest.mark.parametrize("trigger", list(TRIGGERS)[::3])
def test_a_check_names_a_trigger_that_is_gone(empty_url: str, trigger: str) -> None:
    upgrade(empty_url)
    with Database(empty_url) as database, database.write() as connection:
        on = "" if database.is_sqlite else f" ON {TRIGGERS[trigger]}"
        connection.execute(text(f"DROP TRIGGER {trigger}{on}"))
    (problem,) = check(empty_url)
    assert problem == f"the schema lacks the trigger {trigger}; restore a backup"


def test_a_product_without_a_name_is_not_the_one_named_nothing(
    database: Database, history: SqlHistory
) -> None:
    history.record([Entry(inspected("a", sku=None)), Entry(inspected("b", sku=""))])
    with database.read() as connection:
        found = connection.execute(text("SELECT sku, inspections FROM hourly_yield")).all()
    assert sorted(map(str, found)) == ["('', 1)", "(None, 1)"]


def test_agents_that_write_the_same_frames_and_people_that_answer_do_not_deadlock(
    database: Database, history: SqlHistory
) -> None:
    """A deadlock would end one of them with a StorageError."""
    draw = random.Random(3)
    entries = [drawn(draw, number) for number in range(160)]
    history.record(entries[:40])
    known = [entry.inspection.inspection_id for entry in entries[:40]]
    history.record(
        [
            Entry(inspected("p", camera=camera, identity=identity("p", camera, part_id="p")))
            for camera in CAMERAS
        ]
    )

    def agent(seed: int) -> int:
        own = SqlHistory(database, agent_id=f"agent-{seed}", agent_version="1")
        order = entries[40:]
        random.Random(seed).shuffle(order)
        return sum(sum(own.record(order[first : first + 12])) for first in range(0, len(order), 12))

    def person(seed: int) -> int:
        own = random.Random(seed)
        for _ in range(12):
            history.record_feedback(feedback(own, own.choice(known)))
            history.record_part_feedback(Feedback("good", NOON, part_id="p"))
        return 0

    with ThreadPoolExecutor(4) as pool:
        running = [
            pool.submit(agent, 1),
            pool.submit(agent, 2),
            pool.submit(person, 3),
            pool.submit(person, 4),
        ]
        written = sum(one.result() for one in running)
    assert written == 120
    assert kept(database) == counted(database)
