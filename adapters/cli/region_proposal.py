"""``offer_region``: shows which part of its images a product takes, and the command that would set it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from adapters.cli.screen import plain, stdout
from agent.domain.prompts import GENERIC_NOUN
from agent.domain.regions import Polygon, Regions

if TYPE_CHECKING:
    from pathlib import Path

    from agent.app import Application
    from agent.domain.frame import Image
    from agent.domain.recipe import Recipe
    from config import Settings

FOLDER = "regions"
"""Beside the media folder."""


def offer_region(
    composition: Application,
    settings: Settings,
    recipe: Recipe,
    images: Sequence[Image],
    options: Sequence[str] = (),
) -> None:
    """Print the part of the image that the product takes, and draw it. Nothing is set; a recipe that has
    regions is left alone.

    Args:
        options: with which the command finds the same recipe, such as ``--config FILE``.
    """
    from agent.onboarding.product_region import find_product_region

    if recipe.regions or not images:
        return
    detector = composition.product_boxes(settings, recipe.noun) if recipe.noun != GENERIC_NOUN else None
    found = find_product_region(images, detector)
    if found is None:
        return
    (left, top), (right, bottom) = found[0], found[2]
    command = ["sightline", "recipe", "region", recipe.sku, "--inspect", numbers_of(found), *options]
    console = stdout()
    console.print(
        f"the product takes {(right - left) * (bottom - top):.0%} of the image; to inspect that part alone:"
    )
    console.print(f"  {plain(shlex.join(command))}", soft_wrap=True, highlight=False)
    drawn = composition.codec().encode_regions(images[0], Regions(inspect=(found,)), ".jpg")
    file = settings.media.path.parent / FOLDER / f"{_file_stem(recipe.sku)}.jpg"
    console.print(plain(_write(file, drawn)), soft_wrap=True)


def given_options(
    config: Path | None, profile: str | None, overrides: Sequence[str] | None
) -> tuple[str, ...]:
    """The options of the configuration as they were given."""
    options = [] if config is None else ["--config", str(config)]
    options += [] if profile is None else ["--profile", profile]
    return (*options, *(word for one in overrides or () for word in ("--set", one)))


def numbers_of(polygon: Polygon) -> str:
    """As the command line takes it: a rectangle by its corner and its sides, others by their corners."""
    (left, top), (right, bottom) = polygon[0], polygon[len(polygon) // 2]
    numbers = [side for point in polygon for side in point]
    if polygon == ((left, top), (right, top), (right, bottom), (left, bottom)):
        numbers = [left, top, right - left, bottom - top]
    return ",".join(f"{side:.6g}" for side in numbers)


def _file_stem(sku: str) -> str:
    """A SKU may hold anything; two that differ in the replaced characters alone share a file."""
    return re.sub(r"[^\w.-]+", "_", sku).lstrip(".") or "product"


def _write(file: Path, content: bytes) -> str:
    """A sentence: where the image is, or why there is none."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        return f"it cannot be shown: {file} cannot be written ({error.strerror})"
    return f"shown in {file}"
