"""The three figures: rows against frames, duplicates, verdicts delivered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from storage import Database
from tests.chaos.customer import Customer
from tests.chaos.result import Result


@dataclass(frozen=True)
class Rows:
    """The history as it stands."""

    inspections: Mapping[str, str]
    """Frame id -> inspection id."""
    count: int
    verdicts: Mapping[str, int]
    reasons: Mapping[str, int]
    """Of ERROR rows: how often each reason was given."""
    events: Mapping[str, int]
    skipped: Collection[str]
    unsent: int
    """Messages still in the outbox."""
    sent_verdicts: Collection[str]
    """Inspection ids whose verdict the broker acknowledged."""

    @property
    def duplicates(self) -> int:
        """Rows beyond the first of a frame, and rows that share an inspection id."""
        return 2 * self.count - len(self.inspections) - len(set(self.inspections.values()))


def read_rows(url: str) -> Rows:
    """Read it all in one snapshot."""
    with Database(url) as database, database.read() as connection:

        def ask(sql: str) -> list[Any]:
            return list(connection.exec_driver_sql(sql))

        found = ask("SELECT frame_id, inspection_id, verdict, reason FROM inspection")
        events = ask("SELECT kind, count(*) FROM event GROUP BY kind")
        unsent = ask("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
        sent = ask("SELECT inspection_id FROM outbox WHERE kind = 'verdict' AND sent_at IS NOT NULL")
    return Rows(
        inspections={row[0]: row[1] for row in found},
        count=len(found),
        verdicts=Counter(row[2] for row in found),
        reasons=Counter(row[3] for row in found if row[2] == "ERROR"),
        events={row[0]: row[1] for row in events},
        skipped={row[0] for row in found if row[2] == "SKIPPED"},
        unsent=unsent[0][0],
        sent_verdicts={row[0] for row in sent},
    )


def count_rows(url: str) -> int:
    """Rows of frames, so far."""
    with Database(url) as database, database.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM inspection").scalar_one())


def judge(
    result: Result,
    url: str,
    published: Collection[str],
    customer: Customer,
    *,
    lost_by_broker: Collection[str] = (),
) -> Rows:
    """The figures that every campaign has.

    Args:
        published: the frames that the broker took, by frame id.
        lost_by_broker: frames whose verdict the broker acknowledged to the agent and then, killed, forgot.
    """
    rows = read_rows(url)
    frames = set(published)
    delivered = {frame: set(ids) for frame, ids in customer.verdicts.items()}
    expected = {frame: row for frame, row in rows.inspections.items() if frame not in rows.skipped}
    lost = frames - set(rows.inspections)
    undelivered = set(expected) - set(delivered) - set(lost_by_broker)
    unequal = [frame for frame, ids in delivered.items() if ids != {rows.inspections.get(frame)}]
    result.figures |= {
        "frames": len(frames),
        "rows": rows.count,
        "duplicates": rows.duplicates,
        "frames without a row": len(lost),
        "rows without a frame": len(set(rows.inspections) - frames),
        "verdicts not delivered": len(undelivered),
        "verdicts delivered again": customer.repeated,
        "ids that differ between row and message": len(unequal),
        "verdicts": dict(rows.verdicts),
        "events": dict(rows.events),
        "messages left in the outbox": rows.unsent,
    }
    result.check("one row for every frame", rows.count == len(frames) and not lost)
    result.check("no duplicates", rows.duplicates == 0)
    result.check("every verdict delivered at least once", not undelivered)
    result.check("one inspection id for a frame, the same in row and message", not unequal)
    result.check("every message readable", customer.unreadable == 0)
    result.check("the outbox is empty", rows.unsent == 0)
    result.check("the customer's session was never lost", customer.sessions_lost == 0)
    return rows
