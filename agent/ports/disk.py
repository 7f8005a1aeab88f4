"""Disks: the space where media and database lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Disks(Protocol):
    """The file systems of media and database."""

    def spaces(self) -> Sequence[Space]:
        """The file system of the media first, then the database's if it is another. Raises StorageError."""
        ...

    def drop_ballast(self) -> bool:
        """Delete the file that only reserves space beside the media. True if there was one."""
        ...

    def take_ballast(self) -> bool:
        """Create that file if it is missing. True if it is there now; a full disk has none."""
        ...

    @property
    def ballast(self) -> int:
        """Bytes that :meth:`take_ballast` would take now; 0 if the file is there or is not configured."""
        ...


@dataclass(frozen=True, slots=True)
class Space:
    """One file system at this moment."""

    name: str
    """What the agent keeps there: ``media``, ``database``."""
    total: int
    """Bytes."""
    free: int
    """Bytes that the agent may still write."""
