"""AwaitingRecipes: frames whose recipe is being prepared, out of the way of all others."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from agent.domain.camera_rules import CameraRulebook, Overload
from agent.domain.frame import Camera
from agent.pipeline.ingress_queue import Bounds
from agent.pipeline.superseded import SupersededFrames
from agent.pipeline.work_item import WorkItem
from agent.recipes.cache import Key, RecipeCache


class AwaitingRecipes:
    """Bounded by count and bytes, in order. If only a camera's newest frame counts, at most one of its frames
    waits here.

    Once it is full, the inspect stage takes no further frame until a recipe is ready: the back-pressure then
    reaches the broker as from any other queue.
    """

    def __init__(
        self,
        recipes: RecipeCache,
        rules: CameraRulebook,
        superseded: SupersededFrames,
        bounds: Bounds | None = None,
    ) -> None:
        """``superseded``: takes frames that a newer one of their camera replaced."""
        self._recipes = recipes
        self._rules = rules
        self._superseded = superseded
        self._bounds = bounds or Bounds()
        self._waiting: list[tuple[Key, WorkItem]] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._waiting)

    @property
    def bytes_held(self) -> int:
        """Bytes of the waiting images."""
        with self._lock:
            return sum(work.size for _, work in self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self) >= self._bounds.awaiting or self.bytes_held >= self._bounds.queue_bytes

    def holds(self, key: Key) -> bool:
        """Whether frames wait for this recipe: later ones then wait behind them."""
        with self._lock:
            return any(known == key for known, _ in self._waiting)

    def add(self, key: Key, work: WorkItem) -> None:
        """Let a frame wait for its recipe; a repeated call changes nothing."""
        with self._lock:
            if not any(known is work for _, known in self._waiting):
                work.awaited = True
                self._waiting.append((key, work))

    def supersede(self, camera: Camera) -> None:
        """A newer frame of the camera was taken: if only the newest counts, those that wait are skipped."""
        if self._rules.of(camera).overload is not Overload.LATEST:
            return
        with self._lock:
            replaced = [one for one in self._waiting if one[1].identity.camera == camera]
            self._waiting = [one for one in self._waiting if one[1].identity.camera != camera]
        for _, work in replaced:
            self._superseded.add_work(work)

    def take(self, most: int) -> Sequence[WorkItem]:
        """Up to ``most`` frames, oldest first, whose recipe is not under way any more: ready or refused."""
        with self._lock:
            pending = {key: self._recipes.is_pending(key) for key, _ in self._waiting}
            taken = [one for one in self._waiting if not pending[one[0]]][:most]
            self._waiting = [one for one in self._waiting if one not in taken]
        return [work for _, work in taken]
