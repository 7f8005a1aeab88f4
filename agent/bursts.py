"""Bursts: many failed parts within a few frames are one trouble, not many."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

MOST_PAIRS = 4_096


@dataclass(frozen=True, slots=True)
class BurstPolicy:
    """So many failed parts among the last frames of a camera and product are a burst."""

    fails: int = 5
    of: int = 10

    def __post_init__(self) -> None:
        if not 2 <= self.fails <= self.of:
            raise ValueError("a burst is at least 2 fails, of at least as many frames")


@dataclass(frozen=True, slots=True)
class BurstChange:
    """A burst began, or is over."""

    began: bool
    fails: int
    frames: int

    def sentence(self, camera: str, sku: str) -> str:
        """For people."""
        counted = f"{self.fails} of the last {self.frames} frames of {sku} on {camera} failed"
        return f"{counted}; look at the line" if self.began else f"the burst is over: {counted}"


class _Window:
    __slots__ = ("bursting", "failed")

    def __init__(self, of: int) -> None:
        self.failed: deque[bool] = deque(maxlen=of)
        self.bursting = False


class BurstMonitor:
    """Counts fails by camera and product. Not thread-safe.

    A burst is told when it begins and when at most half as many fails are left in the window, so that a
    share around the limit is not told again and again. Pairs beyond MOST_PAIRS: the one that was longest
    without a frame is forgotten.
    """

    def __init__(self, policy: BurstPolicy) -> None:
        self._policy = policy
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()

    def observe(self, camera: str, sku: str, *, failed: bool) -> BurstChange | None:
        """One judged frame; the change that it makes, if any."""
        policy, window = self._policy, self._window(camera, sku)
        window.failed.append(failed)
        fails = sum(window.failed)
        began = not window.bursting and fails >= policy.fails
        ended = window.bursting and fails <= policy.fails // 2
        if not began and not ended:
            return None
        window.bursting = began
        return BurstChange(began, fails, len(window.failed))

    def _window(self, camera: str, sku: str) -> _Window:
        key = (camera, sku)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(self._policy.of)
            if len(self._windows) > MOST_PAIRS:
                self._windows.popitem(last=False)
        self._windows.move_to_end(key)
        return window
