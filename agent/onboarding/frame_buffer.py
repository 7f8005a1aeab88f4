"""The first frames of new products: what a language model is shown and its words are tried on."""

from __future__ import annotations

import threading
from collections import OrderedDict

from agent.domain.frame import Image

MOST_PRODUCTS = 16


class FrameBuffer:
    """Keeps the first frames of products that are being described, within a bound of memory."""

    def __init__(self, each: int, budget_bytes: int = 256 * 2**20) -> None:
        """``each``: how many frames of a product; ``budget_bytes``: for all of them together."""
        self.each = each
        self._budget = budget_bytes
        self._held = 0
        self._frames: OrderedDict[str, list[Image]] = OrderedDict()
        self._changed = threading.Condition()

    def want(self, sku: str) -> None:
        """Keep the next frames of ``sku``. The product that was wanted longest ago makes room."""
        with self._changed:
            self._frames.setdefault(sku, [])
            while len(self._frames) > MOST_PRODUCTS:
                self._release(next(iter(self._frames)))

    def observe(self, sku: str, image: Image) -> None:
        """A frame of ``sku`` came; it is kept if it is wanted and fits. Costs nothing otherwise."""
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
        """The frames of ``sku``, as soon as there are ``count`` of them or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._frames.get(sku, ())) >= count, timeout_s)
            return tuple(self._frames.get(sku, ()))

    def drop(self, sku: str) -> None:
        """They are wanted no longer."""
        with self._changed:
            self._release(sku)
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            for sku in list(self._frames):
                self._release(sku)
            self._changed.notify_all()

    def _release(self, sku: str) -> None:
        frames = self._frames.pop(sku, [])
        self._held -= sum(image.nbytes for image in frames)
