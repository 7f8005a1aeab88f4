"""WorkItem: one frame on its way through the pipeline."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from agent.domain.frame import Delivery, Frame, FrameIdentity
from agent.domain.verdict import Verdict
from agent.inference.inspector import InspectionResult
from agent.methods.prepared import Prepared


@dataclass(frozen=True, slots=True)
class DrawnResult:
    """What people look at, as files: the mask (PNG) and the overlay (JPEG); None where there is none."""

    mask: bytes | None
    overlay: bytes | None


@dataclass(slots=True, eq=False)
class WorkItem:
    """One frame, filled in by one stage after the other. A stage owns it while it works on it."""

    delivery: Delivery
    identity: FrameIdentity
    frame: Frame | None = None
    sku: str | None = None
    awaited: bool = False
    """Whether it has waited for its recipe already."""
    prepared: Prepared | None = None
    result: InspectionResult | None = None
    inspection_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    decoded: float | None = None
    """When it was decoded, on the monotonic clock."""
    decode_ms: float = 0.0
    queue_ms: float = 0.0
    in_flight_as: FrameIdentity | None = None
    """As what it is under way, if its row has another frame id."""
    drawn: DrawnResult | None = None
    silent: bool = False
    """Whether its row is written without messages, because a stage died of composing them."""

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory, roughly."""
        frame, result = self.frame, self.result
        held = len(self.delivery.payload)
        if frame is not None:
            held += frame.image.nbytes + len(frame.encoded)
        if result is not None:
            held += 0 if result.mask is None else result.mask.nbytes
            held += 0 if result.heat is None else result.heat.values.nbytes
        if self.drawn is not None:
            held += len(self.drawn.mask or b"") + len(self.drawn.overlay or b"")
        return held

    def fail(self, reason: str) -> WorkItem:
        """End as ERROR, without a score."""
        self.result = InspectionResult(Verdict.ERROR, reason)
        return self

    def give_own_id(self) -> None:
        """Its row gets an id of its own, because another image has the present one."""
        # A camera may have sent the very id that is made here. No camera sends the id of this inspection.
        mark = None if self.identity.sent_id is None else self.inspection_id
        self.in_flight_as = self.in_flight_as or self.identity
        self.identity = self.identity.with_own_id(mark)
        self.drawn = None  # the overlay names the frame

    def skip(self) -> WorkItem:
        """End as SKIPPED, without the image."""
        self.result = InspectionResult(
            Verdict.SKIPPED, "a newer frame of this camera came before this one could be judged"
        )
        self.frame = None
        return self
