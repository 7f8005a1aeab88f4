"""Recipes put into force: references memorised, the threshold set, stored and handed to the line."""

from __future__ import annotations

from dataclasses import replace

from agent.cabinet import generic_recipe
from agent.enrolment import enrol
from agent.onboarding.office import Office
from agent.recipe import Recipe, Reference


class Enrolling:
    """Writes versions. Runs on one thread, so that no version is made from one that is just replaced."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def put_into_force(self, draft: Recipe) -> Recipe:
        """Prepare and calibrate a draft, store it as the next version and let the line use it.

        What scores depend on may differ from the version that the draft was made from, so its threshold
        is set anew from its references; without enough of them its verdicts are REVIEW.

        Raises:
            RecipeError, ModelError: it cannot be prepared; nothing is stored then.
            StorageError: the database or the media folder refused.
        """
        office = self._office
        parent = draft.version or draft.parent
        draft = replace(draft, calibration=None, id=None, version=0, parent=parent)
        if draft.references:
            images = office.cabinet.images(draft.references)
            enrolled = enrol(office.inspector, draft, images, policy=office.policy)
            draft, prepared = enrolled.recipe, enrolled.prepared
        else:
            prepared = office.inspector.prepare(draft, ())
        recipe = office.book.add(draft)
        office.cabinet.put(prepared.belonging_to(recipe))
        return recipe

    def take_up_held(self, sku: str) -> None:
        """Make the next version from the references of ``sku`` that came in. Raises as above."""
        office = self._office
        held = tuple(office.book.held_references(sku))
        if not held:
            return
        self.enrol(sku, held)

    def enrol(self, sku: str, new: tuple[Reference, ...]) -> Recipe:
        """The next version of a recipe, with ``new`` references beside those it has."""
        office = self._office
        base = office.book.active(sku) or generic_recipe(sku, office.options.method, office.noun(sku))
        references = base.references + new
        recipe = self.put_into_force(replace(base, references=references, origin="enrolment", note=None))
        state = "calibrated" if recipe.calibration else "not calibrated yet"
        office.tell("recipe", f"{sku!r} has {len(references)} references, {state}", sku)
        return recipe
