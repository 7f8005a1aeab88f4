"""Retention: images go when their time is over, rows stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one run of the retention did."""

    rows: int = 0
    """Inspections that name no image any more; none was deleted."""
    files: int = 0
    """Files that were deleted."""
    bytes: int = 0
    """What these files held together."""
    missing: int = 0
    """Files that were due and were gone already."""
    failed: int = 0
    """Files that no row names any more and that the disk did not let go; each is logged."""
    events: int = 0
    """Events that were deleted."""
    messages: int = 0
    """Sent messages that were forgotten."""

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
    """For who has no reason to stop early."""
    return False


class Retention(Protocol):
    """Takes away the media of inspections that are older than the keep of their verdict.

    Between two transactions it rests as long as the last one took, so that whoever records frames has
    the database at least half of the time.
    """

    def prune(
        self,
        now: datetime,
        keep: Mapping[str, timedelta | None],
        chunk: int = 200,
        stop: Callable[[], bool] = never,
    ) -> Pruned:
        """Let go of every image whose time is over at ``now``.

        Args:
            now: with its zone.
            keep: how long, by verdict (``PASS``, ``FAIL``...), counted from ``received_at``. None, or a
                verdict that is not named: for ever.
            chunk: how many rows at most change in one transaction.
            stop: asked between two transactions; when it says True, what was begun is brought to its end.

        Raises StorageError: the database refused; rows that were changed until then stay changed.
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
        """Delete events, and messages that the broker has, that are older than their keep; None: for ever.

        Inspections, feedback, recipes and messages that still wait are never deleted. The arguments, and
        what is raised, are those of :meth:`prune`.
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
        """Let go of images before their time, because the disk is full; rows stay.

        Args:
            order: verdicts; the images of the first go first, the oldest of each before the younger. Those
                of a verdict that is not named stay, and so do references.
            enough: asked between two transactions, and the first time before anything is done.
            now: with its zone.
            grace: a file that was stored within this time stays, unless all rows that will name it are
                known to be written.
            chunk: how many rows at most change in one transaction; fewer where the disk has no room for it.
            stop: as for :meth:`prune`.

        Raises StorageError: the database refused; rows that were changed until then stay changed.
        """
        ...

    def newest_before(self, moment: datetime) -> datetime | None:
        """When the last thing happened, frame or event, that the history has from before ``moment``."""
        ...
