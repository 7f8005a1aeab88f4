"""Orientation: how parts lie before a camera, as their fixture holds them or in any direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from agent.domain.limits import MOST_DIRECTIONS
from agent.domain.recipe import Parameter, Recipe

ANGLES = "angles"
"""The parameter of a recipe that holds the decision: degrees in which references are memorised, rotated."""

COMPARED_REFERENCES = 6
"""So many references decide how parts lie. More cost time and do not change the decision."""

COMPARED_DIRECTIONS = 8
"""References are compared in at most so many directions: the gain below was chosen with them. What lies
between two of them matters to the memory, not to the decision."""

ENOUGH_IMAGES = 64
"""So many images, rotated ones included, show a part in every direction. The more references, the fewer
directions of each. Above half as many references they are memorised as they are: parts that lie in any
direction then show each other's directions themselves."""

_BY_HAND = ("person", "import")


@dataclass(frozen=True, slots=True)
class OrientationPolicy:
    """When references are memorised rotated as well."""

    directions: int = 8
    """Most directions in which a reference is memorised, evenly spaced over the full turn. 1: as it is."""
    gain: float = 0.12
    """By this share the rotated others have to lower a reference's leave-one-out score, in the median.

    Chosen on one drawn product of each of the 33 trained families, seen at a fixed and at a loose station:
    four references, eight directions, the weights of the first round (39480a87). In a fixture, rotated
    references lower the score by 0.2 % in the median of the products and by less than 10 % for 28 of them; by
    15 to 20 % for five whose surface is random (fruit, wire mesh, tile, steel sheet, carpet). There they are
    more of the same, and AUROC rose by 0.00 to 0.07. If parts lie loosely, they lower it by 25 % in the
    median, for a quarter of the products by less than 20 %. Five of 33 stay below the gain and are memorised
    as they are: they look much the same in any direction, or their light changes more with the direction than
    a rotated image can reproduce. The two distributions overlap: the gain decides whether rotation is worth
    its cost, not whether there is a fixture."""

    def __post_init__(self) -> None:
        if not 1 <= self.directions <= MOST_DIRECTIONS:
            raise ValueError(f"directions are 1 to {MOST_DIRECTIONS}, not {self.directions}")
        if not 0.0 < self.gain < 1.0:
            raise ValueError(f"gain is a share between 0 and 1, not {self.gain}")

    @property
    def angles(self) -> tuple[float, ...]:
        """Degrees in which references are compared, the first of them 0."""
        return even_angles(min(self.directions, COMPARED_DIRECTIONS))

    def angles_among(self, references: int) -> tuple[float, ...]:
        """Degrees in which so many references of loose parts are memorised; see :data:`ENOUGH_IMAGES`."""
        return even_angles(max(1, min(self.directions, ENOUGH_IMAGES // max(1, references))))


@dataclass(frozen=True, slots=True)
class Orientation:
    """How the parts of some references lie."""

    is_arbitrary: bool
    """Whether they lie in any direction, so that references are memorised in several."""
    gain: float | None
    """Share by which rotated references lower a leave-one-out score, in the median; None without a
    comparison."""


LeaveOneOut = Callable[[Sequence[float]], Sequence[float]]
"""Angles to scores: of each reference against the others, memorised in these angles."""


def even_angles(directions: int) -> tuple[float, ...]:
    """So many angles over the full turn in degrees, the first of them 0."""
    return tuple(index * 360.0 / directions for index in range(directions))


def compared_references(count: int) -> list[int]:
    """Indices of the references that are compared: at most :data:`COMPARED_REFERENCES`, spread over all.

    Neighbours may show parts that were made, and laid down, together.
    """
    number = min(count, COMPARED_REFERENCES)
    return [index * count // number for index in range(number)]


def find_orientation(count: int, leave_one_out: LeaveOneOut, policy: OrientationPolicy) -> Orientation:
    """Whether parts lie in any direction, from ``count`` references.

    In a fixture a part looks like the others as they lie; rotated ones only widen what passes as good. On a
    belt a part resembles only others that were rotated as it is. Each reference is compared with itself, and
    the median counts: a defective one among them scores high either way. A single reference decides nothing.

    Raises:
        ValueError: not one score for each reference.
    """
    if policy.directions == 1 or count < 2:
        return Orientation(is_arbitrary=False, gain=None)
    plain, rotated = leave_one_out((0.0,)), leave_one_out(policy.angles)
    if not len(plain) == len(rotated) == count:
        raise ValueError(f"{count} references need as many scores, not {len(plain)} and {len(rotated)}")
    gains = [1.0 - after / before for before, after in zip(plain, rotated, strict=True) if before > 0.0]
    gain = median(gains) if gains else 0.0
    return Orientation(gain >= policy.gain, gain)


def with_angles(recipe: Recipe, angles: Sequence[float]) -> Recipe:
    """The recipe with its references memorised in these angles."""
    parameters: dict[str, Parameter] = {**recipe.parameters, ANGLES: [float(angle) for angle in angles]}
    return replace(recipe, parameters=parameters)


def without_found_angles(recipe: Recipe, earlier: Callable[[str, int], Recipe | None]) -> Recipe:
    """The recipe without angles that an enrollment found, so that they are found again.

    A person's angles stay. The version that the angles came with decides whose they are: a person's if it
    came from a file or from a person's choice, otherwise an enrollment's.

    Args:
        earlier: gives a stored version by SKU and number, as a recipe book's ``get``; it raises what it
        raises.
    """
    if ANGLES not in recipe.parameters:
        return recipe
    first = recipe
    while first.parent is not None:
        parent = earlier(first.sku, first.parent)
        if parent is None or _angles(parent) != _angles(recipe):
            break
        first = parent
    if first.origin in _BY_HAND:
        return recipe
    others = {name: value for name, value in recipe.parameters.items() if name != ANGLES}
    return replace(recipe, parameters=others)


def describe_change(before: Recipe, after: Recipe) -> str | None:
    """A sentence on what changed in how references are memorised; None if nothing did."""
    was, now = _angles(before), _angles(after)
    if was == now:
        return None
    if now is None:
        return f"references are no longer memorised in {len(was or ())} directions"
    since = f", before in {len(was)}" if was is not None else ": the parts lie in any"
    return f"references are memorised in {len(now)} directions{since}"


def _angles(recipe: Recipe) -> tuple[float, ...] | None:
    """As a tuple of floats, so that a list of a database and one of a file compare equal."""
    angles = recipe.parameters.get(ANGLES)
    return tuple(float(angle) for angle in angles) if isinstance(angles, list | tuple) else None
