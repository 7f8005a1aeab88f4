"""``AckWindow``: acknowledgements of one connection, sent in the order of receipt."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class _Slot:
    __slots__ = ("done", "mid")

    def __init__(self, mid: int) -> None:
        self.mid = mid
        self.done = False


class AckWindow:
    """Unacknowledged QoS 1 deliveries of one connection.

    MQTT asks for PUBACKs in the order of receipt (MQTT 5 section 4.6, MQTT-4.6.0-2): an acknowledgement
    is held back until all earlier ones are given. The window closes with its connection: a later
    acknowledgement is stale, as the broker delivers that message again.
    """

    def __init__(self, send: Callable[[int], None], on_stale: Callable[[], None]) -> None:
        self._send = send
        self._on_stale = on_stale
        self._lock = threading.Lock()
        self._slots: deque[_Slot] = deque()
        self._open = True

    def __len__(self) -> int:
        """Number of deliveries received and not yet acknowledged to the broker."""
        return len(self._slots)

    @property
    def closed(self) -> bool:
        """Whether the connection is gone: the broker delivers again what was not acknowledged."""
        return not self._open

    def receive(self, mid: int) -> Callable[[], None]:
        """Record a delivery; the returned acknowledgement is idempotent and callable from any thread."""
        slot = _Slot(mid)
        with self._lock:
            self._slots.append(slot)
        return lambda: self._acknowledge(slot)

    def _acknowledge(self, slot: _Slot) -> None:
        with self._lock:
            if slot.done:
                return
            slot.done = True
            stale = not self._open
            while not stale and self._slots and self._slots[0].done:
                self._send(self._slots.popleft().mid)
        if stale:
            self._on_stale()

    def close(self) -> None:
        """Drop and count acknowledgements from now on: the connection is gone."""
        with self._lock:
            self._open = False
            self._slots.clear()
