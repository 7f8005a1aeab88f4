"""Thresholds that sharpen: good parts that people confirmed join those of the references."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from agent.calibration import calibrate
from agent.enrolment import leave_one_out
from agent.onboarding.office import Office
from agent.recipe import Recipe

LEAST_NEW = 5
"""So many more good parts than the threshold was set from, or this share of them: versions are for people."""
LEAST_SHARE = 0.2


class Recalibration:
    """Sets thresholds anew, each as a version of its own with an event; never silently."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def run(self) -> None:
        """Look at every product on which people have given their word. Raises StorageError."""
        for sku in self._office.samples.skus_with_feedback():
            if not self._office.closing.is_set():
                self._office.guarded("recalibration", sku, partial(self._renew, sku))

    def _renew(self, sku: str) -> None:
        self.renew(sku)

    def renew(self, sku: str) -> Recipe | None:
        """The next version of ``sku`` where there are enough new good parts, else None.

        A frame counts under the versions whose scores can be compared with the active one's: those that
        differ in the threshold alone. A frame was never in the bank, while a reference is scored against
        one that lacks only itself, so both are scores of unseen good parts. A threshold that a person chose
        stands until a person changes it.

        Raises SightlineError.
        """
        active = self._office.book.active(sku)
        if active is None or active.origin == "person":
            return None
        confirmed = self._office.samples.confirmed(sku, self._lineage(active))
        good = [one.score for one in confirmed if one.good]
        known = active.calibration.samples if active.calibration is not None else 0
        if active.shots + len(good) < known + max(LEAST_NEW, LEAST_SHARE * known):
            return None
        return self._store(active, good)

    def _lineage(self, active: Recipe) -> list[int]:
        """The active version and those before it that differ in the threshold alone."""
        versions, one = [active.version], active
        while one.origin == "recalibration" and one.parent is not None:
            parent = self._office.book.get(one.sku, one.parent)
            if parent is None:
                break
            versions.append(parent.version)
            one = parent
        return versions

    def _store(self, active: Recipe, good: list[float]) -> Recipe | None:
        office = self._office
        images = office.cabinet.images(active.references)
        prepared = office.inspector.prepare(active, images)
        scores, _ = leave_one_out(office.inspector, prepared, images)
        source = (
            f"leave-one-out of {len(images)} references and {len(good)} good frames that people confirmed, "
            "Student prediction bound of log scores"
        )
        before = active.calibration
        calibration = calibrate(
            [*scores, *good],
            office.policy,
            source=source,
            map_threshold=before.map_threshold if before is not None else None,
            scorer=office.inspector.fingerprint(active),
        )
        if calibration is None:
            return None
        old = f"from {before.threshold:.4g}" if before is not None else "for the first time"
        note = f"threshold set {old} to {calibration.threshold:.4g} with {calibration.samples} good parts"
        draft = replace(
            active,
            calibration=calibration,
            origin="recalibration",
            note=note,
            parent=active.version,
            id=None,
            version=0,
        )
        if office.book.active_version(active.sku) != active.version:
            return None  # somebody activated another one meanwhile; the next round looks at that
        recipe = office.book.add(draft)
        office.cabinet.put(prepared.belonging_to(recipe))
        office.tell("recalibration", f"{active.sku!r} version {recipe.version}: {note}", active.sku)
        return recipe
