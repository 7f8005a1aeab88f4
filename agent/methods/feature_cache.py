"""``FeatureCache``: features of encoded references; one more reference costs one more pass, not all."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Hashable

import torch

from agent.domain.frame import Image

CACHE_BYTES = 256 * 2**20
"""What one method keeps by default: about 500 references of the embedded profile."""


class FeatureCache:
    """Tensors by what they were computed from, within a limit of bytes.

    If it is full, entries are dropped at random: references are read from first to last, and with more of
    them than fit, the least recently used one would always be the next that is needed.
    """

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit = limit_bytes
        self._entries: dict[Hashable, torch.Tensor] = {}
        self._held = 0
        self._random = random.Random(0)
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """Of all tensors together; at most the limit."""
        return self._held

    def get(self, key: Hashable, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The tensor under ``key``, computed if it is not cached; it must not be written into."""
        with self._lock:
            known = self._entries.get(key)
        if known is not None:
            return known
        computed = compute()  # without the lock: two threads may do the same work, none waits for a model
        size = computed.element_size() * computed.nelement()
        with self._lock:
            if key not in self._entries and size <= self._limit:
                self._make_room(self._limit - size)
                self._entries[key] = computed
                self._held += size
        return computed

    def _make_room(self, most: int) -> None:
        while self._held > most:
            key = self._random.choice(list(self._entries))
            gone = self._entries.pop(key)
            self._held -= gone.element_size() * gone.nelement()


def content_key(image: Image) -> str:
    """sha256 over shape and pixels: the same image is known again, whatever file it came from."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(image.tobytes())
    return digest.hexdigest()
