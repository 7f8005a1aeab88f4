"""``ModelNames``: which models a configuration names, and which of them a method needs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from config import Settings

DEFAULT_DETECTOR = "grounding-dino-tiny"
DEFAULT_SEGMENTER = "sam_vit_b"

OWN_TOWER = "clip"
"""The backbone that is not a model of its own: the image tower of the vision-language model."""


@dataclass(frozen=True, slots=True)
class ModelNames:
    """The names in a configuration. ``needs`` and ``takes`` are roles of models, as in a ``MethodSpec``."""

    clip: str
    backbone: str = OWN_TOWER
    detector: str | None = None
    """None: none is configured; the default one serves a method that needs one."""
    segmenter: str | None = None
    """As ``detector``."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As a configuration has them."""
        models = settings.models
        return cls(models.clip, settings.inspection.backbone, models.detector, models.segmenter)

    @property
    def own_backbone(self) -> bool:
        """Whether few-shot features come from a model of their own."""
        return self.backbone != OWN_TOWER

    @property
    def detector_in_use(self) -> str:
        """The configured detector, or the default one."""
        return self.detector or DEFAULT_DETECTOR

    @property
    def segmenter_in_use(self) -> str:
        """The configured segmenter, or the default one."""
        return self.segmenter or DEFAULT_SEGMENTER

    def needed(self, needs: Collection[str], takes: Collection[str]) -> tuple[str, ...]:
        """The models without which a method does not start. Those that the configuration names are needed
        whatever the method: a recipe may name another one."""
        names = self._of_features(needs, takes)
        if self.detector or "detector" in needs:
            names.append(self.detector_in_use)
        if self.segmenter or "segmenter" in needs:
            names.append(self.segmenter_in_use)
        return tuple(names)

    def taking_part(self, needs: Collection[str], takes: Collection[str]) -> tuple[str, ...]:
        """The models that a method works with."""
        names = self._of_features(needs, takes)
        if "detector" in needs or (self.detector and "detector" in takes):
            names.append(self.detector_in_use)
        if "segmenter" in needs or (self.segmenter and "segmenter" in takes):
            names.append(self.segmenter_in_use)
        if "tagger" in takes:
            names.append(self.clip)
        return tuple(names)

    def features(self, needs: Collection[str], takes: Collection[str]) -> str | None:
        """The model whose features a method compares with references; None if it compares none."""
        if self.own_backbone and "backbone" in (*needs, *takes):
            return self.backbone
        return self.clip if "encoder" in needs or "backbone" in needs else None

    def _of_features(self, needs: Collection[str], takes: Collection[str]) -> list[str]:
        names = [self.clip] if "encoder" in needs else []
        if self.own_backbone and "backbone" in (*needs, *takes):
            names.append(self.backbone)
        elif "backbone" in needs and "encoder" not in needs:
            names.append(self.clip)
        return names
