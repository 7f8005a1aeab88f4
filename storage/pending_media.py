"""``PendingMedia``: which of the recently stored files are already named by their rows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

_MOST = 4096
"""How many files are remembered. One that is forgotten is spared like a fresh one."""


@dataclass(slots=True)
class _Stored:
    modified: int | None = None
    """The time that this process gave the file, in nanoseconds of the epoch."""
    foreign: bool = False
    """Whether another process may be about to name it too."""
    mark: int = 0
    """The number of the last time that this process began to store it."""
    owners: set[int] = field(default_factory=set)
    """Threads that stored it and have not reported yet that their row is written."""


class PendingMedia:
    """Distinguishes files whose rows are written from fresh ones whose rows may still come.

    A thread stores a file, then writes its row, then reports that. Until all threads have reported, the file
    is pending. If another process was seen at the file, it stays pending.
    """

    def __init__(self) -> None:
        self._files: OrderedDict[str, _Stored] = OrderedDict()
        self._begun = 0
        self._lock = threading.Lock()

    def begin(self, path: str, found: int | None) -> None:
        """Report that this thread is about to store ``path`` and to name it.

        Args:
            path: of the media folder.
            found: the time of the existing file, in nanoseconds, if it was stored recently.
        """
        with self._lock:
            one = self._files.setdefault(path, _Stored())
            self._files.move_to_end(path)
            one.foreign = one.foreign or (found is not None and found != one.modified)
            one.owners.add(threading.get_ident())
            self._begun += 1
            one.mark = self._begun
            while len(self._files) > _MOST:
                self._files.popitem(last=False)

    def stored(self, path: str, modified: int) -> None:
        """Report that the file exists, with that time."""
        with self._lock:
            if path in self._files:
                self._files[path].modified = modified

    def settle(self, paths: Iterable[str]) -> None:
        """Report that the rows are written for which this thread stored these files."""
        with self._lock:
            for path in paths:
                if path in self._files:
                    self._files[path].owners.discard(threading.get_ident())

    def mark(self, path: str, modified: int) -> int | None:
        """A number that changes whenever the file is stored again.

        None if rows may still come, or if the file does not have the time that this process gave it.
        """
        with self._lock:
            one = self._files.get(path)
            if one is None or one.owners or one.foreign or one.modified != modified:
                return None
            return one.mark
