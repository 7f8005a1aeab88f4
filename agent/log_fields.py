"""What a log line about a frame carries beside its sentence: ``logger.info(..., extra=about(identity))``."""

from __future__ import annotations

from collections.abc import Mapping

from agent.frame import Camera, FrameIdentity

NAMES = ("camera", "sku", "frame_id", "inspection_id")
"""The fields, in the order in which people read them."""


def about(
    whose: FrameIdentity | Camera | str | None, *, sku: str | None = None, inspection_id: str | None = None
) -> Mapping[str, str]:
    """The fields that are known.

    Args:
        whose: a frame, or the camera alone (as text: ``site/line/camera``).
        sku: where the frame itself names none.
    """
    camera: Camera | str | None
    if isinstance(whose, FrameIdentity):
        camera, frame_id, sku = whose.camera, whose.frame_id, sku or whose.sku
    else:
        camera, frame_id = whose, None
    values = (None if camera is None else str(camera), sku, frame_id, inspection_id)
    return {name: value for name, value in zip(NAMES, values, strict=True) if value is not None}
