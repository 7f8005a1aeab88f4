"""How full a disk is, and when that is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.domain.verdict import Verdict

RELEASE_ORDER = (Verdict.PASS, Verdict.ERROR, Verdict.REVIEW, Verdict.FAIL)
"""Whose pictures go first where there is no room: nobody asks for the parts that passed, everybody for those
that failed."""

_SHARE = 10
"""The reserve is at most the disk by this: a small card would be all reserve otherwise."""
_FLOOR = 16
"""A disk with less than the reserve by this is full, whoever still finds room on it."""

_QUIET_LOOKS = 6


class DiskState(StrEnum):
    """What is told of a disk, each once."""

    OK = "disk-recovered"
    LOW = "disk-low"
    """Less than the reserve is free."""
    FULL = "disk-full"
    """Something could not be written."""


@dataclass(frozen=True, slots=True)
class Space:
    """One file system, as it is now."""

    name: str
    """What the agent keeps there: ``media``, ``database``."""
    total: int
    """Bytes."""
    free: int
    """Bytes that the agent may still write."""


@dataclass(frozen=True, slots=True)
class DiskPolicy:
    """How much is kept free.

    Args:
        reserve: bytes; 0: nothing is done before the disk is full.
    """

    reserve: int = 1_000_000_000

    def reserve_of(self, space: Space) -> int:
        """Bytes below which room is made."""
        return min(self.reserve, space.total // _SHARE)

    def goal_of(self, space: Space) -> int:
        """Bytes up to which room is made; more than the reserve, so that one frame does not undo it."""
        reserve = self.reserve_of(space)
        return reserve + reserve // 4

    def floor_of(self, space: Space) -> int:
        """Bytes below which the disk counts as full."""
        return self.reserve_of(space) // _FLOOR


class DiskMonitor:
    """The state of one disk: it gets worse step by step and better only as a whole, so nothing is told twice.

    A disk that refuses although it has room (it lacks names for files, or there is a quota) is believed well
    only after some quiet looks.
    """

    def __init__(self, policy: DiskPolicy) -> None:
        self._policy = policy
        self._quiet = 0
        self.state = DiskState.OK

    def look(self, space: Space, *, refused: bool = False) -> DiskState | None:
        """The new state where it changed.

        Args:
            space: as it is now.
            refused: whether something could not be written since the last look, for lack of space.
        """
        before = self.state
        has_room = space.free >= self._policy.goal_of(space)
        self._quiet = _QUIET_LOOKS if refused and has_room else max(0, self._quiet - 1)
        if refused or space.free < self._policy.floor_of(space):
            self.state = DiskState.FULL
        elif self.state is DiskState.OK and space.free < self._policy.reserve_of(space):
            self.state = DiskState.LOW
        elif self.state is not DiskState.OK and has_room and not self._quiet:
            self.state = DiskState.OK
        return self.state if self.state is not before else None
