"""How parts lie before a camera: as the fixture holds them, or in any direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from agent.domain.recipe import Parameter, Recipe

ANGLES = "angles"
"""The parameter of a recipe that holds the decision: degrees by which references are memorised turned."""

LOOKED_AT = 6
"""So many references tell how parts lie; more cost time and tell no more."""

COMPARED = 8
"""In so many directions they are held against each other at most: the gain below was chosen with them, and
what lies between two of them is for the memory, not for the decision."""

ENOUGH = 64
"""So many images, turned ones among them, show a part in every direction. More references make fewer
directions of each, and above half as many they are memorised as they are: where they lie in any direction,
they show each other's directions themselves."""

_BY_HAND = ("person", "import")


@dataclass(frozen=True, slots=True)
class OrientationPolicy:
    """When references are memorised turned as well."""

    directions: int = 8
    """Most directions in which a reference is memorised, evenly spaced over the full turn; 1: it stays as it
    is."""
    gain: float = 0.12
    """By so much the turned others have to lower a reference's leave-one-out score, in the median.

    Chosen on one drawn product of each of the 33 trained families, seen at a fixed and at a loose station:
    four references, eight directions, the weights of the first round (39480a87). In a fixture turned ones
    lower the score by 0.2 % in the median of the products and by less than 10 % for 28 of them; by 15 to
    20 % for five whose surface is random (fruit, wire mesh, tile, steel sheet, carpet). There turned
    references are more of the same, and AUROC rose by 0.00 to 0.07. Where parts lie loosely they lower it
    by 25 % in the median, for a quarter of the products by less than 20 %. Five of 33 stay below the gain
    and are memorised as they are: they look much the same in any direction, or their light changes more
    as they turn than turning an image can make good. The two overlap: what is decided is what turning is
    worth, not whether there is a fixture."""

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise ValueError(f"directions are 1 or more, not {self.directions}")
        if not 0.0 < self.gain < 1.0:
            raise ValueError(f"gain is a share between 0 and 1, not {self.gain}")

    @property
    def angles(self) -> tuple[float, ...]:
        """Degrees in which references are compared, the first of them 0."""
        return evenly(min(self.directions, COMPARED))

    def angles_among(self, references: int) -> tuple[float, ...]:
        """Degrees that loose parts are memorised in where there are so many; see :data:`ENOUGH`."""
        return evenly(max(1, min(self.directions, ENOUGH // max(1, references))))


@dataclass(frozen=True, slots=True)
class Orientation:
    """What references tell of how parts lie."""

    turned: bool
    """Whether they are to be memorised in several directions."""
    gain: float | None
    """Share by which turned references lower a leave-one-out score, the median of them; None where nothing
    was compared."""


def policy_for(rotations: object, directions: int) -> OrientationPolicy | None:
    """By the configuration's ``references``; None where it says the angles for all products."""
    return OrientationPolicy(directions) if rotations == "auto" else None


LeaveOneOut = Callable[[Sequence[float]], Sequence[float]]
"""Angles to scores: of each reference against the others, memorised in these angles."""


def evenly(directions: int) -> tuple[float, ...]:
    """So many angles over the full turn in degrees, the first of them 0."""
    return tuple(index * 360.0 / directions for index in range(directions))


def looked_at(count: int) -> list[int]:
    """Indices of the references that are compared, at most :data:`LOOKED_AT` spread over all of them:
    neighbours may show parts made, and laid down, together."""
    number = min(count, LOOKED_AT)
    return [index * count // number for index in range(number)]


def pose_of(count: int, leave_one_out: LeaveOneOut, policy: OrientationPolicy) -> Orientation:
    """Whether parts lie in any direction, from ``count`` references.

    In a fixture a part looks like the others as they lie; turned ones only add to what passes for good. On a
    belt a part finds its like only among others that were turned as it is. Each reference is held against
    itself, and the median counts: a defective one among them scores high either way. A single reference
    tells nothing.

    Raises:
        ValueError: not one score for each reference.
    """
    if policy.directions == 1 or count < 2:
        return Orientation(False, None)
    plain, turned = leave_one_out((0.0,)), leave_one_out(policy.angles)
    if not len(plain) == len(turned) == count:
        raise ValueError(f"{count} references need as many scores, not {len(plain)} and {len(turned)}")
    gains = [1.0 - after / before for before, after in zip(plain, turned, strict=True) if before > 0.0]
    gain = median(gains) if gains else 0.0
    return Orientation(gain >= policy.gain, gain)


def posed(recipe: Recipe, angles: Sequence[float]) -> Recipe:
    """The recipe with its references memorised in these angles."""
    parameters: dict[str, Parameter] = {**recipe.parameters, ANGLES: [float(angle) for angle in angles]}
    return replace(recipe, parameters=parameters)


def undecided(recipe: Recipe, earlier: Callable[[str, int], Recipe | None]) -> Recipe:
    """The recipe without angles that an enrollment decided on, to be looked at again; a person's angles stay.

    Whose they are tells the version that they came with: a file, or a person's choice, or else an enrollment.

    Args:
        earlier: gives a stored version by SKU and number; it raises what it raises.
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


def told(before: Recipe, after: Recipe) -> str | None:
    """A sentence about what changed in how references are memorised; None where nothing did."""
    was, now = _angles(before), _angles(after)
    if was == now:
        return None
    if now is None:
        return f"references are no longer memorised in {len(was or ())} directions"
    since = f", before in {len(was)}" if was is not None else ": the parts lie in any"
    return f"references are memorised in {len(now)} directions{since}"


def _angles(recipe: Recipe) -> tuple[float, ...] | None:
    """As a list of a database and of a file compare alike."""
    angles = recipe.parameters.get(ANGLES)
    return tuple(float(angle) for angle in angles) if isinstance(angles, list | tuple) else None
