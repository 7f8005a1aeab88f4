"""``Protocol``: at what size and resolution of values maps are compared with their truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.domain.errors import ConfigurationError
from agent.domain.recipe import Parameter

Map = NDArray[np.float32] | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How pixel figures are measured (METHODS 0.3)."""

    name: str
    size: int = 448
    """Maps and masks are compared at this side length, in pixels; the aspect ratio is not kept."""
    byte_maps: bool = False
    """Maps are cut to [0, 1] and kept in 8 bits before they are enlarged: at most 256 thresholds."""
    cubic: bool = False
    """Maps are enlarged by cubic interpolation instead of bilinear."""
    smooth_masks: bool = True
    """Masks are resized bilinearly with antialiasing and cut at one half, instead of nearest."""
    mask_above: int = 0
    """Grey values above this are defective in a mask."""
    thresholds: int | None = None
    """F1-max over so many even thresholds from 0 to 1, a pixel being positive at or above one, after all
    maps that count were stretched to [0, 1] by their common extremes; None: over all values."""
    good_pixels: bool = True
    """Pixels of good images count, too."""
    parameters: Mapping[str, Mapping[str, Parameter]] = field(default_factory=dict)
    """By method, what the authors' code did to a map before it was measured."""

    def shrink(self, values: NDArray[np.float32]) -> Map:
        """A method's (h, w) map as it is kept until the category is through: never above ``size``."""
        kept: Map = values
        if self.byte_maps:
            kept = (values.clip(0.0, 1.0) * np.float32(255)).astype(np.uint8)  # truncated, as the authors do
        larger = max(values.shape) >= self.size
        return self.enlarge(kept) if larger or self.cubic else kept

    def enlarge(self, kept: Map) -> Map:
        """A kept map at (size, size)."""
        if kept.shape == (self.size, self.size):
            return kept
        how = cv2.INTER_CUBIC if self.cubic else cv2.INTER_LINEAR
        if min(kept.shape) >= self.size:
            how = cv2.INTER_AREA
        resized = cv2.resize(np.ascontiguousarray(kept), (self.size, self.size), interpolation=how)
        return resized.astype(np.uint8) if kept.dtype == np.uint8 else resized.astype(np.float32)


PROTOCOLS: Mapping[str, Protocol] = {
    "exact": Protocol("exact"),
    "fade": Protocol("fade", byte_maps=True),
    "iap-as": Protocol(
        "iap-as",
        size=400,
        cubic=True,
        smooth_masks=False,
        mask_above=128,
        thresholds=100,
        good_pixels=False,
        parameters={"iap-as": {"paper_eval": True}},
    ),
}
"""``exact`` is ours: float maps, every threshold. The others measure as the authors' code did."""

_WITH_GOOD = ("mvtec", "mtd")
"""Formats whose good images IAP-AS counts, too (METHODS 3.3)."""


def protocol_for(name: str, dataset: str) -> Protocol:
    """The protocol called ``name`` as it is for a dataset format.

    Raises:
        ConfigurationError: there is no protocol of that name.
    """
    if name not in PROTOCOLS:
        raise ConfigurationError(f"there is no protocol {name!r}; known are {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    return replace(protocol, good_pixels=protocol.good_pixels or dataset in _WITH_GOOD)
