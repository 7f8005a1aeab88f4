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


@dataclass(slots=True)
class _UnderWay:
    """A frame in the pipeline, and all deliveries of it."""

    content: str | None
    deliveries: list[_Waiting]

    def shows(self, content: str | None) -> bool:
        """Whether it is the image of that content, as far as both are known."""
        return content is None or self.content is None or self.content == content


class InFlight:
    """The frames in the pipeline by (camera, frame id), and all deliveries that wait for each one's row."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._frames: dict[FrameIdentity, _UnderWay] = {}
        self._lock = threading.Lock()

    def enter(self, identity: FrameIdentity, delivery: Delivery) -> FrameIdentity | None:
        """Take a frame into the pipeline; None if it already is, or was, there.

        A repeated delivery of a frame under way is acknowledged together with the first. One whose
        row exists is acknowledged at once. Two rules find parts that share an id:

        - Another image under an id that is under way gets an id of its own, see
          :meth:`FrameIdentity.with_own_id`. The recorder does the same if a row has the id.
        - If the camera named no id and the message is not a redelivery, an equal image is another part.
          It gets the next id (``id-2``, ``id-3``...).

        Raises:
            StorageError: the history does not answer.
        """
        # A retained frame comes again with every subscription, whatever the broker's flag is.
        again = delivery.redelivered or delivery.retained
        if again and self._history.knows(identity):
            delivery.acknowledge()
            return None
        entry = _Waiting(delivery.acknowledge, delivery.stale, delivery.guaranteed)
        with self._lock:
            # Two stages enter frames, and a third takes them out once their rows are there. One lock for
            # question and entry keeps an id from being given to two parts.
            if identity.content_derived:
                identity = identity if again else self._next_free(identity)
            elif not self._shows(identity):
                identity = identity.with_own_id()
            frame = self._frames.get(_key(identity))
            if frame is not None:
                # Each lost connection brings the frame once more: keep only what can still be acknowledged.
                frame.deliveries[:] = [one for one in frame.deliveries if not one.stale()]
                frame.deliveries.append(entry)
                return None
            self._frames[_key(identity)] = _UnderWay(identity.content, [entry])
        return identity

    def leave(self, identity: FrameIdentity) -> Sequence[Acknowledge]:
        """Take out a frame that has its row. Returns the acknowledgements that may now be given."""
        with self._lock:
            frame = self._frames.pop(_key(identity), None)
        return [] if frame is None else [one.acknowledge for one in frame.deliveries]

    def forget(self, identity: FrameIdentity) -> bool:
        """Take out a frame that gets no row. False, and it stays, if a broker waits for it."""
        key = _key(identity)
        with self._lock:
            frame = self._frames.get(key)
            if frame is not None and any(one.guaranteed for one in frame.deliveries):
                return False
            self._frames.pop(key, None)
            return True

    def __len__(self) -> int:
        # Without the lock: callers must not wait for the database, which is asked under it.
        return len(self._frames)

    def _shows(self, identity: FrameIdentity) -> bool:
        """Whether no other image is under way with this id."""
        frame = self._frames.get(_key(identity))
        return frame is None or frame.shows(identity.content)

    def _next_free(self, identity: FrameIdentity) -> FrameIdentity:
        key = _key(identity)
        count = self._history.occurrences(key)
        while True:
            count += 1
            candidate = key if count == 1 else replace(key, frame_id=f"{key.frame_id}-{count}")
            # A later part's row may be there before an earlier one's: counting alone is not enough.
            if candidate not in self._frames and not self._history.knows(candidate):
                return replace(identity, frame_id=candidate.frame_id)


def _key(identity: FrameIdentity) -> FrameIdentity:
    """Only what makes a frame unique."""
    return FrameIdentity(camera=identity.camera, frame_id=identity.frame_id)
