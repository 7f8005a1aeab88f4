"""The disks that the agent writes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Disks(Protocol):
    """Where media and database lie."""

    def spaces(self) -> Sequence[Space]:
        """The file system of the media first; the database's where it is another. Raises StorageError."""
        ...

    def drop_ballast(self) -> bool:
        """Give up the file that only takes space beside the media; whether there was one."""
        ...

    def take_ballast(self) -> bool:
        """Make that file where it is not there; whether it is. A disk without room for it has none."""
        ...

    @property
    def ballast(self) -> int:
        """Bytes that :meth:`take_ballast` would take now; 0 where the file is there or none is wanted."""
        ...


@dataclass(frozen=True, slots=True)
class Space:
    """One file system, as it is now."""

    name: str
    """What the agent keeps there: ``media``, ``database``."""
    total: int
    """Bytes."""
    free: int
    """Bytes that the agent may still write."""
