"""RecipeVersions: new versions of recipes, enrolled, stored, activated and given to the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.domain.recipe import Recipe, Reference, template_recipe
from agent.enrollment.enroll import Enrolled, describe_version, enroll
from agent.enrollment.orientation import OrientationPolicy, without_found_angles
from agent.enrollment.selection import SelectionPolicy
from agent.inference.tiled import with_default_tiles
from agent.onboarding.context import OnboardingContext
from agent.onboarding.naming import name_defects


class RecipeVersions:
    """Writes versions. Runs on one thread, so that no version is based on one that was just replaced."""

    def __init__(self, context: OnboardingContext) -> None:
        self._context = context

    def activate_new(self, draft: Recipe) -> Recipe:
        """Prepare and calibrate a draft, store it as the next version and give it to the pipeline.

        The draft may differ from its parent version in what scores depend on. So its threshold is set again
        from its references; without enough of them its verdicts are REVIEW.

        Raises:
            RecipeError, ModelError: it cannot be prepared. Nothing is stored then.
            StorageError: the database or the media folder refused.
        """
        draft = _as_new_version(draft)
        if draft.references:
            keep = SelectionPolicy.keeping_all(self._context.confirmed(draft.references))
            return self._store(self._enrolled(draft, keep))
        prepared = self._context.inspector.prepare(draft, ())
        recipe = self._context.book.add(draft)
        self._context.recipe_cache.put(prepared.with_recipe(recipe))
        return recipe

    def activate_first(self, draft: Recipe) -> bool:
        """The same for version 1 of a product without references. False if it has a version by now.

        Raises as :meth:`activate_new`.
        """
        prepared = self._context.inspector.prepare(draft, ())
        recipe = self._context.book.add_first(draft)
        if recipe is not None:
            self._context.recipe_cache.put(prepared.with_recipe(recipe))
        return recipe is not None

    def enroll_held(self, sku: str) -> None:
        """Make the next version from the references of ``sku`` that came in.

        References that show the same as another, or do not look like the others, are left out as the policy
        defines, each with an event, unless a person called their frames good. If nothing new is left, there
        is no new version. How the parts lie is decided again with all references, unless a person chose their
        angles; the version's note names what changed.

        Raises as :meth:`activate_new`.
        """
        context = self._context
        held = tuple(context.book.held_references(sku))
        if not held:
            return
        base = context.book.active(sku) or template_recipe(sku, context.options.method, context.noun(sku))
        draft = replace(
            with_default_tiles(without_found_angles(base, context.book.get), context.tiling),
            references=base.references + held,
            origin="enrollment",
            note=None,
        )
        selection = replace(context.selection, confirmed=context.confirmed(draft.references))
        enrolled = self._enrolled(_as_new_version(draft), selection, context.orientation)
        if set(_digests(enrolled.recipe.references)) != set(_digests(base.references)):
            note = describe_version(base, enrolled.recipe)
            recipe = self._store(replace(enrolled, recipe=replace(enrolled.recipe, note=note)))
            state = "calibrated" if recipe.calibration else "not calibrated yet"
            also = f"; {note}" if note else ""
            context.report("recipe", f"{sku!r} has {recipe.shots} references, {state}{also}", sku)
        context.book.release_references(sku, held)
        # Only now: a task that storage refused runs again, and would report them twice.
        for sentence in enrolled.selection.sentences if enrolled.selection is not None else ():
            context.report("reference-left-out", f"{sku!r}: {sentence}", sku, severity="warning")

    def _enrolled(
        self,
        draft: Recipe,
        selection: SelectionPolicy | None = None,
        orientation: OrientationPolicy | None = None,
    ) -> Enrolled:
        context = self._context
        images = context.recipe_cache.images(draft.references)
        enrolled = enroll(
            context.inspector,
            draft,
            images,
            policy=context.policy,
            selection=selection,
            orientation=orientation,
        )
        return name_defects(context.inspector, enrolled, images)

    def _store(self, enrolled: Enrolled) -> Recipe:
        recipe = self._context.book.add(enrolled.recipe)
        self._context.recipe_cache.put(enrolled.prepared.with_recipe(recipe))
        return recipe


def _as_new_version(draft: Recipe) -> Recipe:
    return replace(draft, calibration=None, id=None, version=0, parent=draft.version or draft.parent)


def _digests(references: Sequence[Reference]) -> list[str]:
    return [reference.sha256 for reference in references]
