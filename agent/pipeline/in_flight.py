"""InFlight: frames under way; a frame that is delivered twice is judged once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agent.domain.frame import Delivery, FrameIdentity
from agent.ports import History

Acknowledge = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What is kept of a delivery that waits for a row. Its payload may be large and is not needed."""

    acknowledge: Acknowledge
    stale: Callable[[], bool]
    guaranteed: bool


class InFlight:
    """The frames in the pipeline by (camera, frame id), and all deliveries that wait for each one's row."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._waiting: dict[FrameIdentity, list[_Waiting]] = {}
        self._lock = threading.Lock()

    def enter(self, identity: FrameIdentity, delivery: Delivery) -> FrameIdentity | None:
        """Take a frame into the pipeline; None if it already is, or was, there.

        A repeated delivery of a frame under way is acknowledged together with the first. One whose
        row exists is acknowledged at once. If the camera named no id and the message is not a
        redelivery, an equal image is another part: it gets the next id (``id-2``, ``id-3``...).

        Raises:
            StorageError: the history does not answer.
        """
        key = _key(identity)
        # A retained frame comes again with every subscription, whatever the broker's flag is.
        again = delivery.redelivered or delivery.retained
        if again and self._history.knows(key):
            delivery.acknowledge()
            return None
        entry = _Waiting(delivery.acknowledge, delivery.stale, delivery.guaranteed)
        with self._lock:
            # Two stages enter frames, and a third takes them out once their rows are there. One lock for
            # question and entry keeps an id from being given to two parts.
            if identity.content_derived and not again:
                key = self._next_free(key)
            waiting = self._waiting.get(key)
            if waiting is not None:
                # Each lost connection brings the frame once more: keep only what can still be acknowledged.
                waiting[:] = [one for one in waiting if not one.stale()]
                waiting.append(entry)
                return None
            self._waiting[key] = [entry]
        return replace(identity, frame_id=key.frame_id)

    def leave(self, identity: FrameIdentity) -> Sequence[Acknowledge]:
        """Take out a frame that has its row. Returns the acknowledgements that may now be given."""
        with self._lock:
            return [one.acknowledge for one in self._waiting.pop(_key(identity), [])]

    def forget(self, identity: FrameIdentity) -> bool:
        """Take out a frame that gets no row. False, and it stays, if a broker waits for it."""
        key = _key(identity)
        with self._lock:
            if any(one.guaranteed for one in self._waiting.get(key, ())):
                return False
            self._waiting.pop(key, None)
            return True

    def __len__(self) -> int:
        # Without the lock: callers must not wait for the database, which is asked under it.
        return len(self._waiting)

    def _next_free(self, key: FrameIdentity) -> FrameIdentity:
        count = self._history.occurrences(key)
        while True:
            count += 1
            candidate = key if count == 1 else replace(key, frame_id=f"{key.frame_id}-{count}")
            # A later part's row may be there before an earlier one's: counting alone is not enough.
            if candidate not in self._waiting and not self._history.knows(candidate):
                return candidate


def _key(identity: FrameIdentity) -> FrameIdentity:
    """Only what makes a frame unique."""
    return FrameIdentity(camera=identity.camera, frame_id=identity.frame_id)
