"""``measure`` and others: how small a defect a recipe finds, and the tiles that smaller ones take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.domain.errors import SightlineError
from agent.domain.tiling import TileGrid, Tiling, square_grids

if TYPE_CHECKING:
    from agent.domain.frame import Image
    from agent.domain.recipe import Recipe
    from agent.inference.inspector import Inspector
    from agent.methods.prepared import Prepared
    from agent.onboarding.smallest_defect import SmallestDefect
    from config import Settings

UNMEASURED_SHARE = 1 / 20
"""Without a threshold nothing can be measured. A defect then gets so much of a tile's side: 16 pixels of 320,
which are two cells of the bundled model's finer grid."""

SQUEEZED = 1.6
"""Above this ratio of its sides, an image that is squeezed into a square is said to be."""

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:px|pixels?)?\s*", re.IGNORECASE)


def parse_pixels(text: str) -> float:
    """``40px`` or ``40``. Raises SightlineError."""
    found = _SIZE.fullmatch(text)
    if found is None or float(found[1]) < 1.0:
        raise SightlineError(
            f"--smallest-defect is a size in pixels of the image, such as 40px, not {text!r}; divide "
            "millimetres by those that one pixel shows"
        )
    return float(found[1])


def size_of(images: Sequence[Image]) -> tuple[int, int]:
    """Width and height of the first image as it was before it was reduced."""
    from agent.inference.reference_images import ReferenceImages

    form = ReferenceImages.of(images).only((0,)).forms[0]
    return form.width, form.height


def measure(inspector: Inspector, prepared: Prepared, images: Sequence[Image]) -> SmallestDefect | None:
    """How small a spot is found, with progress; None without a threshold."""
    from adapters.cli.progress import StepProgress
    from agent.onboarding.smallest_defect import smallest_defect

    if prepared.recipe.calibration is None:
        return None
    with StepProgress() as progress:
        return smallest_defect(inspector, prepared, images, size=size_of(images), progress=progress)


def tiles_for(wanted: float, seen: SmallestDefect | None, size: tuple[int, int], tiling: Tiling) -> TileGrid:
    """The fewest about square tiles in which a spot of ``wanted`` pixels is found.

    Args:
        seen: what is found now; None if it could not be measured.
        size: width and height of the references.

    Raises SightlineError: it would take too many tiles.
    """
    found = None
    if seen is not None and seen.size is not None:
        found = seen.finer(wanted)
    else:
        for grid in square_grids(*size):
            if grid.side(*size, tiling.tile_overlap) * UNMEASURED_SHARE <= wanted:
                found = grid
                break
    if found is None:
        raise SightlineError(
            f"a defect of {wanted:g} px in an image of {size[0]} x {size[1]} takes more tiles than there may "
            "be; choose a camera that shows less of the product, or a model for finer scales (docs/models.md)"
        )
    return found


def sentence(seen: SmallestDefect | None, recipe: Recipe, settings: Settings, size: tuple[int, int]) -> str:
    """What side the image is judged at, how small a defect is found, and what a smaller one would take."""
    from agent.app.models import judged_side
    from agent.inference.tiled import tiling_of

    tiling, scaled = tiling_of(recipe.parameters), judged_side(settings, recipe)
    x0, y0, x1, y1 = tiling.grid.boxes(*size, tiling.tile_overlap)[0]
    longer, shorter = max(x1 - x0, y1 - y0), min(x1 - x0, y1 - y0)
    at = ""
    if scaled is not None:
        shown = shorter if scaled.keeps_aspect else longer
        side = scaled.side
        if scaled.keeps_area:
            side = round(side * (shorter / longer) ** 0.5)
        at = f"at {min(side, shown):,} px of {shown:,}"
        if not scaled.keeps_aspect and longer >= SQUEEZED * shorter:
            grid = next(square_grids(x1 - x0, y1 - y0))
            columns, rows = tiling.grid.columns * grid.columns, tiling.grid.rows * grid.rows
            keeping = f"enroll --keep-aspect or {columns} x {rows} tiles"
            at += f", squeezed into a square ({keeping} would keep its shape)"
    if tiling.grid.count == 1:
        judged = f"judged {at}".strip()
    else:
        judged = f"judged in {tiling.describe()}" + (f", each {at}" if at else "")
    if seen is None:
        return f"{judged}; how small a defect is found is measured once there is a threshold"
    if seen.tried == 0:
        return f"{judged}; no synthetic defect can be drawn on these references to measure what is found"
    if seen.size is None:
        return f"{judged}: {seen.found} of {seen.tried} large synthetic defects are found, which is too few"
    found = f"{judged}: a spot of about {seen.size} px is found ({seen.found} of {seen.tried} synthetic ones)"
    finer = seen.finer(seen.size / 2)
    if finer is None or finer.count <= tiling.grid.count:
        return found
    times = finer.count / tiling.grid.count
    return (
        f"{found}; --smallest-defect {seen.size // 2}px would take {finer.columns} x {finer.rows} tiles, "
        f"about {times:.2g} times the time a frame"
    )
