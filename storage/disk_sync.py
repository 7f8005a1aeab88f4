"""``DiskSync``: syncs files and folders to the disk, many at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

_AT_ONCE = 8
"""A sync waits for the disk's own cache. File systems join those that wait together: sixteen files one after
the other take as long as sixteen, eight at a time as long as two."""


class DiskSync:
    """Syncs to the disk; any thread may call."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="disk-sync")  # started when needed
        self._counting = threading.Lock()
        self.count = 0
        """How many files and folders were synced."""

    def all(self, descriptors: Collection[int]) -> None:
        """Return once all are on the disk. Raises OSError if one is not."""
        if len(descriptors) == 1:  # the line is idle: no thread is waited for
            os.fsync(next(iter(descriptors)))
        else:
            done = [self._threads.submit(os.fsync, one) for one in descriptors]
            wait(done)  # also those behind one that failed: the caller closes them all
            for one in done:
                one.result()
        with self._counting:
            self.count += len(descriptors)

    def folders(self, folders: Collection[Path]) -> None:
        """As :meth:`all`, for the names in these folders."""
        if os.name == "nt":  # Windows has no file descriptors of folders
            return
        with ExitStack() as opened:
            descriptors = []
            for folder in folders:
                descriptors.append(os.open(folder, os.O_RDONLY))
                opened.callback(os.close, descriptors[-1])
            self.all(descriptors)
