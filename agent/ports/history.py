"""The history: inspections, outgoing messages and recipes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.domain.events import Event
from agent.domain.frame import Camera, FrameIdentity, Job
from agent.domain.inspection import Feedback, Inspection
from agent.domain.recipe import Recipe, RecipeListing, Reference
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
        """Inspections, their defects and outbox messages in one transaction.

        True for each entry that was new; False where (camera, frame_id) already had its row, then
        nothing of that entry is written. Raises StorageError, and then nothing is written at all.
        """
        ...

    def knows(self, identity: FrameIdentity) -> bool:
        """Whether (camera, frame_id) already has its row."""
        ...

    def occurrences(self, identity: FrameIdentity) -> int:
        """How many rows have this frame id or one derived from it (``id``, ``id-2``, ``id-3``...)."""
        ...

    def recent_sequences(self, camera: Camera, limit: int) -> Sequence[int]:
        """Running numbers of the newest rows of a camera, at most ``limit``, the oldest first.

        Of those that stood there when its last gap was told, only the newest. Raises StorageError.
        """
        ...

    def record_event(self, event: Event, messages: Sequence[OutboxMessage] = ()) -> None:
        """An event and the messages about it, in one transaction. Raises StorageError."""
        ...

    def record_feedback(self, feedback: Feedback) -> bool:
        """False where no inspection matches; nothing is written then."""
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


class RecipeBook(Protocol):
    """Recipes of all SKUs, versioned; one version of each SKU is active."""

    def active(self, sku: str) -> Recipe | None: ...

    def active_version(self, sku: str) -> int | None:
        """Cheap enough to ask before each batch."""
        ...

    def register(self, job: Job) -> bool:
        """Write down a SKU; True for the one caller, of all agents, that made the row."""
        ...

    def without_recipe(self) -> Sequence[Job]:
        """SKUs that were registered and never got a recipe: whoever registered them was stopped."""
        ...

    def job(self, sku: str) -> Job | None:
        """Name and description of a SKU, as last registered."""
        ...

    def get(self, sku: str, version: int) -> Recipe | None:
        """One version, active or not."""
        ...

    def listing(self, sku: str | None = None) -> Sequence[RecipeListing]:
        """All versions of one SKU or of all, by SKU and version; those kept and never used too."""
        ...

    def add(self, recipe: Recipe, *, activate: bool = True) -> Recipe:
        """Store as the next version of its SKU and return it with id and version."""
        ...

    def activate(self, sku: str, version: int) -> None:
        """Make a version the active one, for frames from the next batch on. Raises RecipeError where
        there is no such version."""
        ...

    def hold_reference(self, sku: str, reference: Reference) -> None:
        """Write down a reference that came in and is in no recipe yet; repeating it changes nothing."""
        ...

    def held_references(self, sku: str) -> Sequence[Reference]:
        """References of ``sku`` that no version of its recipe holds yet, in the order they came."""
        ...

    def reference(self, sha256: str) -> Reference | None:
        """A reference with these bytes, whichever SKU it belongs to; held ones too."""
        ...

    def release_references(self, sku: str, references: Sequence[Reference]) -> None:
        """Let go of held references that were left out: they are in no recipe and wait no longer."""
        ...

    def skus_with_held_references(self) -> Sequence[str]:
        """SKUs whose references came in and are in no recipe yet (after a restart)."""
        ...
