"""``score_by_parameters`` and others: what all methods share, from checks of references to digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol, TypeVar

from agent.domain.errors import RecipeError
from agent.domain.frame import Image
from agent.domain.recipe import Recipe
from agent.methods.parameters import ASPECT, KEEP
from agent.methods.prepared import Prepared, Scored


class Parametrised(Prepared, Protocol):
    """A prepared recipe with the parameters that it is scored by."""

    @property
    def parameters(self) -> Hashable: ...


class Digested(Protocol):
    """A model that is known by its weights."""

    @property
    def digest(self) -> str: ...


P = TypeVar("P", bound=Parametrised)


def require_references(recipe: Recipe, references: Sequence[Image]) -> None:
    """Raises RecipeError unless all references that the recipe names were read."""
    if len(references) != recipe.shots:
        raise RecipeError(
            f"recipe {recipe.sku!r} version {recipe.version} names {recipe.shots} references, "
            f"{len(references)} were read; restore the missing media files or enroll again"
        )


def score_by_parameters(
    images: Sequence[Image],
    prepared: Sequence[Prepared],
    kind: type[P],
    score: Callable[[list[Image], list[P]], list[Scored]],
) -> list[Scored]:
    """Scores in the order of ``images``; ``score`` is called once for all frames of equal parameters, and of
    one shape if they keep their aspect ratio.

    Raises:
        RecipeError: a recipe was prepared by another method.
    """
    groups: dict[Hashable, list[tuple[int, P]]] = {}
    for index, (image, item) in enumerate(zip(images, prepared, strict=True)):
        if not isinstance(item, kind):
            raise RecipeError(f"a recipe of another method reached {kind.__name__.removesuffix('Prepared')}")
        shape = image.shape[:2] if _keeps_aspect(item.parameters) else None
        groups.setdefault((item.parameters, shape), []).append((index, item))
    results: dict[int, Scored] = {}
    for members in groups.values():
        indices, recipes = [index for index, _ in members], [item for _, item in members]
        results.update(zip(indices, score([images[i] for i in indices], recipes), strict=True))
    return [results[index] for index in range(len(images))]


def distinct(images: Sequence[Image]) -> tuple[list[Image], list[int]]:
    """Each image once, and which of them stands at each place of ``images``.

    The same array under several recipes, as in prompt selection, then goes through a backbone once.
    """
    known: dict[int, int] = {}
    unique: list[Image] = []
    for image in images:
        if id(image) not in known:
            known[id(image)] = len(unique)
            unique.append(image)
    return unique, [known[id(image)] for image in images]


def combined_digest(*models: Digested | None) -> str:
    """sha256 over the digests of every model that takes part; of one model its own."""
    digests = [model.digest for model in models if model is not None]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("+".join(digests).encode()).hexdigest()


def fingerprint_of(digest: str, parameters: Any, *more: str) -> str:
    """Of weights, default parameters and whatever else scores depend on beside the recipe."""
    # Not part of str(parameters): fingerprints of thresholds from before it existed stay valid.
    shape = KEEP if _keeps_aspect(parameters) else ""
    parts = [digest, str(parameters), *(each for each in (*more, shape) if each)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _keeps_aspect(parameters: object) -> bool:
    return getattr(parameters, ASPECT, None) == KEEP
