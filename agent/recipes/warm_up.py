"""WarmUp: at the start, recipes of the products that were made last are prepared before frames need them."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from agent.domain.errors import StorageError
from agent.domain.frame import Camera
from agent.ports import Samples
from agent.recipes.cache import RecipeCache

logger = logging.getLogger(__name__)

LAST_SHIFT = timedelta(hours=12)
"""Products are prepared that were inspected within so long before the last inspection."""
REPORT_EVERY_S = 2.0
_LOOK_S = 0.2


class WarmUp:
    """Prepares recipes one by one, in a thread of its own; those that a frame needs come in between.

    The agent takes frames meanwhile. It is ready once this is over, whatever came of it.
    """

    def __init__(self, recipes: RecipeCache, samples: Samples) -> None:
        self._recipes = recipes
        self._samples = samples
        self._closing = threading.Event()
        self._progress = "looking for the products of the last shift"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warm-up", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Begin no further recipe."""
        self._closing.set()

    @property
    def left(self) -> str | None:
        """How far it is, in words; None once it is over."""
        return None if self._done.is_set() else self._progress

    def _run(self) -> None:
        try:
            self._prepare(self._samples.recent_products(LAST_SHIFT, self._recipes.capacity))
        except StorageError as error:
            logger.warning("recipes are prepared with their first frames: %s", error)
        finally:
            self._done.set()

    def _prepare(self, products: Sequence[tuple[str, Camera]]) -> None:
        """Raises StorageError."""
        started = reported = time.monotonic()
        for done, (sku, camera) in enumerate(products):
            left_s = (time.monotonic() - started) / max(1, done) * (len(products) - done)
            about = f", about {left_s:.0f} s to go" if done else ""
            self._progress = f"recipes of the last shift: {done} of {len(products)} are prepared{about}"
            if time.monotonic() - reported >= REPORT_EVERY_S:
                logger.info("%s", self._progress)
                reported = time.monotonic()
            if not self._wait(self._recipes.expect(sku, camera)):
                return
        if products:
            took = time.monotonic() - started
            logger.info("recipes of the last shift: all %d are prepared, after %.1f s", len(products), took)

    def _wait(self, attempt: concurrent.futures.Future[None] | None) -> bool:
        """Wait for an attempt, whatever comes of it; False if the agent ends."""
        while attempt is not None and not self._closing.is_set():
            done, _ = concurrent.futures.wait([attempt], _LOOK_S)
            if done:
                break
        return not self._closing.is_set()
