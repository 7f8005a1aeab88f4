"""The judging stage: micro-batches across cameras and SKUs."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

from agent.cabinet import Cabinet
from agent.device import device_lost
from agent.domain.errors import ModelError, RecipeError, StorageError
from agent.inspector import Inspector
from agent.line.ready import ReadyQueue
from agent.line.work import Work
from agent.methods.method import Prepared

POLL_S = 0.2
"""How long a stage waits for work before it looks whether it should end."""


class Batcher:
    """Takes frames into one batch: up to ``max_batch``, waiting at most ``max_wait_ms`` for more."""

    def __init__(self, source: ReadyQueue | queue.Queue[Work], max_batch: int, max_wait_ms: float) -> None:
        self._source = source
        self._max_batch = max_batch
        self._max_wait_s = max_wait_ms / 1000.0

    def take(self, timeout_s: float = POLL_S) -> list[Work]:
        """The next batch, in order; empty where nothing came within ``timeout_s``."""
        try:
            batch = [self._source.get(timeout=timeout_s)]
        except queue.Empty:
            return []
        deadline = time.monotonic() + self._max_wait_s
        while len(batch) < self._max_batch:
            remaining = deadline - time.monotonic()
            try:
                # What already waits is taken even when the time is up: it costs no waiting.
                batch.append(self._source.get(timeout=max(0.0, remaining)))
            except queue.Empty:
                break
        return batch


class Judge:
    """Puts frames and their recipes before the inspector."""

    def __init__(self, cabinet: Cabinet, inspector: Inspector, pause: Callable[[StorageError], bool]) -> None:
        """``pause`` waits where the database does not answer; False means the line is ending."""
        self._cabinet = cabinet
        self._inspector = inspector
        self._pause = pause

    def judge(self, batch: list[Work]) -> bool:
        """Give every work of the batch its judgement; False where the line ended before that."""
        if not self._find_recipes(batch):
            return False
        ready = [work for work in batch if work.judgement is None]
        images = [work.frame.image for work in ready if work.frame is not None]
        prepared = [work.prepared for work in ready if work.prepared is not None]
        for work, judgement in zip(ready, self._inspector.inspect(images, prepared), strict=True):
            work.judgement = judgement
        return True

    def _find_recipes(self, batch: list[Work]) -> bool:
        found: dict[str, Prepared | str] = {}
        for work in batch:
            if work.judgement is not None or work.sku is None:
                continue
            while work.sku not in found:
                try:
                    found[work.sku] = self._cabinet.current(work.sku)
                except (RecipeError, ModelError, RuntimeError, ValueError) as error:  # torch: RuntimeError
                    if device_lost(error):
                        raise  # it is no matter of this recipe
                    found[work.sku] = f"the recipe cannot be used: {error}"
                except StorageError as error:
                    if not self._pause(error):
                        return False
            recipe = found[work.sku]
            if isinstance(recipe, str):
                work.fail(recipe)
            else:
                work.prepared = recipe
        return True
