"""``bench_history``: how fast a history of a given size takes frames and answers the documented queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storage.benchmark.documented_queries import Answer, DocumentedQuery, answer, documented_queries
from storage.benchmark.synthetic_history import BLOCK, Insertion, SyntheticHistory
from storage.database import Database
from storage.maintenance import upgrade

_MORE = 6_400
"""Frames that are written into the full history, as many as a hundred batches."""


@dataclass(frozen=True, slots=True)
class HistoryFigures:
    """What was measured."""

    database: str
    """SQLite or PostgreSQL, with its version."""
    rows: int
    into_empty: Insertion
    into_full: Insertion
    answers: tuple[tuple[DocumentedQuery, Answer], ...]


def bench_history(url: str, rows: int, report: Callable[[str], None], *, runs: int = 5) -> HistoryFigures:
    """Fill an empty database and measure. ``report`` takes what is going on.

    Raises StorageError: the database holds a history already, or refused.
    """
    rows = rows if rows <= BLOCK else rows // BLOCK * BLOCK
    upgrade(url)
    with Database(url) as database:
        history = SyntheticHistory(database, rows)
        into_empty = history.fill(lambda done: report(f"{done:,} of {rows:,} rows"))
        answers = []
        for query in documented_queries():
            report(query.title)
            answers.append((query, answer(database, query.sql, runs)))
        report(f"{_MORE:,} frames more")
        into_full = history.record(_MORE)
        return HistoryFigures(database.server, rows, into_empty, into_full, tuple(answers))
