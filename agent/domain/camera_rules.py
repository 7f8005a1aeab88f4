"""CameraRules: how the frames of one camera are treated; CameraRulebook: the rules of all cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.domain.frame import Camera
from agent.domain.regions import EVERYWHERE, Regions


class Overload(StrEnum):
    """What happens to frames of a camera that come faster than they can be judged."""

    WAIT = "wait"
    """They wait; beyond the window of unacknowledged messages the broker holds them."""
    LATEST = "latest"
    """Only the newest waits; each one that it replaces is recorded as skipped."""


@dataclass(frozen=True, slots=True)
class CameraRules:
    """What the configuration asks for one camera."""

    overload: Overload = Overload.WAIT
    shadow: bool = False
    """Inspected and recorded, never alarmed."""
    cycle_time_ms: float | None = None
    """A verdict that takes longer is late; None: none is."""
    timeout_s: float = 0.0
    """Seconds without a frame until the camera counts as silent; 0: never."""
    regions: Regions = EVERYWHERE
    """What is inspected of its frames, whatever they show."""


@dataclass(frozen=True, slots=True)
class CameraRulebook:
    """Rules by camera. A camera that is not named has the default."""

    default: CameraRules = field(default_factory=CameraRules)
    named: Mapping[str, CameraRules] = field(default_factory=dict)
    """By ``LINE/CAMERA``."""

    def of(self, camera: Camera) -> CameraRules:
        return self.named.get(f"{camera.line}/{camera.camera}", self.default)

    def cameras(self, site: str) -> tuple[Camera, ...]:
        """The named cameras, by name: they are missed even if they never send anything."""
        return tuple(Camera(site, *name.split("/", 1)) for name in sorted(self.named))

    @property
    def regions(self) -> frozenset[Regions]:
        """What cameras inspect, each once."""
        return frozenset(rules.regions for rules in (self.default, *self.named.values()))
