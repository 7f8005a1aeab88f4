"""RecipeCodec and ReferenceImages: recipes as files that people read and edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from agent.domain.recipe import Digests, Recipe


@dataclass(frozen=True, slots=True)
class ReferenceEntry:
    """A reference as a file names it; its image travels beside the file."""

    name: str
    sha256: str | None = None
    """None if a person added the image by its name alone."""


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """The content of a file."""

    recipe: Recipe
    """Without its references: their images still have to be found."""
    references: tuple[ReferenceEntry, ...] = ()
    exported: Digests | None = None
    """The digests of the version that was exported; None if a person wrote the file."""
    version: int | None = None
    """The version that was exported."""


class RecipeCodec(Protocol):
    """Recipes to text and back."""

    def write(self, recipe: Recipe) -> str: ...

    def read(self, text: str, source: str) -> RecipeFile:
        """Raises RecipeError, which names every fault with its line. ``source``: what the text is called."""
        ...


class ReferenceImages(Protocol):
    """Images that travel with a recipe file."""

    def find(self, entry: ReferenceEntry) -> bytes | None:
        """The bytes of a reference; None if it did not travel along. Raises RecipeError."""
        ...
