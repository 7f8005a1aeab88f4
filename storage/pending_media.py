"""Which files a row is known to name, of those that were stored lately."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

_MOST = 4096
"""Of a file that is forgotten nothing is known; it is spared as a fresh one."""


@dataclass(slots=True)
class _Stored:
    modified: int | None = None
    """The time that this process gave the file, in nanoseconds of the epoch."""
    foreign: bool = False
    """Another process may be about to name it, too."""
    mark: int = 0
    """Of the last time that this process began to store it."""
    owners: set[int] = field(default_factory=set)
    """Threads that stored it and have not reported yet that their row is written."""


class PendingMedia:
    """Distinguishes files whose rows are written from fresh ones whose rows may be yet to come.

    Whoever stores a file writes the row afterwards, on the same thread, and then reports it. Until all have,
    and for ever where another process was seen at the file, it is not settled.
    """

    def __init__(self) -> None:
        self._files: OrderedDict[str, _Stored] = OrderedDict()
        self._begun = 0
        self._lock = threading.Lock()

    def begin(self, path: str, found: int | None) -> None:
        """This thread is about to store ``path`` and to name it.

        Args:
            path: of the media folder.
            found: the time of the file that is there, in nanoseconds, where it was stored not long ago.
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
        """The file is there, and has that time."""
        with self._lock:
            if path in self._files:
                self._files[path].modified = modified

    def settle(self, paths: Iterable[str]) -> None:
        """The rows are written for which this thread stored these files."""
        with self._lock:
            for path in paths:
                if path in self._files:
                    self._files[path].owners.discard(threading.get_ident())

    def mark(self, path: str, modified: int) -> int | None:
        """A number that is another one whenever the file is stored again.

        None where rows may be yet to come, or where the file does not have the time that it was given here.
        """
        with self._lock:
            one = self._files.get(path)
            if one is None or one.owners or one.foreign or one.modified != modified:
                return None
            return one.mark
