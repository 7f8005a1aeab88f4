"""The models of one configuration at their true size with random numbers for weights: for timing alone."""

from __future__ import annotations

from functools import cached_property

from adapters.models.untrained import (
    untrained_backbone,
    untrained_clip,
    untrained_detector,
    untrained_segmenter,
)
from adapters.models.weights.needs import DEFAULT_DETECTOR, DEFAULT_SEGMENTER
from agent.app.models import Models
from agent.ports import Detector, ImageTextEncoder, PatchEncoder, Segmenter


class UntrainedModels(Models):
    """As :class:`Models`; nothing is read and nothing is downloaded."""

    @cached_property
    def encoder(self) -> ImageTextEncoder:
        """See :class:`Models`."""
        return untrained_clip(self._models.clip, device=self.device, dtype=self.precision)

    @cached_property
    def backbone(self) -> PatchEncoder:
        """See :class:`Models`."""
        return untrained_backbone(self._backbone_name, device=self.device, dtype=self.precision)

    @cached_property
    def detector(self) -> Detector:
        """See :class:`Models`."""
        name = self._models.detector or DEFAULT_DETECTOR
        return untrained_detector(name, device=self.device, dtype=self.precision)

    @cached_property
    def segmenter(self) -> Segmenter:
        """See :class:`Models`."""
        name = self._models.segmenter or DEFAULT_SEGMENTER
        return untrained_segmenter(name, device=self.device, dtype=self.precision)
