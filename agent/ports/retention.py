"""Retention: pictures go when their time is over, rows stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one run of the retention did."""

    rows: int = 0
    """Inspections that name no picture any more; none was deleted."""
    files: int = 0
    """Files that were deleted."""
    bytes: int = 0
    """What these files held together."""
    missing: int = 0
    """Files that were due and were gone already."""
    failed: int = 0
    """Files that no row names any more and that the disk did not let go; each is logged."""

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            self.rows + other.rows,
            self.files + other.files,
            self.bytes + other.bytes,
            self.missing + other.missing,
            self.failed + other.failed,
        )


def never() -> bool:
    """For who has no reason to stop early."""
    return False


class Retention(Protocol):
    """Takes away the media of inspections that are older than the keep of their verdict."""

    def prune(
        self,
        now: datetime,
        keep: Mapping[str, timedelta | None],
        chunk: int = 200,
        stop: Callable[[], bool] = never,
    ) -> Pruned:
        """Let go of every picture whose time is over at ``now``.

        Args:
            now: with its zone.
            keep: how long, by verdict (``PASS``, ``FAIL``...), counted from ``received_at``. None, or a
                verdict that is not named: for ever.
            chunk: how many rows at most change in one transaction.
            stop: asked between two transactions; when it says True, what was begun is brought to its end.

        Raises StorageError: the database refused; rows that were changed until then stay changed.
        """
        ...
