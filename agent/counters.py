"""Counters: nothing that is dropped, refused or repeated goes uncounted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping


class Counters:
    """Named totals since the start; any thread may add."""

    def __init__(self) -> None:
        self._values: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Add ``count`` to ``name``."""
        with self._lock:
            self._values[name] += count

    def get(self, name: str) -> int:
        """The total of ``name``, 0 where nothing was counted."""
        with self._lock:
            return self._values[name]

    def snapshot(self) -> Mapping[str, int]:
        """All totals at this moment."""
        with self._lock:
            return dict(self._values)
