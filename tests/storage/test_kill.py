"""kill -9 at any instant: whatever ``record`` returned for is in the database, whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from storage import Database, check

_ROOT = Path(__file__).parents[2]
_WRITER = """
import sys
from agent.ports import Entry
from storage import Database, SqlHistory
from tests.storage.examples import defect, inspected, message
history = SqlHistory(Database(sys.argv[1]), agent_id="a", agent_version="1")
number = 0
while True:
    batch = [f"f-{number + offset}" for offset in range(3)]
    history.record([Entry(inspected(name, defects=(defect(),)), (message(),)) for name in batch])
    for name in batch:
        print(name, flush=True)
    number += 3
"""


@pytest.mark.parametrize("count", [1, 40])
def test_what_was_recorded_outlives_the_process(database_url: str, count: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, database_url], stdout=subprocess.PIPE, text=True, cwd=_ROOT
    ) as process:
        assert process.stdout is not None
        returned = [process.stdout.readline().strip() for _ in range(count)]
        process.send_signal(signal.SIGKILL)
        returned += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert process.returncode == -signal.SIGKILL

    with Database(database_url) as database, database.read() as connection:
        recorded = connection.execute(text("SELECT frame_id FROM inspection")).scalars().all()
        counts = [
            connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one()  # noqa: S608
            for table in ("defect", "outbox")
        ]
    assert set(returned) <= set(recorded)
    assert len(recorded) % 3 == 0, "a batch is whole or not there"
    assert counts == [len(recorded)] * 2
    assert check(database_url) == []
