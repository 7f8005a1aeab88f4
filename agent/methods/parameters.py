"""``override``: parameters of methods, read from a recipe with every name and type checked."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Parameter, Recipe
from agent.ports import ImageSize

T = TypeVar("T")

ASPECT = "aspect"
"""The parameter of methods that can keep the aspect ratio of images: one of these two."""
SQUARE, KEEP = "square", "keep"
_STEP = 16
"""Sides of such images are multiples of it, in pixels: whole patches and cells."""


def override(defaults: T, values: Mapping[str, Parameter]) -> T:
    """``defaults`` (a frozen dataclass) with ``values`` in place of its own.

    Raises:
        RecipeError: an unknown name (the nearest known one is offered) or a value of another type.
    """
    if not dataclasses.is_dataclass(defaults) or isinstance(defaults, type):
        raise TypeError("defaults must be an instance of a dataclass")
    known = {f.name: getattr(defaults, f.name) for f in dataclasses.fields(defaults)}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"
            raise RecipeError(f"there is no parameter {name!r}{hint}")
        checked[name] = _as_type_of(known[name], value, name)
    try:
        return dataclasses.replace(defaults, **checked)
    except ValueError as error:
        raise RecipeError(str(error)) from error


def with_parameters(recipe: Recipe, **values: Parameter) -> Recipe:
    """The recipe with these parameters beside, or in place of, its own."""
    return dataclasses.replace(recipe, parameters={**recipe.parameters, **values})


def check_aspect(aspect: str) -> None:
    """Raises ValueError for another word than the two."""
    if aspect not in (SQUARE, KEEP):
        raise ValueError(f"aspect is {SQUARE!r} or {KEEP!r}, not {aspect!r}")


def size_of(image: Image, side: int, aspect: str) -> ImageSize:
    """What ``image``, (H, W, 3), is resized to: a square of this side or, for :data:`KEEP`, the size of about
    the same area and the image's aspect ratio, in multiples of 16 pixels."""
    height, width = image.shape[:2]
    if aspect != KEEP or height == width:
        return side
    ratio = math.sqrt(height / width)
    rows, columns = (max(2, round(each / _STEP)) * _STEP for each in (side * ratio, side / ratio))
    return rows, columns


def _as_type_of(default: Any, value: Parameter, name: str) -> Any:
    if isinstance(default, bool) or isinstance(value, bool):
        fits = isinstance(default, bool) and isinstance(value, bool)
    elif isinstance(default, float):
        fits = isinstance(value, int | float)
        value = float(value) if isinstance(value, int | float) else value
    elif isinstance(default, tuple):
        decimal = not default or isinstance(default[0], float)
        kinds = {int, float} if decimal else {type(item) for item in default}
        fits = isinstance(value, list | tuple) and all(type(item) in kinds for item in value)
        if isinstance(value, list | tuple) and fits:
            value = tuple(float(item) if decimal else item for item in value)  # type: ignore[assignment]
    else:
        fits = isinstance(value, type(default))
    if not fits:
        raise RecipeError(f"parameter {name!r} is a {type(default).__name__}, not {value!r}")
    return value
