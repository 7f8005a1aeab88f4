"""Commissioning: the first frames of a product become its references, on an operator's word."""

from __future__ import annotations

from collections.abc import Callable

from agent.enrollment.first_frames import enroll_first_frames
from agent.onboarding.context import OnboardingContext


class Commissioning:
    """Takes the first inspected frames of products without references as good parts.

    Only where the configuration says that an operator vouches for them: a defective first frame would teach
    the agent that its defect is normal. What looks unlike the others is reported by the enrollment.
    """

    def __init__(self, office: OnboardingContext, enroll: Callable[[str], None]) -> None:
        """``enroll`` schedules the enrollment of a product's held references."""
        self._office = office
        self._enroll = enroll
        self._done: set[str] = set()

    def run(self) -> None:
        """Look for products whose first frames are all there. Raises StorageError."""
        for sku in self._office.samples.skus_without_references():
            if sku not in self._done and not self._office.closing.is_set():
                self._commission(sku)

    def _commission(self, sku: str) -> None:
        office, wanted = self._office, self._office.options.commission
        if len(office.samples.first_frames(sku, wanted)) < wanted:
            return
        self._done.add(sku)
        frames = enroll_first_frames(office.book, office.samples, sku, wanted)
        message = f"the first {len(frames)} frames of {sku!r} are taken as good, as commissioning says"
        office.tell("commissioned", message, sku)
        self._enroll(sku)
