"""Retention: deletes media and events whose time is over; inspections stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one run deleted."""

    rows: int = 0
    """Inspections that no longer name an image. No inspection was deleted."""
    files: int = 0
    """Files that were deleted."""
    bytes: int = 0
    """What these files held together."""
    missing: int = 0
    """Files that were due and already gone."""
    failed: int = 0
    """Files that no row names any more and that could not be deleted. Each is logged."""
    events: int = 0
    """Events that were deleted."""
    messages: int = 0
    """Sent messages that were deleted."""

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            self.rows + other.rows,
            self.files + other.files,
            self.bytes + other.bytes,
            self.missing + other.missing,
            self.failed + other.failed,
            self.events + other.events,
            self.messages + other.messages,
        )

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return any((self.rows, self.files, self.failed, self.events, self.messages))


def never() -> bool:
    """The ``stop`` of a caller that never stops early."""
    return False


class Retention(Protocol):
    """Deletes the media of inspections that are older than their verdict's period.

    Between two transactions it pauses as long as the last one took, so that the recording of frames has the
    database at least half of the time.
    """

    def prune(
        self,
        now: datetime,
        keep: Mapping[str, timedelta | None],
        chunk: int = 200,
        stop: Callable[[], bool] = never,
    ) -> Pruned:
        """Delete every image whose time is over at ``now``.

        Args:
            now: with its zone.
            keep: how long, by verdict (``PASS``, ``FAIL``...), counted from ``received_at``. None, or a
                verdict that is not named: for ever.
            chunk: how many rows at most change in one transaction.
            stop: asked between two transactions. If it returns True, what was begun is completed.

        Raises StorageError: the database refused. Rows that were changed until then stay changed.
        """
        ...

    def prune_rows(
        self,
        now: datetime,
        events: timedelta | None,
        sent: timedelta | None,
        chunk: int = 200,
        stop: Callable[[], bool] = never,
    ) -> Pruned:
        """Delete events and sent messages that are older than their period. None: keep them for ever.

        Inspections, feedback, recipes and messages that still wait are never deleted. Arguments and errors
        are those of :meth:`prune`.
        """
        ...

    def release(
        self,
        order: Sequence[str],
        enough: Callable[[], bool],
        *,
        now: datetime,
        grace: timedelta = timedelta(minutes=1),
        chunk: int = 20,
        stop: Callable[[], bool] = never,
    ) -> Pruned:
        """Delete images before their time, because the disk is full. Rows stay.

        Args:
            order: verdicts. The images of the first are deleted first, the oldest of each before the younger.
                Those of a verdict that is not named stay, and so do references.
            enough: asked between two transactions, and once before anything is deleted.
            now: with its zone.
            grace: a file that was stored within this time stays, unless all rows that will name it are
                known to be written.
            chunk: how many rows at most change in one transaction; fewer if the disk has no room for so many.
            stop: as for :meth:`prune`.

        Raises StorageError: the database refused. Rows that were changed until then stay changed.
        """
        ...

    def newest_before(self, moment: datetime) -> datetime | None:
        """The time of the last frame or event in the history before ``moment``; None without one."""
        ...
