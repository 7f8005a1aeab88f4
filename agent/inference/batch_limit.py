"""``BatchLimit``: how many frames fit in memory at once; and which errors mean memory or a lost device."""

from __future__ import annotations

import gc
import threading

import torch

AGAIN_AFTER = 64
"""Batches that have to succeed before a larger one is tried again."""

_SHORT = ("out of memory", "can't allocate memory", "alloc_failed", "not enough memory")
_LOST = (
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "unspecified launch failure",
    "uncorrectable ecc",
    "no cuda-capable device",
    "device has been lost",
    "gpu is lost",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether the memory of the device, or of the machine, was not enough.

    torch has a type of its own for CUDA's allocator; cuBLAS, cuDNN and the CPU's allocator have only text.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(mark in text for mark in _SHORT)


def device_lost(error: BaseException) -> bool:
    """Whether nothing can be computed on the device any more until the process is started again.

    CUDA keeps such an error: every later call fails with it, whatever the frame.
    """
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(mark in text for mark in _LOST)


def release() -> None:
    """Give back what no tensor uses any more. A traceback that is still held keeps its tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class BatchLimit:
    """How many frames the memory takes at once, found by trying. Thread-safe.

    Halved if memory ran out, doubled again after ``again_after`` batches that succeeded: another process
    may have used the device for a while.
    """

    def __init__(self, again_after: int = AGAIN_AFTER) -> None:
        self._again_after = again_after
        self._lock = threading.Lock()
        self._most: int | None = None
        self._well = 0

    @property
    def most(self) -> int | None:
        """Frames that are tried at once; None: no limit is known."""
        with self._lock:
            return self._most

    def within(self, wanted: int) -> int:
        """Of ``wanted`` frames, how many to try at once."""
        with self._lock:
            return wanted if self._most is None else min(wanted, self._most)

    def refused(self, count: int) -> None:
        """``count`` frames, more than one, were too many."""
        with self._lock:
            self._most = max(1, count // 2)
            self._well = 0

    def passed(self, count: int) -> None:
        """``count`` frames succeeded; only a batch as large as the limit counts for a larger one."""
        with self._lock:
            if self._most is None or count < self._most:
                return
            self._well += 1
            if self._well >= self._again_after:
                self._most, self._well = self._most * 2, 0

    def restore(self, most: int | None) -> None:
        """Back to an earlier limit: a single frame was too large by itself, so others may still fit."""
        with self._lock:
            self._most, self._well = most, 0
