"""confirmed_references(): inspected frames that a person called good, as references to be enrolled.

A file of its own: the command line imports it when it starts, and nothing here loads a model.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.domain.errors import RecipeError
from agent.domain.recipe import Reference
from agent.ports import InspectedFrame, RecipeBook, Samples


def confirmed_references(
    book: RecipeBook, samples: Samples, sku: str, frame_ids: Sequence[str], camera: str | None = None
) -> dict[str, Reference]:
    """The stored images of inspected frames, by the id of their inspection.

    Args:
        frame_ids: of one or more frames of ``sku``; two that show the same bytes give one reference.
        camera: ``site/line/camera`` of all of them, if several cameras use one id.

    Raises:
        RecipeError: a frame was not inspected, its id names frames of several cameras or of another product,
            a person called it defective, its image is gone, or it is a reference already.
        StorageError: the database or the media folder refused.
    """
    active = book.active(sku)
    known = {one.sha256: one.name for one in active.references} if active is not None else {}
    found: dict[str, Reference] = {}
    taken: set[str] = set()
    for frame_id in dict.fromkeys(frame_ids):
        frame = _the_one(samples.inspected(frame_id, camera), frame_id, camera)
        reference = _reference(samples, frame, sku)
        if reference.sha256 in known:
            raise RecipeError(
                f"frame {frame_id!r} is a reference of {sku!r} already (as {known[reference.sha256]!r})"
            )
        if reference.sha256 not in taken:
            taken.add(reference.sha256)
            found[frame.inspection_id] = reference
    return found


def _the_one(frames: Sequence[InspectedFrame], frame_id: str, camera: str | None) -> InspectedFrame:
    if not frames:
        where = "" if camera is None else f" by camera {camera}"
        raise RecipeError(f"no frame {frame_id!r} was inspected{where}; the history names those that were")
    if len(frames) > 1:
        cameras = ", ".join(sorted(frame.camera for frame in frames))
        raise RecipeError(f"frame {frame_id!r} came from several cameras; name one of them: {cameras}")
    return frames[0]


def _reference(samples: Samples, frame: InspectedFrame, sku: str) -> Reference:
    """Raises RecipeError if the frame cannot become a reference of ``sku``."""
    if frame.sku != sku:
        shown = "no known product" if frame.sku is None else repr(frame.sku)
        raise RecipeError(f"frame {frame.frame_id!r} shows {shown}, not {sku!r}")
    if frame.truth == "defective":
        raise RecipeError(
            f"a person called frame {frame.frame_id!r} defective; if it is good after all, record that first "
            f"(`sightline feedback {frame.inspection_id} good`)"
        )
    if frame.path is None or not samples.keep(frame.path):
        raise RecipeError(
            f"the image of frame {frame.frame_id!r} is not in the media folder any more; take a frame whose "
            "image is still kept, or enroll the image from a file"
        )
    return Reference(frame.sha256, frame.path, frame.frame_id)
