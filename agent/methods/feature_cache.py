"""``FeatureCache``: features of encoded references; one more reference costs one more pass, not all."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import product

import torch

from agent.domain.frame import Image
from agent.methods.variants import brightened, rotated

CACHE_BYTES = 256 * 2**20
"""What one method keeps by default: about 500 references of the embedded profile."""

Tensors = tuple[torch.Tensor, ...]

_scoring_references: ContextVar[bool] = ContextVar("scoring_references", default=False)


@contextmanager
def scoring_references() -> Iterator[None]:
    """In this thread, images that are scored are references: their features are kept and used again.

    Of frames they are not: each comes once, and to know it again would take a digest of its pixels.
    """
    token = _scoring_references.set(True)
    try:
        yield
    finally:
        _scoring_references.reset(token)


def are_references() -> bool:
    """Whether images are scored inside of :func:`scoring_references`."""
    return _scoring_references.get()


class FeatureCache:
    """Tensors by what they were computed from, within a limit of bytes.

    If it is full, entries are dropped at random: references are read from first to last, and with more of
    them than fit, the least recently used one would always be the next that is needed.
    """

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit = limit_bytes
        self._entries: dict[Hashable, Tensors] = {}
        self._held = 0
        self._random = random.Random(0)
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """Of all tensors together; at most the limit."""
        return self._held

    def get(self, key: Hashable, compute: Callable[[], Tensors]) -> Tensors:
        """The tensors under ``key``, computed if they are not cached; they must not be written into."""
        with self._lock:
            known = self._entries.get(key)
        if known is not None:
            return known
        computed = compute()  # without the lock: two threads may do the same work, none waits for a model
        size = _bytes(computed)
        with self._lock:
            if key not in self._entries and size <= self._limit:
                self._make_room(self._limit - size)
                self._entries[key] = computed
                self._held += size
        return computed

    def of_variants(
        self,
        image: Image,
        how: Hashable,
        angles: Sequence[float],
        brightness: Sequence[float],
        encode: Callable[[Image], torch.Tensor],
    ) -> torch.Tensor:
        """What ``encode`` gives of a reference in every angle under every brightness, concatenated.

        One image at a time: enrollment runs beside inspection and must not hold the device for long.

        Args:
            how: all that the features depend on beside the image.
        """
        name = content_key(image)

        def one(angle: float, factor: float) -> torch.Tensor:
            def compute() -> Tensors:
                return (encode(brightened(rotated(image, angle), factor)),)

            return self.get((name, how, angle, factor), compute)[0]

        return torch.cat([one(angle, factor) for angle, factor in product(angles, brightness)])

    def _make_room(self, most: int) -> None:
        while self._held > most:
            key = self._random.choice(list(self._entries))
            self._held -= _bytes(self._entries.pop(key))


def _bytes(tensors: Tensors) -> int:
    return sum(one.element_size() * one.nelement() for one in tensors)


def content_key(image: Image) -> str:
    """sha256 over shape and pixels: the same image is known again, whatever file it came from."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(image.tobytes())
    return digest.hexdigest()
