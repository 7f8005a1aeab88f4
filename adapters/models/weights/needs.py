"""Which models a configuration needs."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.models.weights.catalogue import Kind

DEFAULT_DETECTOR = "grounding-dino-tiny"
DEFAULT_SEGMENTER = "sam_vit_b"

METHOD_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "sightline": ("clip", "timm"),
    "fade": ("clip", "timm"),
    "winclip": ("clip",),
    "apg-gd": ("clip", "detector"),
    "iap-as": ("detector", "segmenter"),
    "anomaly-dino": ("timm",),
    "null": (),
}
"""What each method cannot do without; ``timm`` only where the backbone is not the tower of CLIP."""
METHOD_EXTRAS: Mapping[str, tuple[Kind, ...]] = {
    "sightline": ("detector", "segmenter"),
    "iap-as": ("clip",),  # it tags products that have no noun
}
"""What each method makes use of where the configuration names it."""


def needed(
    method: str,
    *,
    clip: str,
    backbone: str,
    detector: str | None = None,
    segmenter: str | None = None,
) -> tuple[str, ...]:
    """Names of the models without which a configuration does not start.

    Args:
        detector: named by the configuration: needed whatever the method; None: only where the method asks.
        segmenter: as ``detector``.
    """
    kinds = METHOD_KINDS.get(method, ("clip", "timm"))
    names = [clip] if "clip" in kinds else []
    if "timm" in kinds and backbone != "clip":
        names.append(backbone)
    elif kinds == ("timm",):
        names.append(clip)  # the tower of CLIP is the backbone
    if detector or "detector" in kinds:
        names.append(detector or DEFAULT_DETECTOR)
    if segmenter or "segmenter" in kinds:
        names.append(segmenter or DEFAULT_SEGMENTER)
    return tuple(names)


def taking_part(
    method: str,
    *,
    clip: str,
    backbone: str,
    detector: str | None = None,
    segmenter: str | None = None,
) -> tuple[str, ...]:
    """Names of the models that a method works with under a configuration; arguments as of :func:`needed`."""
    extras = METHOD_EXTRAS.get(method, ())
    names = needed(method, clip=clip, backbone=backbone)
    more = {"clip": clip, "detector": detector, "segmenter": segmenter}
    chosen = tuple(_chosen(name, detector, segmenter) for name in names)
    return (*chosen, *(name for kind in extras if (name := more.get(kind)) is not None))


def _chosen(name: str, detector: str | None, segmenter: str | None) -> str:
    """The configured model where a default one stands in."""
    return {DEFAULT_DETECTOR: detector, DEFAULT_SEGMENTER: segmenter}.get(name) or name
