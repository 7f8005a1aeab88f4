"""``CameraDepths``: the bits of each camera's values, found once and then the same for all its images."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from adapters.images.depth import DEEP, FEWEST_LEVELS, UNKNOWN, KnownDepth, count_levels
from adapters.images.header import Header
from agent.domain.events import Event
from agent.domain.frame import Camera, FrameIdentity, Image
from agent.ports import EventReporter
from agent.telemetry import Counters, about

logger = logging.getLogger(__name__)

BIT_DEPTH = "bit-depth"
"""The kind of the event that names a camera's bits; the last one of a camera holds after a restart, too."""
_MOST_CAMERAS = 1_000
"""Anybody may publish under the name of a new camera: beyond so many, each image is read by itself."""


class CameraDepths:
    """Remembers the highest value of each camera, and reports how its images are read, once for each.

    The first image of a camera that states nothing is read with the fewest bits that hold it. A later one
    with higher values raises the bits for good and is reported: a dark image never changes the scale.
    """

    def __init__(
        self,
        stated: Mapping[str, int] | None = None,
        *,
        seen: Mapping[str, int] | None = None,
        events: EventReporter | None = None,
        counters: Counters | None = None,
        remedy: str = "cameras.{camera}.bits",
    ) -> None:
        """
        Args:
            stated: significant bits by ``LINE/CAMERA``, as the configuration states them; ``*`` is any other.
            seen: bits that were reported of each ``SITE/LINE/CAMERA`` before a restart.
            events: where findings are reported; by default the log alone.
            remedy: where a person states the bits.
        """
        self._stated = dict(stated or {})
        self._seen = dict(seen or {})
        self._reported = dict(seen or {})
        self._few: set[str] = set()
        self._events = events
        self._counters = counters if counters is not None else Counters()
        self._remedy = remedy

    def known(self, camera: Camera) -> KnownDepth:
        """What is known of the next image of a camera."""
        stated = self._stated.get(_name(camera), self._stated.get("*", 0))
        seen = self._seen.get(str(camera), 0)
        return KnownDepth(stated, seen) if stated or seen else UNKNOWN

    def expect(self, camera: Camera, bits: int) -> None:
        """Images of a camera have at least so many bits: those of its references."""
        self._seen[str(camera)] = max(bits, self._seen.get(str(camera), 0))

    def note(self, camera: Camera, header: Header) -> None:
        """Take in what an image of a camera had."""
        if header.depth < DEEP:
            return
        name, known = str(camera), self.known(camera)
        if name not in self._seen and len(self._seen) >= _MOST_CAMERAS:
            return
        self._seen[name] = max(header.highest, known.seen)
        before = self._reported.get(name)
        if before == header.bits:
            return
        self._reported[name] = header.bits
        self._report(
            camera, BIT_DEPTH, self._sentence(camera, header, known, before), before is not None, header
        )

    def note_levels(self, identity: FrameIdentity, header: Header, image: Image) -> None:
        """Count an image that has next to no levels, and report it, once for each camera."""
        levels, camera = count_levels(image), identity.camera
        if levels >= FEWEST_LEVELS:
            return
        self._counters.add("frames_of_few_levels")
        if str(camera) in self._few or len(self._few) >= _MOST_CAMERAS:
            return
        self._few.add(str(camera))
        sentence = (
            f"{camera}: image {identity.frame_id!r} has {levels} of 256 levels, so little of what the camera "
            "saw is left in it; check light, exposure and pixel format"
        )
        if header.depth == DEEP:
            sentence += f", and the {header.bits} bits that are read of its values ({self._where(camera)})"
        self._report(camera, "few-levels", sentence, True, header, levels=levels)

    def _sentence(self, camera: Camera, header: Header, known: KnownDepth, before: int | None) -> str:
        stated = known.stated or header.stated
        who = f"{self._where(camera)} states" if known.stated else "it states itself (sBIT)"
        sentence = f"{camera}: PNG with 16 bits a channel is read as values of {header.bits} bits"
        if stated == header.bits:
            sentence += f", as {who}"
        elif stated:
            sentence += f", the upper ones: there are higher values than the {stated} bits hold that {who}"
        else:
            sentence += f", by the highest value so far; if that is wrong, set {self._where(camera)}"
        if before is not None:
            sentence += f". Before it was read as {before} bits: enroll references of that time again"
        return sentence

    def _where(self, camera: Camera) -> str:
        return self._remedy.format(camera=_name(camera))

    def _report(
        self, camera: Camera, kind: str, sentence: str, warn: bool, header: Header, **details: int
    ) -> None:
        severity = "warning" if warn else "info"
        if self._events is None:
            logger.log(logging.WARNING if warn else logging.INFO, "%s", sentence, extra=about(camera))
            return
        details = {"bits": header.bits, **details}
        self._events.report(
            Event(kind, sentence, datetime.now(UTC), str(camera), details=details, severity=severity)
        )


def _name(camera: Camera) -> str:
    """As the configuration names a camera."""
    return f"{camera.line}/{camera.camera}"
