"""History and Outbox: inspections, events and the messages that wait to go out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.domain.events import Event
from agent.domain.frame import Camera, FrameIdentity
from agent.domain.inspection import Feedback, Inspection
from agent.ports.sinks import OutboxMessage


@dataclass(frozen=True, slots=True)
class Entry:
    """What one frame adds to the history."""

    inspection: Inspection
    messages: tuple[OutboxMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """An outbox row that was not yet acknowledged by its receiver."""

    id: int
    message: OutboxMessage


class History(Protocol):
    """The inspection history."""

    def record(self, entries: Sequence[Entry]) -> Sequence[bool]:
        """Store inspections, their defects and outbox messages in one transaction.

        True for each entry that was new. False if the frame already had its row: then nothing of that entry
        is written.

        Raises:
            FrameIdUsedError: rows of other images have the frame ids of some entries.
            StorageError: the database refused. In both cases nothing is written at all.
        """
        ...

    def knows(self, identity: FrameIdentity) -> bool:
        """Whether this frame has its row, under its id or, if another image has that, under its own.

        If the content of frame or row is not known, the id alone counts: it is asked for deliveries that may
        be repeated.
        """
        ...

    def occurrences(self, identity: FrameIdentity) -> int:
        """How many rows have this frame id or one derived from it (``id``, ``id-2``, ``id-3``...)."""
        ...

    def recent_sequences(self, camera: Camera, limit: int) -> Sequence[int]:
        """Running numbers of the newest rows of a camera, at most ``limit``, the oldest first.

        Of those that were there when its last gap was reported, only the newest. Raises StorageError.
        """
        ...

    def record_event(self, event: Event, messages: Sequence[OutboxMessage] = ()) -> None:
        """An event and the messages about it, in one transaction. Raises StorageError."""
        ...

    def record_feedback(self, feedback: Feedback) -> bool:
        """False if it matches no inspection, or several: then nothing is written."""
        ...

    def feedback_matches(self, feedback: Feedback) -> int:
        """How many inspections the feedback matches."""
        ...

    def record_part_feedback(self, feedback: Feedback) -> int:
        """Feedback on a part: on each of its inspections. Returns on how many; 0 if none matches.

        If a part id was used again, the latest part is meant.
        """
        ...


class Outbox(Protocol):
    """Messages written with the history and not yet acknowledged by their receivers."""

    def pending(
        self, limit: int, excluding: Collection[int] = (), *, sink: str | None = None
    ) -> Sequence[StoredMessage]:
        """The oldest first, without those whose ids are given: they were handed over already.

        By id and not "after the last one": on PostgreSQL a smaller number may be committed after a larger.

        Args:
            limit: at most so many.
            excluding: ids to leave out.
            sink: messages of this sink alone; None: of all.
        """
        ...

    def mark_sent(self, ids: Sequence[int]) -> None: ...

    def depth(self, *, sink: str | None = None) -> int:
        """How many messages wait."""
        ...
