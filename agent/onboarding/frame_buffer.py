"""FrameBuffer: the first frames of new products, to be described and to try words on."""

from __future__ import annotations

import threading
from collections import OrderedDict

from agent.domain.frame import Image

MOST_PRODUCTS = 16
"""Products whose frames are kept at once."""


class FrameBuffer:
    """Keeps the first frames of products that are being described, within a limit of memory."""

    def __init__(self, each: int, budget_bytes: int = 256 * 2**20) -> None:
        """``each``: how many frames of a product; ``budget_bytes``: for all of them together."""
        self.each = each
        self._budget = budget_bytes
        self._held = 0
        self._frames: OrderedDict[str, list[Image]] = OrderedDict()
        self._changed = threading.Condition()

    def collect(self, sku: str) -> None:
        """Keep the next frames of ``sku``. If there are too many products, the oldest one is dropped."""
        with self._changed:
            self._frames.setdefault(sku, [])
            while len(self._frames) > MOST_PRODUCTS:
                self._release(next(iter(self._frames)))

    def collects(self, sku: str) -> bool:
        """Whether frames of ``sku`` are still wanted. Costs nothing."""
        return len(self._frames.get(sku, ())) < self.each if sku in self._frames else False

    def offer(self, sku: str, image: Image) -> None:
        """Keep a frame of ``sku`` if its product is collected and it fits. Otherwise this costs nothing."""
        if sku not in self._frames:
            return
        with self._changed:
            frames = self._frames.get(sku)
            if frames is None or len(frames) >= self.each or self._held + image.nbytes > self._budget:
                return
            frames.append(image)
            self._held += image.nbytes
            self._changed.notify_all()

    def wait(self, sku: str, count: int, timeout_s: float) -> tuple[Image, ...]:
        """The frames of ``sku``, as soon as there are ``count`` of them or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._frames.get(sku, ())) >= count, timeout_s)
            return tuple(self._frames.get(sku, ()))

    def drop(self, sku: str) -> None:
        """Stop collecting frames of ``sku`` and forget those that were kept."""
        with self._changed:
            self._release(sku)
            self._changed.notify_all()

    def close(self) -> None:
        """Forget all frames. A thread that waits gets none."""
        with self._changed:
            for sku in list(self._frames):
                self._release(sku)
            self._changed.notify_all()

    def _release(self, sku: str) -> None:
        frames = self._frames.pop(sku, [])
        self._held -= sum(image.nbytes for image in frames)
