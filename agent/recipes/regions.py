"""change_regions(): the next version of a recipe, with other parts of the image inspected.

A file of its own: the command line imports it when it starts, and nothing here loads a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.domain.recipe import Recipe
from agent.domain.regions import Polygon, Regions


def change_regions(
    recipe: Recipe,
    *,
    inspect: Sequence[Polygon] = (),
    ignore: Sequence[Polygon] = (),
    clear: bool = False,
) -> Recipe:
    """A draft with these regions added to those of ``recipe``, or in place of them if ``clear``.

    References and words stay. Its threshold is that of the regions before: whoever uses the draft knows by
    the scorer that it does not apply, and sets another one. If nothing changes, the result is ``recipe``.

    Raises RegionError: the regions leave nothing to inspect, or are too many.
    """
    before = Regions() if clear else recipe.regions
    regions = Regions(
        inspect=tuple(dict.fromkeys((*before.inspect, *inspect))),
        ignore=tuple(dict.fromkeys((*before.ignore, *ignore))),
    )
    if regions == recipe.regions:
        return recipe
    calibration = recipe.calibration
    if calibration is not None and calibration.scorer is None:  # a person's number, from no known scorer
        calibration = replace(calibration, scorer=f"that of version {recipe.version}")
    return replace(
        recipe,
        regions=regions,
        calibration=calibration,
        origin="regions",
        note=describe_regions(regions),
        parent=recipe.version,
        prompt_selection=None,
        id=None,
        version=0,
    )


def describe_regions(regions: Regions) -> str:
    """What is inspected, for a version's note: ``regions: 1 inspected, 2 ignored``."""
    kinds = {"inspected": regions.inspect, "ignored": regions.ignore}
    counted = ", ".join(f"{len(polygons)} {kind}" for kind, polygons in kinds.items() if polygons)
    return f"regions: {counted}" if counted else "the whole image is inspected"
