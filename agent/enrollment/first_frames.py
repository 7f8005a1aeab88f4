"""enroll_first_frames(): the first frames of a product become references, because a person called them good.

A file of its own: the command line imports it when it starts, and nothing here loads a model.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.domain.errors import RecipeError
from agent.domain.recipe import Reference
from agent.ports import RecipeBook, RecordedFrame, Samples


def enroll_first_frames(book: RecipeBook, samples: Samples, sku: str, frames: int) -> Sequence[RecordedFrame]:
    """Hold the first ``frames`` inspected images of ``sku`` as references, for an agent to enroll.

    Frames that a person called defective are left out. A repeated call changes nothing.

    Raises:
        RecipeError: fewer frames were inspected so far.
        StorageError: the database refused.
    """
    found = samples.first_frames(sku, frames)
    if len(found) < frames:
        raise RecipeError(
            f"{frames} frames of {sku!r} were asked for and {len(found)} were inspected that nobody called "
            "defective; wait for more, or ask for fewer"
        )
    for frame in found:
        book.hold_reference(sku, Reference(frame.sha256, frame.path, frame.frame_id))
    return found
