"""Recipes put into force: references chosen and memorised, the threshold set, stored, handed to the line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.domain.recipe import Recipe, Reference, generic_recipe
from agent.enrollment.enroll import Enrolled, enroll
from agent.enrollment.orientation import OrientationPolicy, told, undecided
from agent.enrollment.selection import SelectionPolicy
from agent.onboarding.context import OnboardingContext


class RecipeVersions:
    """Writes versions. Runs on one thread, so that no version is made from one that is just replaced."""

    def __init__(self, office: OnboardingContext) -> None:
        self._office = office

    def activate_new(self, draft: Recipe) -> Recipe:
        """Prepare and calibrate a draft, store it as the next version and let the line use it.

        What scores depend on may differ from the version that the draft was made from, so its threshold
        is set anew from its references; without enough of them its verdicts are REVIEW.

        Raises:
            RecipeError, ModelError: it cannot be prepared; nothing is stored then.
            StorageError: the database or the media folder refused.
        """
        draft = _begun_anew(draft)
        if draft.references:
            return self._store(self._enrolled(draft))
        prepared = self._office.inspector.prepare(draft, ())
        recipe = self._office.book.add(draft)
        self._office.cabinet.put(prepared.with_recipe(recipe))
        return recipe

    def take_up_held(self, sku: str) -> None:
        """Make the next version from the references of ``sku`` that came in. Raises as above.

        Those that show the same as another, or do not look like the others, are left out as the policy
        says; each is named in an event. Where nothing new is left, there is no new version. How the parts lie
        is looked at again with all references, unless a person chose their angles; what changes is told.
        """
        office = self._office
        held = tuple(office.book.held_references(sku))
        if not held:
            return
        base = office.book.active(sku) or generic_recipe(sku, office.options.method, office.noun(sku))
        draft = replace(
            undecided(base, office.book.get),
            references=base.references + held,
            origin="enrollment",
            note=None,
        )
        enrolled = self._enrolled(_begun_anew(draft), office.selection, office.pose)
        for sentence in enrolled.selection.sentences if enrolled.selection is not None else ():
            office.tell("reference-left-out", f"{sku!r}: {sentence}", sku, severity="warning")
        if set(_digests(enrolled.recipe.references)) != set(_digests(base.references)):
            note = told(base, enrolled.recipe)
            recipe = self._store(replace(enrolled, recipe=replace(enrolled.recipe, note=note)))
            state = "calibrated" if recipe.calibration else "not calibrated yet"
            also = f"; {note}" if note else ""
            office.tell("recipe", f"{sku!r} has {recipe.shots} references, {state}{also}", sku)
        office.book.release_references(sku, held)

    def _enrolled(
        self, draft: Recipe, selection: SelectionPolicy | None = None, pose: OrientationPolicy | None = None
    ) -> Enrolled:
        office = self._office
        images = office.cabinet.images(draft.references)
        return enroll(office.inspector, draft, images, policy=office.policy, selection=selection, pose=pose)

    def _store(self, enrolled: Enrolled) -> Recipe:
        recipe = self._office.book.add(enrolled.recipe)
        self._office.cabinet.put(enrolled.prepared.with_recipe(recipe))
        return recipe


def _begun_anew(draft: Recipe) -> Recipe:
    return replace(draft, calibration=None, id=None, version=0, parent=draft.version or draft.parent)


def _digests(references: Sequence[Reference]) -> list[str]:
    return [reference.sha256 for reference in references]
