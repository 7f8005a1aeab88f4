"""commission(): the first frames of a product become references, because a person calls them good.

A file of its own: the command line imports it when it starts, and nothing here loads a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.domain.recipe import Reference
from agent.ports import RecipeBook, RecordedFrame, Samples


@dataclass(frozen=True, slots=True)
class Commission:
    """How far the commissioning of one product is."""

    sku: str
    wanted: int
    """How many of its first frames are good."""
    frames: Sequence[RecordedFrame]
    """Those that were inspected so far, without frames that a person called defective."""

    @property
    def complete(self) -> bool:
        """Whether the frames wait to be enrolled."""
        return len(self.frames) >= self.wanted

    def __str__(self) -> str:
        """``3 of 20``."""
        return f"{len(self.frames)} of {self.wanted}"

    def record(self) -> dict[str, Any]:
        """The values in JSON's types."""
        frames = [frame.frame_id for frame in self.frames]
        return {"sku": self.sku, "frames": frames, "wanted": self.wanted, "complete": self.complete}


def commission(book: RecipeBook, samples: Samples, sku: str, wanted: int) -> Commission:
    """Hold the first ``wanted`` inspected images of ``sku`` as references, for an agent to enroll.

    If fewer were inspected so far, none even, the wish is stored. Running agents call this again until it is
    fulfilled. Frames that a person called defective are left out. A repeated call changes nothing.

    Raises:
        StorageError: the database refused.
    """
    found = Commission(sku, wanted, samples.first_frames(sku, wanted))
    if not found.complete:
        book.keep_commission(sku, wanted)
        return found
    for frame in found.frames:
        book.hold_reference(sku, Reference(frame.sha256, frame.path, frame.frame_id))
    book.drop_commission(sku)
    return found


def commissions(book: RecipeBook, samples: Samples, sku: str | None = None) -> list[Commission]:
    """The wishes that wait for frames, of one product or of all. Changes nothing. Raises StorageError."""
    return [
        Commission(one, wanted, samples.first_frames(one, wanted))
        for one, wanted in book.commissions().items()
        if sku in (None, one)
    ]
